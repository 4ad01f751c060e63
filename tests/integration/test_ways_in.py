"""The ways into a WebSocket and into an event stream, on a real server with a real client and a real store."""

import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from jwtsession import AuthenticationError, Claims, Session, SessionManager, SessionProvider, Ticket, Token
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer, serving


class UserSession(Session):
    user: str


def application(url: str) -> FastAPI:
    sessions = SessionProvider(UserSession, secret=SECRET, redis_url=url, near_cache_bytes=100_000)
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]
    session_ = Annotated[UserSession, Depends(sessions.get_session)]

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create(UserSession(user="ann"))

    @app.delete("/session")
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    @app.post("/ticket")
    async def ticket(manager: manager_) -> Ticket:
        return await manager.ticket()

    @app.post("/ticket/sync")
    def ticket_in_a_thread(manager: manager_) -> Ticket:
        return manager.sync.ticket()

    @app.get("/events")
    async def events(session: session_) -> StreamingResponse:
        async def stream() -> AsyncIterator[str]:
            yield f"data: {session.user}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    @app.websocket("/live")
    async def live(websocket: WebSocket, session: session_, manager: manager_) -> None:
        await websocket.accept()
        seen = {*websocket.scope["subprotocols"], *websocket.headers.getlist("sec-websocket-protocol")}
        await websocket.send_json({"user": session.user, "token": manager.token is not None, "offered": [*seen]})
        await websocket.receive_text()

    @app.websocket("/first")
    async def first_message(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            manager = await sessions.authenticate(await websocket.receive_text())
        except AuthenticationError:
            await websocket.close(4401)
            return
        async with sessions.until_ended(manager):
            await websocket.send_text(manager.require().user)
            await websocket.receive_text()
        await websocket.close(4401)

    return app


@pytest.fixture(scope="module", params=["websockets-sansio", "wsproto"])
def server(request: pytest.FixtureRequest, valkey_server: servers.Server) -> Iterator[httpx2.Client]:
    with serving(application(valkey_server.url), ws=request.param) as client:
        yield client


@pytest.fixture
def token(server: httpx2.Client) -> str:
    found: str = server.post("/session").json()["access_token"]
    return found


def open_socket(server: httpx2.Client, path: str, *offered: str, **headers: str) -> Any:
    url = f"ws://{server.base_url.host}:{server.base_url.port}{path}"
    return connect(url, subprotocols=[Subprotocol(each) for each in offered] or None, additional_headers=headers)


def ticket_for(server: httpx2.Client, token: str, path: str = "/ticket", **headers: str) -> str:
    answer = server.post(path, headers=bearer(token) | headers)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["expires_in"] == 30
    ticket: str = answer.json()["ticket"]
    return ticket


def status_of(server: httpx2.Client, path: str, *offered: str, **headers: str) -> int:
    """The answer to a handshake that is refused."""
    with pytest.raises(InvalidStatus) as refused, open_socket(server, path, *offered, **headers):
        pass
    return refused.value.response.status_code


def test_a_subprotocol_opens_the_socket_and_ends_with_its_session(server: httpx2.Client, token: str) -> None:
    """The server answers `jwtsession`, the endpoint sees no token, and a logout closes the socket."""
    with open_socket(server, "/live", "jwtsession", f"jwtsession.token.{token}") as socket:
        assert socket.subprotocol == "jwtsession"
        assert json.loads(socket.recv(timeout=10)) == {"user": "ann", "token": True, "offered": ["jwtsession"]}
        server.delete("/session", headers=bearer(token))
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv(timeout=10)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1008
    assert status_of(server, "/live", "jwtsession", f"jwtsession.token.{token}") == 401
    assert status_of(server, "/live", "jwtsession.token.a", "jwtsession.token.b") == 400


@pytest.mark.parametrize("path", ["/ticket", "/ticket/sync"])
def test_a_ticket_opens_a_socket_that_ends_with_its_session(server: httpx2.Client, token: str, path: str) -> None:
    """Once; the socket has the session and no token, and a logout closes it."""
    ticket = ticket_for(server, token, path)
    with open_socket(server, f"/live?ticket={ticket}") as socket:
        assert json.loads(socket.recv(timeout=10)) == {"user": "ann", "token": False, "offered": []}
        assert status_of(server, f"/live?ticket={ticket}") == 401
        server.delete("/session", headers=bearer(token))
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv(timeout=10)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1008


def test_a_ticket_opens_a_stream(server: httpx2.Client, token: str) -> None:
    """A GET that accepts an event stream, once, and no other GET."""
    params, stream = {"ticket": ticket_for(server, token)}, {"Accept": "text/event-stream"}
    assert server.get("/events", params=params).status_code == 401
    assert server.get("/events", params=params, headers=stream).text == "data: ann\n\n"
    assert server.get("/events", params=params, headers=stream).status_code == 401


def test_of_many_who_use_a_ticket_one_gets_in(server: httpx2.Client, token: str) -> None:
    """At the same time, over real connections."""
    params, stream = {"ticket": ticket_for(server, token)}, {"Accept": "text/event-stream"}
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(server.get, "/events", params=params, headers=stream) for _ in range(8)]
    assert sorted(each.result().status_code for each in answers) == [200] + [401] * 7


def test_a_ticket_is_of_one_origin(server: httpx2.Client, token: str) -> None:
    """Another page's handshake is refused, and the ticket is used up."""
    page = {"Origin": "https://app.example"}
    with open_socket(server, f"/live?ticket={ticket_for(server, token, **page)}", **page):
        pass
    ticket = ticket_for(server, token, **page)
    assert status_of(server, f"/live?ticket={ticket}", Origin="https://evil.example") == 401
    assert status_of(server, f"/live?ticket={ticket}", **page) == 401
    own = f"http://{server.base_url.host}:{server.base_url.port}"
    with open_socket(server, f"/live?ticket={ticket_for(server, token)}", Origin=own):
        pass


def test_a_ticket_lives_for_30_seconds_under_its_hash(
    server: httpx2.Client, token: str, valkey_server: servers.Server
) -> None:
    """The store has one key for it, with its time to live, and neither the ticket nor the token."""
    ticket = ticket_for(server, token)
    found = valkey_server.command("KEYS", "*ticket:*").decode().split("\r\n")
    key = next(each for each in found if each.startswith("sess:ticket:"))
    assert 0 < int(valkey_server.command("PTTL", key)[1:]) <= 30_000
    value = valkey_server.command("GET", key).decode()
    assert ticket not in key + value
    assert token not in value
    assert token.rpartition(".")[2] not in value


def test_the_first_message_may_have_the_token(server: httpx2.Client, token: str) -> None:
    """By `authenticate`; and by `until_ended` the socket ends with its session."""
    for wrong in ("", "x", token[:-4]):
        with open_socket(server, "/first") as socket:
            socket.send(wrong)
            with pytest.raises(ConnectionClosed) as ended:
                socket.recv(timeout=10)
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 4401
    with open_socket(server, "/first") as socket:
        socket.send(token)
        assert socket.recv(timeout=10) == "ann"
        server.delete("/session", headers=bearer(token))
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv(timeout=10)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 4401
