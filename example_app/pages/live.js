// The live cart: a socket that opens again by itself, until the session has ended.

import { ask } from "./ask.js";

/**
 * Call `onCart` with the cart, now and after each change, and `onState` with true or false for open or not.
 * When the socket has closed, call `onClose` with what the server then knows of the user: null if the session has ended.
 */
export function follow({ onCart, onState, onClose }) {
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
      const me = await ask("GET", "/me").catch(() => undefined);
      if (me !== undefined) onClose(me);
      if (me === null) return;
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
