// send.js: the one way to the API. The browser adds the cookie by itself.

export class Refused extends Error {
  constructor(status, detail, stale) {
    super(detail);
    this.status = status; // 401: no session. 403, 413: not permitted. 404, 422: the request is wrong.
    this.stale = stale; // true: ask for the password, and send it again
  }
}

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

export async function send(method, url, data, onOutage = () => {}) {
  const request = { method, credentials: "same-origin" }; // "include" if the API has another origin
  if (data instanceof FormData) request.body = data;
  else if (data !== undefined) {
    request.headers = { "Content-Type": "application/json" };
    request.body = JSON.stringify(data);
  }
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(url, request).catch(() => new Response(null, { status: 503 })); // no network
    if (answer.ok) return answer.status === 204 ? null : answer.json();
    if (answer.status === 409 && attempt < 5) continue; // another tab was faster, and nothing was stored
    if (answer.status === 503) {
      // The store does not answer. This is no logout: the session is still there when the store is back.
      const seconds = Number(answer.headers.get("Retry-After")) || 2;
      onOutage(seconds);
      await pause(seconds);
      if (method === "GET") continue; // a write may have been done: the page reads first, and the user decides
    }
    const { detail } = await answer.json().catch(() => ({}));
    const stale = answer.headers.get("WWW-Authenticate")?.includes("insufficient_user_authentication") ?? false;
    throw new Refused(answer.status, typeof detail === "string" ? detail : "This request is wrong.", stale);
  }
}
