"""Bodies that are not what their headers say, on a real server, where the token may stand in the body."""

import socket
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request

from jwtsession import MemorySessionStore, Session, SessionProvider, Token
from jwtsession.transports.body import MAX_BODY_BYTES
from tests.conftest import SECRET
from tests.web import serving

SIZE = 30_000_000


class Counted:
    """An application, and how many bytes of its requests' bodies it has taken from the server."""

    def __init__(self) -> None:
        sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), token_sources=("bearer", "body"))
        app = self._app = FastAPI(lifespan=sessions.lifespan)
        self.taken = 0

        @app.post("/login")
        async def log_in(manager: Annotated[Any, Depends(sessions.get_manager)]) -> Token:
            token: Token = await manager.create({"name": "ann"})
            return token

        @app.post("/session", dependencies=[Depends(sessions.get_session)])
        async def read() -> None: ...

        @app.post("/stream", dependencies=[Depends(sessions.get_manager)])
        async def stream(request: Request) -> int:
            return sum([len(chunk) async for chunk in request.stream()])

        @app.post("/name")
        async def name(session: Annotated[Session, Depends(sessions.get_session)]) -> Any:
            return session

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counted() -> Any:
            message = await receive()
            self.taken += len(message.get("body", b""))
            return message

        await self._app(scope, counted, send)


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture(params=["h11", "httptools"])
def server(request: pytest.FixtureRequest, counted: Counted) -> Iterator[Any]:
    with serving(counted, http=request.param) as client:
        yield client


def send(client: Any, path: str, *headers: str, size: int = SIZE) -> bytes:
    """The status line of the answer to a body of JSON objects, sent in chunks until the server has had enough."""
    host, port = client.base_url.host, client.base_url.port
    head = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", "Connection: close", *headers]
    piece = b"{}," * 20_000
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        try:
            for _ in range(size // len(piece)):
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")
        except OSError:  # it has answered, and reads no more
            pass
        return connection.makefile("rb").readline()


@pytest.mark.parametrize(
    "headers", [("Content-Length: 10", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked",)]
)
def test_a_body_without_an_honest_length_is_not_read(server: Any, counted: Counted, headers: tuple[str, ...]) -> None:
    """Of 30 MB in chunks, whatever the length beside them says, nothing beyond the limit is taken: a 401, or a 400."""
    try:
        status = send(server, "/session", *headers)
    except ConnectionResetError:
        status = b""  # the server closed while there was more to come
    assert not status or status.split()[1] in (b"401", b"400")
    assert counted.taken <= MAX_BODY_BYTES


def test_an_endpoint_that_wants_such_a_body_has_all_of_it(server: Any, counted: Counted) -> None:
    """What the search leaves alone is the endpoint's."""
    answer = server.post("/stream", content=(b"{}," * 1000 for _ in range(100)))
    assert answer.json() == counted.taken == 300_000


def test_a_token_in_an_ordinary_body_is_found(server: Any) -> None:
    """With a Content-Length within the limit; beyond it the request has no token."""
    token = server.post("/login").json()["access_token"]
    assert server.post("/session", json={"accessToken": token}).status_code == 200
    assert server.post("/session", data={"accessToken": token}).status_code == 200
    assert server.post("/session", json={"accessToken": token, "x": "y" * MAX_BODY_BYTES}).status_code == 401
    assert server.post("/name", json={"accessToken": token}).json() == {"name": "ann"}
