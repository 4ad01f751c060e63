// What every page has: who is logged in, messages, and what is shown when the store is down or the session ends.

import { ask } from "./ask.js";
import { follow } from "./live.js";

export const $ = (selector, root = document) => root.querySelector(selector);
export const money = (cents) => new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" }).format(cents / 100);

/** Tells the browser's other tabs that the cookie is another one now. */
export const logins = new BroadcastChannel("logins");

let me = null; // who is there: null, or a session, of a user or of a visitor
let watching = {}; // what the page does with a cart, and with the state of its socket
let socket;
let ending = "ended"; // why the session ends: by a button of this page, or elsewhere

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

/** Let a button log out. The socket may close before the answer is here: then it is known who did it. */
export function endsBy(button, path, why) {
  button.addEventListener("click", () =>
    act(button, async () => {
      ending = why;
      await ask("DELETE", path).catch((error) => {
        ending = "ended";
        throw error;
      });
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
    if (error.status === 401 && !error.stale) {
      say("Your session has ended.");
      leave("ended");
    } else if (error.status === 503) {
      const now = await ask("GET", "/me"); // as soon as the store is back
      if (me && !now) return leave(ending);
      if (now) watching.onCart(now.cart);
      say(`The store is back, and ${now?.name ? "you are still logged in" : "your cart is there"}. Please check: your last click may not have counted.`);
    } else {
      say(error.message);
    }
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

const who = (someone) => someone && JSON.stringify([someone.name, someone.role, someone.admin, someone.actor]);

/** Another tab may have logged in, or become admin, or act for somebody now. */
async function look() {
  const now = await ask("GET", "/me");
  if (who(now) !== who(me)) location.reload();
}

/**
 * Ask who is there, and show it in the header. Follow the cart of a user, and of a visitor who has one.
 * Give what is known of a user; null for a visitor.
 */
export async function begin({ onCart = () => {}, onState = () => {} } = {}) {
  watching = { onCart, onState };
  me = await ask("GET", "/me").catch((error) => say(error.message)) ?? null;
  const { body } = document;
  body.classList.add(me?.name ? "user" : "visitor");
  logins.addEventListener("message", look);
  if (me) watch();
  if (!me?.name) {
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") look(); });
    return null;
  }
  Object.assign(body.dataset, { role: me.role, admin: me.admin, acting: me.actor !== null });
  $("#name").textContent = me.name;
  $("#avatar").textContent = me.name[0];
  $("#customer").textContent = me.name;
  endsBy($("#log-out"), "/session", me.actor === null ? "here" : "acting");
  endsBy($("#stop"), "/session", "acting");
  return me;
}

/** Begin the session of a visitor, if the browser has none. */
export async function visit() {
  if (me) return;
  await ask("PUT", "/session/visitor");
  me = await ask("GET", "/me");
  logins.postMessage("");
  watch();
}

function watch() {
  document.body.classList.add("has-cart");
  watching.onCart(me.cart);
  socket = follow({
    ...watching,
    onClose(now) {
      if (now === null && me.name) {
        say("Your session has ended.");
        leave(ending);
      } else if (who(now) !== who(me)) {
        location.reload();
      }
    },
  });
}

// A click on a button that is at work does nothing.
addEventListener("click", (event) => {
  if (event.target.closest("[aria-disabled=true]")) {
    event.stopImmediatePropagation();
    event.preventDefault();
  }
}, true);

// A page that the browser kept, when the user goes back to it: it may be another user's by now.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
