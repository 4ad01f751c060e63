"""Verbs that fail in a WebSocket's endpoint, before and after `accept()`, on a real server with a real client."""

import logging
from collections.abc import Iterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from jwtsession import (
    Claims,
    InvalidArgumentError,
    MemorySessionStore,
    Session,
    SessionConflictError,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
    SessionTooLargeError,
    StoreUnavailableError,
    Token,
    TooManySessionsError,
)
from jwtsession.errors import AmbiguousTokenError
from tests.conftest import SECRET
from tests.web import bearer, serving


class UserSession(Session):
    text: str = ""


ERRORS: dict[str, Exception] = {
    "ambiguous": AmbiguousTokenError(),
    "gone": SessionNotFoundError(),
    "too-many": TooManySessionsError(),
    "conflict": SessionConflictError(),
    "too-large": SessionTooLargeError(),
    "unavailable": StoreUnavailableError(),
    "not-ours": HTTPException(404),
    "unknown": HTTPException(499, "of no standard"),
}


def application() -> FastAPI:
    sessions = SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore())
    app = FastAPI(lifespan=sessions.lifespan)
    inner = FastAPI()
    manager_ = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create(UserSession())

    @app.delete("/session")
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    @app.websocket("/reload")
    @inner.websocket("/reload")
    async def reload(websocket: WebSocket, manager: manager_) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            await manager.reload()
            await websocket.send_text("still there")

    @app.websocket("/raise/{name}")
    async def fail(websocket: WebSocket, name: str, manager: manager_) -> None:
        await websocket.accept()
        raise ERRORS[name]

    @app.websocket("/closed")
    async def fail_after_close(websocket: WebSocket, manager: manager_) -> None:
        await websocket.accept()
        await websocket.close(1000)
        raise SessionConflictError

    @app.websocket("/caught")
    async def catch(websocket: WebSocket, manager: manager_) -> None:
        await websocket.accept()
        try:
            await manager.touch()
        except SessionNotFoundError:
            await websocket.send_text("caught")
        await websocket.close()

    @app.websocket("/before")
    async def fail_before_accept(websocket: WebSocket, manager: manager_) -> None:
        await manager.touch()

    @app.websocket("/mistake")
    async def mistake(websocket: WebSocket, manager: manager_) -> None:
        await websocket.accept()
        raise InvalidArgumentError("a mistake in the code")

    app.mount("/inner", inner)
    return app


@pytest.fixture(params=["websockets-sansio", "wsproto"])
def server(request: pytest.FixtureRequest) -> Iterator[httpx2.Client]:
    with serving(application(), ws=request.param) as client:
        yield client


def open_socket(server: httpx2.Client, path: str, headers: dict[str, str] | None = None) -> Any:
    url = f"ws://{server.base_url.host}:{server.base_url.port}{path}"
    return connect(url, additional_headers=headers)


def ending(server: httpx2.Client, path: str) -> tuple[int | None, str]:
    with open_socket(server, path) as socket, pytest.raises(ConnectionClosed) as ended:
        socket.recv(timeout=10)
    frame = ended.value.rcvd
    assert frame is not None
    return frame.code, frame.reason


@pytest.mark.parametrize("path", ["/reload", "/inner/reload"])
def test_a_logout_ends_the_socket_with_1008(server: httpx2.Client, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A logout closes the socket at once, also in a sub-application, and no error is logged."""
    headers = bearer(server.post("/session").json()["access_token"])
    with caplog.at_level(logging.WARNING), open_socket(server, path, headers) as socket:
        socket.send("?")
        assert socket.recv(timeout=10) == "still there"
        server.delete("/session", headers=headers)
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv(timeout=10)
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1008, "Session ended")
    assert [record.message for record in caplog.records if record.name == "uvicorn.error"] == []


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("ambiguous", 1008, "400 Bad Request"),
        ("gone", 1008, "401 Unauthorized"),
        ("too-many", 1008, "403 Forbidden"),
        ("conflict", 1011, "409 Conflict"),
        ("too-large", 1011, "413 "),
        ("unavailable", 1013, "503 Service Unavailable"),
        ("not-ours", 1011, "404 Not Found"),
        ("unknown", 1011, "499"),
    ],
)
def test_an_error_after_accept_is_a_closing_code(
    server: httpx2.Client, caplog: pytest.LogCaptureFixture, name: str, code: int, reason: str
) -> None:
    """1008 for what the client must not, 1013 for an outage, 1011 for the rest: no ASGI protocol error."""
    with caplog.at_level(logging.WARNING):
        found = ending(server, f"/raise/{name}")
    assert (found[0], found[1][: len(reason)]) == (code, reason)
    assert [record.message for record in caplog.records if record.name == "uvicorn.error"] == []


def test_a_socket_that_was_closed_already_stays_closed_as_it_was(
    server: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """An error after `close()` changes nothing of it."""
    with caplog.at_level(logging.WARNING):
        assert ending(server, "/closed")[0] == 1000
    assert [record.message for record in caplog.records if record.name == "uvicorn.error"] == []


def test_an_endpoint_may_catch_the_error_and_go_on(server: httpx2.Client) -> None:
    """The error is the same class as in a request, and the socket is open until somebody closes it."""
    with open_socket(server, "/caught") as socket:
        assert socket.recv(timeout=10) == "caught"


def test_before_accept_it_is_the_http_answer(server: httpx2.Client) -> None:
    """The handshake is answered by the real 401."""
    with pytest.raises(InvalidStatus) as refused, open_socket(server, "/before"):
        pass
    assert refused.value.response.status_code == 401


def test_a_mistake_in_the_code_is_1011(server: httpx2.Client) -> None:
    """What is no HTTP answer anywhere ends as any exception of an endpoint does."""
    assert ending(server, "/mistake")[0] == 1011
