// What every page has: who is logged in, messages, and what is shown when the store is down or the session ends.

import { ask } from "./ask.js";
import { follow } from "./live.js";

export const $ = (selector, root = document) => root.querySelector(selector);
export const money = (cents) => new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" }).format(cents / 100);

/** Tells the browser's other tabs that the cookie is another one now. */
export const logins = new BroadcastChannel("logins");

let socket;
let showCart; // what the page does with a cart
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
    if (error.status === 401) {
      say("Your session has ended.");
      leave("ended");
    } else if (error.status === 503) {
      const now = await ask("GET", "/me"); // as soon as the store is back
      if (!now) return leave(ending);
      showCart(now.cart);
      say("The store is back, and you are still logged in. Please check: your last click may not have counted.");
    } else {
      say(error.message);
    }
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/** Ask who is there, and show it in the header. Follow the cart of a user; give null for a visitor. */
export async function begin({ onCart = () => {}, onState = () => {} } = {}) {
  const me = await ask("GET", "/me").catch((error) => say(error.message)) ?? null;
  document.body.classList.add(me ? "user" : "visitor");
  if (!me) {
    // Perhaps the user has logged in by another tab meanwhile.
    const look = async () => { if (await ask("GET", "/me")) location.reload(); };
    logins.addEventListener("message", look);
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") look(); });
    return null;
  }
  document.body.dataset.role = me.role;
  showCart = onCart;
  $("#name").textContent = me.name;
  $("#avatar").textContent = me.name[0];
  endsBy($("#log-out"), "/session", "here");
  socket = follow({
    onCart,
    onState,
    onClose(now) {
      if (now === null) {
        say("Your session has ended.");
        leave(ending);
      } else if (now.user_id !== me.user_id || now.role !== me.role) {
        location.reload(); // another tab has logged in as somebody else, or has become admin
      }
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

// A page that the browser kept, when the user goes back to it: it may be another user's by now.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
