// What every page has: who is logged in, messages, and what is shown when the store is down or the session ends.

import { follow } from "./live.js";
import { send, store } from "./send.js";

export const $ = (selector, root = document) => root.querySelector(selector);
export const money = (cents) => new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" }).format(cents / 100);

let socket;

/** Say something to the user, for a few seconds. Screen readers read it out. */
export function say(text) {
  const message = $("#message");
  message.textContent = text;
  message.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => message.classList.remove("shown"), 5000);
}

/** Leave the page for "you have been logged out". */
export function leave(why) {
  socket?.stop();
  $("#outage").hidden = true;
  const from = why === "ended" ? `&next=${encodeURIComponent(location.pathname)}` : "";
  location.replace(`/logged-out?why=${why}${from}`);
}

/** Let a button log out. The socket is closed first, so that the page does not take it for somebody else's doing. */
export function endsBy(button, path, why) {
  button.addEventListener("click", () =>
    act(button, async () => {
      socket.stop();
      await send("DELETE", path);
      leave(why);
    }),
  );
}

/** Run what a button does: no second click meanwhile, and every refusal is told. */
export async function act(button, action) {
  button.setAttribute("aria-disabled", "true");
  try {
    return await action();
  } catch (error) {
    if (error.status === 401) {
      say("Your session has ended.");
      leave("ended");
    } else if (error.status === 503) {
      say("That may not have worked: the store did not answer. Have a look when it is back.");
      await send("GET", "/me");
      location.reload();
    } else {
      say(error.message);
    }
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/** Ask who is there, and show it in the header. Follow the cart of a user; give null for a visitor. */
export async function begin({ onCart = () => {}, onState = () => {} } = {}) {
  const me = await send("GET", "/me");
  document.body.classList.add(me ? "user" : "visitor");
  if (!me) return null;
  document.body.dataset.role = me.role;
  $("#name").textContent = me.name;
  $("#avatar").textContent = me.name[0];
  endsBy($("#log-out"), "/session", "here");
  socket = follow({
    onCart,
    onState,
    onEnd() {
      say("Your session has ended.");
      leave("ended");
    },
  });
  return me;
}

// A click on a button that is at work does nothing.
addEventListener("click", (event) => {
  if (event.target.closest("[aria-disabled=true]")) {
    event.stopImmediatePropagation();
    event.preventDefault();
  }
}, true);

let ticking;
store.addEventListener("down", ({ detail: seconds }) => {
  $("#outage").hidden = false;
  clearInterval(ticking);
  const show = () => { $("#seconds").textContent = seconds > 0 ? `in ${seconds--} s` : "now"; };
  show();
  ticking = setInterval(show, 1000);
});
store.addEventListener("up", () => {
  clearInterval(ticking);
  if ($("#outage").hidden) return;
  $("#outage").hidden = true;
  say("The store is back. You are still logged in.");
});

// A page that the browser kept, when the user goes back to it: it may be another user's by now.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
