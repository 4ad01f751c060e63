// The login. What it gets is a cookie: there is no token to keep.

import { ask } from "./ask.js";
import { $, logins, say } from "./page.js";

/** Where the user wanted to go, if it is a page of the shop. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next");
  const url = wanted && URL.canParse(wanted, location.origin) && new URL(wanted, location.origin);
  return url && url.origin === location.origin ? url.href : "/"; // and never another site
}

const form = $("#login");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("button", form);
  if (button.getAttribute("aria-disabled")) return;
  button.setAttribute("aria-disabled", "true");
  $("#wrong").textContent = "";
  try {
    await ask("POST", "/session", new FormData(form));
    logins.postMessage("");
    location.assign(next());
  } catch (error) {
    $("#wrong").textContent = error.status === 401 ? "This name and this password do not belong together." : error.message;
    form.password.select();
  } finally {
    button.removeAttribute("aria-disabled");
  }
});

for (const guest of document.querySelectorAll("[data-name]")) {
  guest.addEventListener("click", () => {
    form.username.value = guest.dataset.name;
    form.password.value = guest.dataset.password;
    $("button", form).focus();
    say(`Filled in for ${guest.dataset.name}.`);
  });
}
document.body.classList.add("ready");
