"""Open sockets end with their session: workers on one server, with and without the near cache, behind uvicorn."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token
from tests import servers
from tests.conftest import SECRET
from tests.servers import Server
from tests.web import bearer, serving, serving_by_hypercorn

pytestmark = [pytest.mark.slow, pytest.mark.ci]


class UserSession(Session):
    text: str = ""


def worker(url: str, *, near: bool = False, ended: list[str] | None = None) -> FastAPI:
    """An application with endpoints that wait, that send, and that do both in tasks."""
    sessions = SessionProvider(
        UserSession,
        secret=SECRET,
        redis_url=url,
        near_cache_bytes=1_000_000 if near else 0,
        websocket={"check_interval": 1},
    )
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]
    ends = [] if ended is None else ended

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create(UserSession(), Claims(sub="ada"))

    @app.post("/session/id")
    async def rotate(manager: manager_) -> Token:
        return await manager.regenerate()

    @app.delete("/session")
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    @contextlib.contextmanager
    def noted(name: str) -> Iterator[None]:
        try:
            yield
        except (WebSocketDisconnect, ExceptionGroup):
            ends.append(name)
            raise

    async def send_ticks(websocket: WebSocket) -> None:
        while True:
            await websocket.send_text("tick")
            await asyncio.sleep(0.001)

    @app.get("/events")
    async def events(manager: manager_) -> StreamingResponse:
        async def ticks() -> AsyncIterator[str]:
            try:
                yield "data: open\n\n"
                await asyncio.Event().wait()
            finally:
                ends.append("events")

        return StreamingResponse(ticks(), media_type="text/event-stream")

    @app.websocket("/idle")
    async def idle(websocket: WebSocket, manager: manager_) -> None:
        await websocket.accept()
        await websocket.send_text("open")
        with noted("idle"):
            while True:
                await websocket.send_text(await websocket.receive_text())

    @app.websocket("/busy")
    async def busy(websocket: WebSocket, manager: manager_) -> None:
        await websocket.accept()
        with noted("busy"):
            await send_ticks(websocket)

    @app.websocket("/group")
    async def group(websocket: WebSocket, manager: manager_) -> None:
        await websocket.accept()
        with noted("group"):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send_ticks(websocket))
                tasks.create_task(websocket.receive_text())

    return app


@pytest.fixture(params=["websockets-sansio", "wsproto"])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def open_socket(server: httpx2.Client, path: str, headers: dict[str, str]) -> Any:
    return connect(f"ws://{server.base_url.host}:{server.base_url.port}{path}", additional_headers=headers)


def log_in(server: httpx2.Client) -> dict[str, str]:
    return bearer(server.post("/session").json()["access_token"])


def closed(socket: Any) -> tuple[int, str]:
    """How the socket closes, whatever comes before."""
    with pytest.raises(ConnectionClosed) as ended:
        [socket.recv(timeout=10) for _ in iter(int, 1)]
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.message for record in caplog.records if record.name in ("uvicorn.error", "hypercorn.error", "asyncio")
    ]


@pytest.mark.parametrize("path", ["/idle", "/busy", "/group"])
def test_a_logout_closes_every_kind_of_endpoint(
    valkey: Server, implementation: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One that waits for messages, one that sends without a pause, one with tasks: 1008, and no error is logged."""
    ended: list[str] = []
    with caplog.at_level(logging.WARNING), serving(worker(valkey.url, ended=ended), ws=implementation) as server:
        headers = log_in(server)
        with open_socket(server, path, headers) as socket:
            socket.recv(timeout=10)
            server.delete("/session", headers=headers)
            assert closed(socket) == (1008, "Session ended")
    assert ended == [path[1:]]
    assert errors(caplog) == []


DRIVERS: dict[str, Callable[[FastAPI], contextlib.AbstractContextManager[httpx2.Client]]] = {
    "h11": partial(serving, http="h11"),
    "httptools": partial(serving, http="httptools"),
    "hypercorn": serving_by_hypercorn,
    "hypercorn-http2": partial(serving_by_hypercorn, http1=False, http2=True),
}


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)
def test_a_stream_is_complete_when_its_session_ends(
    valkey: Server,
    driver: Callable[[FastAPI], contextlib.AbstractContextManager[httpx2.Client]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client sees the end of a whole answer, the generator is closed, and no error is logged; another session's
    stream goes on, over HTTP/2 on the same connection.
    """
    ended: list[str] = []
    with caplog.at_level(logging.WARNING), driver(worker(valkey.url, ended=ended)) as server:
        with httpx2.Client(
            base_url=server.base_url
        ) as client:  # Hypercorn 0.17.3 answers some POSTs too early for HTTP/2
            headers, others = log_in(client), log_in(client)
        with (
            server.stream("GET", "/events", headers=others) as other,
            server.stream("GET", "/events", headers=headers) as answer,
        ):
            parts, others_parts = answer.iter_raw(), other.iter_raw()
            assert [next(parts), next(others_parts)] == [b"data: open\n\n"] * 2
            server.delete("/session", headers=headers)
            assert [*parts] == []
            servers.until(lambda: ended == ["events"], "the generator", 5)
            server.delete("/session", headers=others)
            assert [*others_parts] == []
    assert ended == ["events"] * 2
    assert errors(caplog) == []


@pytest.mark.parametrize("near", [False, True])
def test_a_logout_in_another_worker_closes_the_socket(valkey: Server, near: bool) -> None:
    """Within the interval and half a second; with the near cache long before."""
    with serving(worker(valkey.url, near=near)) as one, serving(worker(valkey.url)) as other:
        for _ in range(3):
            headers = log_in(one)
            with open_socket(one, "/idle", headers) as socket:
                socket.recv(timeout=10)
                time.sleep(0.3)  # the near cache has to follow the server first
                began = time.monotonic()
                other.delete("/session", headers=headers)
                assert closed(socket) == (1008, "Session ended")
                took = time.monotonic() - began
            assert took < (0.5 if near else 1.5)


def test_regenerate_in_the_same_worker_keeps_the_socket(valkey: Server) -> None:
    """It ends with the new id. After a regenerate in another worker the old id is gone."""
    with serving(worker(valkey.url)) as one, serving(worker(valkey.url)) as other:
        headers = log_in(one)
        with open_socket(one, "/idle", headers) as socket:
            assert socket.recv(timeout=10) == "open"
            new = bearer(one.post("/session/id", headers=headers).json()["access_token"])
            time.sleep(1.2)  # a look passes
            socket.send("still here")
            assert socket.recv(timeout=10) == "still here"
            one.delete("/session", headers=new)
            assert closed(socket) == (1008, "Session ended")
        headers = log_in(one)
        with open_socket(one, "/idle", headers) as socket:
            socket.recv(timeout=10)
            other.post("/session/id", headers=headers)
            assert closed(socket) == (1008, "Session ended")


def test_an_outage_keeps_sockets_and_then_closes_them_with_1013(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short outage closes none. In a longer one the client is told to come back."""
    own_server = servers.valkey(tmp_path).start()
    with serving(worker(own_server.url)) as server:
        headers = log_in(server)
        with open_socket(server, "/idle", headers) as socket:
            socket.recv(timeout=10)
            own_server.stop()
            time.sleep(2.5)
            socket.send("still here")
            assert socket.recv(timeout=10) == "still here"
            monkeypatch.setattr("jwtsession.sessions.watch.session_watch.OUTAGE_SECONDS", 1.0)
            assert closed(socket) == (1013, "Session store unavailable")


def test_a_client_that_leaves_as_its_session_ends_is_no_error(valkey: Server, caplog: pytest.LogCaptureFixture) -> None:
    """At the same moment, in either order, by a close or by a lost connection."""
    with caplog.at_level(logging.WARNING), serving(worker(valkey.url)) as server:
        for number in range(36):
            headers = log_in(server)
            with open_socket(server, ("/idle", "/busy", "/group")[number % 3], headers) as socket:
                socket.recv(timeout=10)
                if number % 2:
                    server.delete("/session", headers=headers)
                if number % 4 < 2:
                    with contextlib.suppress(OSError):  # the server's close was first
                        socket.socket.shutdown(2)  # the network fails
                else:
                    socket.close()
            server.delete("/session", headers=headers)
    assert errors(caplog) == []
