// The one way to the API. The browser adds the cookie by itself: no script sees the token.

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status; // 401: no session. 403: not permitted. 404, 422: the request is wrong.
  }
}

export const store = new EventTarget(); // says "down", with the seconds until the next try, and "up"

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

export async function send(method, path, body) {
  const headers = body && !(body instanceof FormData) ? { "Content-Type": "application/json" } : {};
  if (headers["Content-Type"]) body = JSON.stringify(body);
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(path, { method, body, headers, credentials: "same-origin" }).catch(
      () => new Response(null, { status: 503 }), // no network: for the user it is the same
    );
    if (response.status !== 503) store.dispatchEvent(new Event("up"));
    if (response.ok) return response.status === 204 ? null : response.json();
    if (response.status === 409 && attempt < 5) continue; // another tab was faster, and nothing was stored: once more
    if (response.status === 503) {
      // The store does not answer. This is no logout: the session is still there when the store is back.
      const seconds = Number(response.headers.get("Retry-After")) || 2;
      store.dispatchEvent(new CustomEvent("down", { detail: seconds }));
      await pause(seconds);
      if (method === "GET") continue; // a write may have been done: the page looks first, and the user decides
    }
    const { detail } = await response.json().catch(() => ({}));
    throw new Refused(response.status, typeof detail === "string" ? detail : "The shop does not understand this.");
  }
}
