// A list of sessions: the user's own, or those of a customer for an admin. Both have the same fields, and no id.

import { ask } from "./ask.js";
import { $, act, say } from "./page.js";

const date = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** "Firefox on Windows", as far as the server knows it. */
function describe({ browser, os, device }) {
  const on = device ?? os;
  return browser && on ? `${browser} on ${on}` : browser ?? on ?? "Some client";
}

function ago(time) {
  const past = (Date.now() - new Date(time)) / 1000;
  if (past < 90) return "just now";
  if (past < 5400) return relative.format(-Math.round(past / 60), "minute");
  if (past < 129_600) return relative.format(-Math.round(past / 3600), "hour");
  return relative.format(-Math.round(past / 86_400), "day");
}

function showTime(element, time, text) {
  element.textContent = text;
  element.dateTime = time;
}

/**
 * Make a function that shows the sessions that the server has at `path` now. It gives how many there are.
 * The items are those of the page's template: with a form, the user can name a session.
 */
export function listOf(path) {
  const items = new Map(); // by handle: an item stays the same, so a name that is being typed is not lost

  function make(handle) {
    const item = $("#session").content.firstElementChild.cloneNode(true);
    const end = $(".end", item);
    end.addEventListener("click", () =>
      act(end, async () => {
        await ask("DELETE", `${path}/${handle}`);
        say(`${$(".device", item).textContent} is logged out.`);
        await refresh();
      }),
    );
    const form = $(".naming", item);
    if (form) makeNaming(item, form, handle);
    return item;
  }

  function makeNaming(item, form, handle) {
    const rename = $(".rename", item);
    const open = (wanted) => {
      form.hidden = !wanted;
      rename.setAttribute("aria-expanded", wanted);
      if (wanted) form.label.value = item.dataset.label;
      (wanted ? form.label : rename).focus();
    };
    form.label.id = `label-${handle}`;
    $("label", form).htmlFor = form.label.id;
    rename.addEventListener("click", () => open(form.hidden));
    form.addEventListener("keydown", (event) => { if (event.key === "Escape") open(false); });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      act($("button", form), async () => {
        await ask("PATCH", `${path}/${handle}`, { label: form.label.value });
        await refresh();
        open(false);
        say("The name is saved.");
      });
    });
  }

  function show(item, session) {
    const described = describe(session);
    const name = session.label ?? described;
    const since = date.format(new Date(session.created));
    item.dataset.label = session.label ?? "";
    item.classList.toggle("mine", session.current);
    item.classList.toggle("acted", session.impersonated);
    item.classList.toggle("phone", ["iOS", "Android"].includes(session.os));
    $(".device", item).textContent = name;
    $(".about", item).textContent = session.label ? described : "";
    $(".from", item).textContent = session.location ?? session.client ?? "an unknown address";
    showTime($(".since", item), session.created, since);
    showTime($(".seen", item), session.last_seen, ago(session.last_seen));
    $(".end", item).setAttribute("aria-label", `End the session of ${name}, since ${since}`);
    $(".rename", item)?.setAttribute("aria-label", `Rename ${name}, since ${since}`);
  }

  async function refresh() {
    const found = await ask("GET", path);
    found.sort((a, b) => b.current - a.current); // the server has them by their last use
    const handles = new Set(found.map((each) => each.handle));
    for (const handle of items.keys()) if (!handles.has(handle)) items.delete(handle);
    for (const session of found) {
      if (!items.has(session.handle)) items.set(session.handle, make(session.handle));
      show(items.get(session.handle), session);
    }
    const focused = document.activeElement;
    const had = $("#sessions").contains(focused);
    $("#sessions").replaceChildren(...found.map((each) => items.get(each.handle)));
    if (had) (focused.isConnected ? focused : $("#sessions-title")).focus();
    return found.length;
  }

  return refresh;
}
