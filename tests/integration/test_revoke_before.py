"""revoke_before() with real servers: two workers over HTTP, the commands at the server, the near cache, and sockets."""

import gc
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from jwtsession import Session, SessionManager, SessionProvider, Token
from jwtsession.testing import AsyncSessionTester, Clock
from tests import servers
from tests.conftest import SECRET
from tests.fleet import CartSession, Fleet, running
from tests.web import bearer, serving

SETTINGS: dict[str, Any] = {"secret": SECRET, "revoke_before": True}


@pytest.fixture
async def admin(valkey: servers.Server, clock: Clock) -> AsyncIterator[SessionProvider[CartSession]]:
    """A third program with the same settings: the one in which somebody logs out everybody."""
    async with SessionProvider(CartSession, redis_url=valkey.url, clock=clock, **SETTINGS) as sessions:
        yield sessions


def commands(server: servers.Server) -> dict[str, int]:
    """How often the server has run each command."""
    with Redis(port=server.port, decode_responses=True) as client:
        stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): told["calls"] for name, told in stats.items()}


def ask(fleet: Fleet, name: str, token: str, times: int = 1) -> set[int]:
    return {fleet.clients[name].get("/session", headers=bearer(token)).status_code for _ in range(times)}


@pytest.mark.parametrize("near_cache_bytes", [0, 1_000_000])
async def test_two_workers_refuse_old_tokens_within_a_second(
    valkey: servers.Server, clock: Clock, admin: SessionProvider[CartSession], near_cache_bytes: int
) -> None:
    """Of both workers, over real HTTP, also if the sessions are in a worker's memory; new logins work at both."""
    with running(valkey.url, clock, {}, sockets=True, near_cache_bytes=near_cache_bytes, **SETTINGS) as fleet:
        fleet.log_in_everywhere()
        assert fleet.refused() == []
        clock.advance(0.5)
        await admin.revoke_before()
        clock.advance(0.5)
        assert len(fleet.refused()) == 4
        answer = fleet.clients["a"].get("/session", headers=bearer(fleet.tokens[0]))
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert fleet.refused(fleet.log_in("a"), fleet.log_in("b")) == []
        fleet.roll("a")  # a worker that starts afterwards knows it from its first request on
        assert len(fleet.refused(fleet.tokens[0])) == 2


async def test_a_worker_that_knows_of_nothing_cannot_renew_an_old_token(
    valkey: servers.Server, clock: Clock, admin: SessionProvider[CartSession]
) -> None:
    """Within the second in which a request still passes, its regenerate() is a 401."""
    with running(valkey.url, clock, {}, **SETTINGS) as fleet:
        token = fleet.log_in("a")
        assert ask(fleet, "a", token) == {200}
        clock.advance(0.9)
        await admin.revoke_before()
        assert ask(fleet, "a", token) == {200}
        assert fleet.clients["a"].post("/session/id", headers=bearer(token)).status_code == 401


def test_the_server_is_asked_once_a_second_by_each_worker(valkey: servers.Server, clock: Clock) -> None:
    """One GET for each of two workers and three seconds, beside the loads; without the setting not one."""
    for on in (True, False):
        with running(valkey.url, clock, {}, secret=SECRET, revoke_before=on, touch_interval=0) as fleet:
            token = fleet.log_in("a")
            before = commands(valkey)
            for _ in range(3):
                for name in fleet.clients:
                    assert ask(fleet, name, token, times=10) == {200}
                clock.advance(1)
            after = commands(valkey)
            assert after["getex"] - before.get("getex", 0) == 60
            assert after.get("get", 0) - before.get("get", 0) == (6 if on else 0)


async def test_the_read_is_one_more_round_trip_a_second(
    valkey: servers.Server, clock: Clock, admin: SessionProvider[CartSession]
) -> None:
    """A request that is alone has one command in one packet, as without the setting, and one more once a second."""
    token = (await AsyncSessionTester(admin).login(CartSession(user_id=1))).token
    await admin.authenticate(token)
    with Redis(port=valkey.port) as client:

        def packets() -> int:
            return int(client.info("stats")["total_reads_processed"])

        gc.collect()  # a connection that another test has left would be closed now, which the server counts
        client.ping()
        before = commands(valkey)["get"]
        counted = packets()
        own = packets() - counted
        for seconds in (0, 1):
            clock.advance(seconds)
            counted = packets()
            await admin.authenticate(token)
            assert packets() - counted - own == 1 + seconds
    assert commands(valkey)["get"] - before == 3


async def test_a_key_that_holds_no_time_is_a_503(valkey: servers.Server, clock: Clock) -> None:
    """Never a skip. When somebody has set it right, the sessions are there."""
    with running(valkey.url, clock, {}, **SETTINGS) as fleet:
        token = fleet.log_in("a")
        valkey.command("SET", "sess:not_before", "garbage")
        assert ask(fleet, "a", token) == {503}
        valkey.command("SET", "sess:not_before", "5")
        assert ask(fleet, "a", token) == {200}


async def test_sockets_close_at_their_next_check(
    valkey: servers.Server, clock: Clock, admin: SessionProvider[CartSession]
) -> None:
    """A WebSocket that was open before gets 1008, from a worker that nobody told."""

    class UserSession(Session):
        pass

    sessions = SessionProvider(
        UserSession, redis_url=valkey.url, clock=clock, websocket={"check_interval": 1}, **SETTINGS
    )
    app = FastAPI(lifespan=sessions.lifespan)

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]) -> Token:
        return await manager.create(UserSession())

    @app.websocket("/")
    async def echo(websocket: WebSocket, session: Annotated[UserSession, Depends(sessions.get_session)]) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    with serving(app) as client:
        token = client.post("/session").json()["access_token"]
        with connect(f"ws{str(client.base_url)[4:]}/", additional_headers=bearer(token)) as socket:
            socket.send("hello")
            assert socket.recv(10) == "hello"
            await admin.revoke_before()
            clock.advance(1)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
