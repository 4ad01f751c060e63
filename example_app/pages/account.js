// "Your sessions": where the user is logged in.

import { ask } from "./ask.js";
import { $, act, begin, endsBy, say } from "./page.js";
import { listOf } from "./sessions.js";

const refreshList = listOf("/sessions");

async function refresh() {
  const count = await refreshList();
  $("#how-many").textContent = count === 1 ? "one place" : `${count} places`;
  for (const each of ["#advice", "#others"]) $(each).hidden = count === 1;
  $("#alone").hidden = count > 1;
}

endsBy($("#everywhere"), "/sessions?all=true", "everywhere");

$("#others").addEventListener("click", (event) =>
  act(event.currentTarget, async () => {
    const { ended } = await ask("DELETE", "/sessions");
    $("#sessions-title").focus();
    say(ended === 1 ? "The other one has ended." : `${ended} others have ended.`);
    await refresh();
  }),
);

// A message on the socket means that something has changed: the cart, a name, or another browser's login.
const me = await begin({ onCart: () => refresh().catch((error) => error.status === 401 || say(error.message)) });
if (!me) location.replace("/login?next=/account");
$("#cookie").textContent = document.cookie || "(empty)";
document.body.classList.add("ready");
