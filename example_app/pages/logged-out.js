// Tells why the session has ended, and brings the user back to the page that was open.

const asked = new URLSearchParams(location.search);
const why = ["here", "everywhere"].includes(asked.get("why")) ? asked.get("why") : "ended";
document.querySelector(`#${why}`).hidden = false;
const next = asked.get("next");
if (next === "/account") document.querySelector("#again").href = "/login?next=/account";
document.body.classList.add("ready");
