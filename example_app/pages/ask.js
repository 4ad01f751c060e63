// `send`, with what every page shows while the store is down.

import { send } from "./send.js";

const $ = (selector) => document.querySelector(selector);
let ticking;

function showOutage(seconds) {
  const show = () => { $("#seconds").textContent = seconds > 0 ? `in ${seconds--} s` : "now"; };
  clearInterval(ticking);
  ticking = setInterval(show, 1000);
  show();
  $("#outage").hidden = false;
}

function hideOutage() {
  clearInterval(ticking);
  $("#outage").hidden = true;
}

/** Send a request. While the answers are 503, the page says so; a GET gets its answer when the store is back. */
export async function ask(method, path, data) {
  try {
    const answer = await send(method, path, data, showOutage);
    hideOutage();
    return answer;
  } catch (error) {
    if (error.status !== 503) hideOutage();
    throw error;
  }
}
