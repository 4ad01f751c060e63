// "Your sessions": where the user is logged in. And the staff's door.

import { ask } from "./ask.js";
import { $, act, begin, endsBy, leave, logins, say } from "./page.js";

const date = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const BROWSERS = { "Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari", "curl/": "curl" };
const SYSTEMS = { iPhone: "iPhone", iPad: "iPad", Android: "Android", "Mac OS X": "macOS", Windows: "Windows", Linux: "Linux" };

const pick = (names, text) => Object.entries(names).find(([mark]) => text.includes(mark))?.[1];

/** "Firefox on Linux", as far as the browser says it. */
function nameOf(userAgent) {
  const browser = pick(BROWSERS, userAgent ?? "") ?? "Some client";
  const system = pick(SYSTEMS, userAgent ?? "");
  return system ? `${browser} on ${system}` : browser;
}

function ago(seconds) {
  const past = Date.now() / 1000 - seconds;
  if (past < 90) return "just now";
  if (past < 5400) return relative.format(-Math.round(past / 60), "minute");
  if (past < 129_600) return relative.format(-Math.round(past / 3600), "hour");
  return relative.format(-Math.round(past / 86_400), "day");
}

function time(element, seconds, text) {
  element.textContent = text;
  element.dateTime = new Date(seconds * 1000).toISOString();
}

function item(session, mine) {
  const made = $("#session").content.firstElementChild.cloneNode(true);
  const name = nameOf(session.user_agent);
  made.classList.toggle("mine", mine);
  made.classList.toggle("phone", /iPhone|Android/.test(session.user_agent));
  $(".device", made).textContent = name;
  $(".from", made).textContent = session.client ?? "unknown address";
  time($(".since", made), session.created, date.format(session.created * 1000));
  time($(".seen", made), session.last_seen, ago(session.last_seen));
  const button = $("button", made);
  button.setAttribute("aria-label", `End the session of ${name}, since ${date.format(session.created * 1000)}`);
  button.addEventListener("click", () =>
    act(button, async () => {
      await ask("DELETE", `/sessions/${session.handle}`);
      say(`${name} is logged out.`);
      await refresh();
    }),
  );
  return made;
}

async function refresh() {
  const [me, found] = await Promise.all([ask("GET", "/me"), ask("GET", "/sessions")]);
  if (!me) return leave("ended");
  found.sort((a, b) => b.current - a.current || b.last_seen - a.last_seen);
  const had = $("#sessions").contains(document.activeElement);
  $("#sessions").replaceChildren(...found.map((each) => item(each, each.current)));
  if (had) $("#sessions-title").focus();
  $("#how-many").textContent = found.length === 1 ? "one place" : `${found.length} places`;
  $("#advice").hidden = found.length === 1;
  $("#alone").hidden = found.length > 1;
  document.body.dataset.role = me.role;
}

endsBy($("#everywhere"), "/sessions", "everywhere");

$("#step-up").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  act($("button", form), async () => {
    await ask("POST", "/session/admin", new FormData(form));
    logins.postMessage("");
    me.role = "admin";
    say("You are admin now. The session has moved to a new id, and the old token is worth nothing.");
    await refresh();
  }).finally(() => form.reset());
});

// A message on the socket means that something has changed: the cart, or another browser's login.
const me = await begin({ onCart: () => refresh().catch((error) => error.status === 401 || say(error.message)) });
if (!me) location.replace("/login?next=/account");
$("#cookie").textContent = document.cookie || "(empty)";
document.body.classList.add("ready");
