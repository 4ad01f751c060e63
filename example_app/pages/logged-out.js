// Tells why the session has ended, and brings the user back to the page that was open.

import { ask } from "./ask.js";
import { logins } from "./page.js";

const asked = new URLSearchParams(location.search);
const why = ["here", "everywhere", "acting"].includes(asked.get("why")) ? asked.get("why") : "ended";
document.querySelector(`#${why}`).hidden = false;
const next = asked.get("next");
const page = why === "acting" ? "/staff" : ["/account", "/staff"].includes(next) ? next : "/";
if (page !== "/") document.querySelector("#again").href = `/login?next=${page}`;
if (why === "ended") {
  // A login in another tab ends this tab's session shortly before its answer brings the new cookie.
  const look = async () => { if (await ask("GET", "/me")) location.replace(page); };
  logins.addEventListener("message", look);
  look();
}
document.body.classList.add("ready");
