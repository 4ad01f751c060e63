// The staff's page: become admin, and help a customer.

import { ask } from "./ask.js";
import { $, act, begin, logins, say } from "./page.js";
import { listOf } from "./sessions.js";

let number; // of the customer who is shown
let refreshList;

async function refresh() {
  const count = await refreshList();
  $("#none").hidden = count > 0;
  $("#end-all").hidden = count === 0;
}

$("#step-up").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  act($("button", form), async () => {
    await ask("POST", "/session/admin", new FormData(form));
    logins.postMessage("");
    location.reload();
  }).finally(() => form.reset());
});

$("#find").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  act($("button", form), async () => {
    if (number !== form.number.value) {
      number = form.number.value;
      $("#sessions").replaceChildren();
      refreshList = listOf(`/users/${number}/sessions`);
    }
    await refresh();
    $("#whose").textContent = number;
    $("#found").hidden = false;
    $("#sessions-title").focus();
  });
});

$("#end-all").addEventListener("click", (event) =>
  act(event.currentTarget, async () => {
    const { ended } = await ask("DELETE", `/users/${number}/sessions`);
    say(ended === 1 ? "One session has ended." : `${ended} sessions have ended.`);
    await refresh();
  }),
);

$("#act").addEventListener("click", (event) =>
  act(event.currentTarget, async () => {
    await ask("POST", `/users/${number}/impersonate`);
    logins.postMessage("");
    location.assign("/");
  }),
);

const me = await begin();
if (!me) location.replace("/login?next=/staff");
document.body.classList.add("ready");
