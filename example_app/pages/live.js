// The live cart: a socket that opens again by itself, until the session has ended.

import { send } from "./send.js";

/**
 * Call `onCart` with the cart, now and after each change; `onState` with true or false for open or not.
 * Call `onEnd` once when the session has ended, wherever that was done.
 */
export function follow({ onCart, onState, onEnd }) {
  let socket;
  let wait = 250; // milliseconds until the next try
  let leaving = false;

  function open() {
    socket = new WebSocket("/cart/live"); // the handshake has the cookie
    socket.onmessage = (message) => {
      wait = 250;
      onState(true);
      onCart(JSON.parse(message.data));
    };
    socket.onclose = async () => {
      // 1008: the session has ended, or moved to another id. 1013: the store is down. 1006: no network.
      if (leaving) return;
      onState(false);
      const me = await send("GET", "/me").catch(() => undefined);
      if (me === null) return onEnd();
      setTimeout(open, wait);
      wait = Math.min(wait * 2, 10_000);
    };
  }

  addEventListener("pagehide", () => { leaving = true; });
  open();
  return {
    stop() {
      leaving = true;
      socket.close();
    },
  };
}
