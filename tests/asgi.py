"""Calls of an application as an ASGI server makes them: every header to the byte, and no HTTP parser between."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Header = tuple[str, str]


@dataclass
class Answer:
    """What the application sent."""

    status: int = 0
    raw: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    accepted: bool = False

    def all(self, name: str) -> list[str]:
        """The values of each header of the name, in their order."""
        return [value.decode("latin-1") for each, value in self.raw if each.lower() == name.encode()]

    @property
    def cookies(self) -> list[str]:
        return self.all("set-cookie")

    def json(self) -> Any:
        return json.loads(self.body)


def scope_of(
    method: str = "GET",
    path: str = "/",
    headers: Iterable[Header] = (),
    *,
    scheme: str = "https",
    query: str = "",
    kind: str = "http",
) -> dict[str, Any]:
    """The scope of a request; of a handshake if the kind is `websocket`."""
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8_000),
    }
    return scope | ({"method": method} if kind == "http" else {"subprotocols": []})


async def call(app: Any, scope: dict[str, Any], body: bytes = b"") -> Answer:
    """The answer to one request, or to one handshake of a client that leaves as soon as it is let in."""
    answer, received = Answer(), 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        if scope["type"] == "websocket":
            return {"type": "websocket.connect"} if received == 1 else {"type": "websocket.disconnect", "code": 1005}
        return {"type": "http.request", "body": body if received == 1 else b"", "more_body": False}

    async def send(message: Any) -> None:
        kind = message["type"].removeprefix(f"{scope['type']}.")  # a server's `send` knows the scope, too
        if kind == "response.start":
            answer.status, answer.raw = message["status"], [tuple(each) for each in message.get("headers", ())]
        elif kind == "response.body":
            answer.body += message.get("body", b"")
        elif kind == "accept":
            answer.accepted = True

    await app(scope, receive, send)
    return answer


async def ask(app: Any, method: str = "GET", path: str = "/", *headers: Header, **options: Any) -> Answer:
    """The answer to a request with these headers."""
    body = options.pop("body", b"")
    return await call(app, scope_of(method, path, headers, **options), body)
