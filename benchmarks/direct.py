"""Requests to an application in this process, as its ASGI server would call it: no socket and no HTTP parser."""

import json
from typing import Any, NamedTuple

from fastapi import FastAPI

from .servers import ANSWER, session_of

Headers = list[tuple[bytes, bytes]]

CONNECTIONS = 64
SIZE = 200
"""Bytes of a session's JSON."""


class Answer(NamedTuple):
    """What a client gets."""

    status: int
    headers: Headers
    body: bytes


async def send(app: FastAPI, headers: Headers, method: str = "GET", path: str = "/", body: bytes = b"") -> Answer:
    """Send a request."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*headers],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8_000),
        "state": {},
    }
    status, got, answer = 0, [], b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, got, answer
        if message["type"] == "http.response.start":
            status, got = message["status"], message["headers"]
        else:
            answer += message["body"]

    await app(scope, receive, send)
    return Answer(status, got, answer)


async def ask(app: FastAPI, headers: Headers, method: str = "GET", path: str = "/", body: bytes = b"") -> bytes:
    """The body of the answer.

    Raises:
        RuntimeError: The status is not 200.
    """
    status, _, answer = await send(app, headers, method, path, body)
    if status != 200:
        raise RuntimeError(f"{status} for {method} {path}")
    return answer


async def log_in(app: FastAPI) -> Headers:
    """The headers of a client with a session of its own.

    Raises:
        RuntimeError: The application does not do what is measured.
    """
    body = session_of(SIZE)
    made = json.loads(await ask(app, [(b"content-type", b"application/json")], "POST", "/session", body))
    headers = [(b"host", b"localhost"), *((name.encode(), value.encode()) for name, value in made.items())]
    if (found := json.loads(await ask(app, headers))) != ANSWER:
        raise RuntimeError(f"{found} for a session")
    return headers
