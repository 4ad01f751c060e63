"""Tests of jwtsession.web.lifespan: a provider works from its first start to its last end, and says so otherwise."""

import asyncio
import gc
import logging
import warnings
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request

from jwtsession import (
    Claims,
    ConfigurationError,
    JWTSessionError,
    MemorySessionStore,
    NotStartedError,
    Session,
    SessionManager,
    SessionProvider,
    Token,
)
from tests import servers
from tests.conftest import SECRET, Clock
from tests.web import bearer


class UserSession(Session):
    user_id: int


def provider(**options: Any) -> SessionProvider[UserSession, Claims]:
    return SessionProvider(UserSession, **({"secret": SECRET, "store": MemorySessionStore()} | options))


def routed(sessions: SessionProvider[UserSession, Claims], app: FastAPI) -> FastAPI:
    """The application, with a login and an endpoint that asks for the session."""

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[Any, Any], Depends(sessions.get_manager)]) -> Token:
        return await manager.create(UserSession(user_id=1))

    @app.get("/session")
    async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> UserSession:
        return session

    @app.get("/optional")
    async def optional(
        session: Annotated[UserSession | None, Depends(sessions.get_optional_session)],
    ) -> UserSession | None:
        return session

    @app.websocket("/ws")
    async def socket(session: Annotated[UserSession, Depends(sessions.get_session)]) -> None: ...

    app.include_router(sessions.health_router())
    return app


REDIS = "redis://localhost:1"  # nobody listens there


class TestWithoutAStart:
    """What an application sees whose provider nobody started."""

    @pytest.mark.parametrize(
        "options", [{}, {"store": None, "redis_url": REDIS}, {"store": None, "redis_url": "embedded://"}]
    )
    @pytest.mark.parametrize("how", ["no lifespan", "TestClient without with", "only on a mounted one"])
    def test_a_request_names_the_remedy(self, how: str, options: dict[str, Any]) -> None:
        """No 401 and no 503 that looks like an outage: an error that tells what to write, whatever the store."""
        sessions = provider(**options)
        app = routed(sessions, FastAPI(lifespan=None if how == "no lifespan" else sessions.lifespan))
        client, prefix = TestClient(app), ""
        if how == "only on a mounted one":
            parent, prefix = FastAPI(), "/sub"
            parent.mount(prefix, app)
            client = TestClient(parent)
            client.__enter__()
        for method, path in [("POST", "/session"), ("GET", "/session"), ("GET", "/optional")]:
            with pytest.raises(NotStartedError, match=r"lifespan=sessions\.lifespan.*with TestClient"):
                client.request(method, prefix + path)
        with pytest.raises(NotStartedError), client.websocket_connect(f"{prefix}/ws"):
            pass
        if how == "only on a mounted one":
            client.__exit__()

    def test_it_is_a_500_of_the_programs_own(self) -> None:
        """A RuntimeError of the package's tree: a server answers 500 and logs it."""
        assert issubclass(NotStartedError, JWTSessionError)
        assert issubclass(NotStartedError, RuntimeError)
        app = routed(provider(), FastAPI())
        assert TestClient(app, raise_server_exceptions=False).get("/session").status_code == 500

    async def test_by_asgi_transport_too(self) -> None:
        """Httpx runs no lifespan; `async with sessions` stands in for it."""
        sessions = provider()
        app = routed(sessions, FastAPI(lifespan=sessions.lifespan))
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
            with pytest.raises(NotStartedError, match="ASGITransport"):
                await client.get("/session")
            async with sessions:
                token = (await client.post("/session")).json()["access_token"]
                assert (await client.get("/session", headers=bearer(token))).json() == {"user_id": 1}
            with pytest.raises(NotStartedError):
                await client.get("/session", headers=bearer(token))

    async def test_outside_a_request_too(self) -> None:
        """`get`, `revoke`, `list_sessions`, `revoke_all` and `sync` refuse as a request does."""
        sessions = provider(user_index=True)
        for asked in (
            sessions.get("x" * 43),
            sessions.revoke("x" * 43),
            sessions.list_sessions("ann"),
            sessions.revoke_all("ann"),
            sessions.get_manager(Request({"type": "http", "method": "GET", "headers": []})),
        ):
            with pytest.raises(NotStartedError):
                await asked
        with pytest.raises(NotStartedError):
            sessions.sync.get("x" * 43)

    async def test_a_health_check_fails_and_the_log_tells_why(self, caplog: pytest.LogCaptureFixture) -> None:
        """`ping()` never raises: it is False, and no healthy answer hides that nothing works."""
        sessions = provider()
        with caplog.at_level(logging.ERROR, "jwtsession"):
            assert not await sessions.ping()
            assert TestClient(routed(sessions, FastAPI())).get("/healthz").status_code == 503
        assert "lifespan=sessions.lifespan" in caplog.text


async def test_an_application_that_starts_without_the_provider_is_looked_at_by_its_first_request() -> None:
    """A forgotten `Depends()` in it is found then, and nobody gets a session as long as it is there."""
    sessions = provider()
    app = routed(sessions, FastAPI())

    @app.post("/items")
    async def forgot(data: UserSession) -> None: ...

    async with sessions:
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="POST /items"):
                await client.post("/session")


def test_where_the_sessions_are_stands_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line at a start, with the keyspace and without a password."""
    url = "redis://ann:canary@localhost:1/3"
    for options in ({"redis_url": url, "keyspace": "shop:", "store": None}, {}):
        sessions = provider(**options)
        with caplog.at_level(logging.INFO, "jwtsession"), TestClient(FastAPI(lifespan=sessions.lifespan)):
            pass
    first, second = [record.getMessage() for record in caplog.records if "sessions are in" in record.getMessage()]
    assert "redis://localhost:1/3" in first
    assert "'shop:'" in first
    assert "canary" not in caplog.text
    assert "MemorySessionStore" in second


class Watched(MemorySessionStore):
    """Notes when it is opened and closed, and takes a moment for both."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    async def open(self) -> None:
        self.events.append("opening")
        await asyncio.sleep(0)
        self.events.append("open")

    async def close(self) -> None:
        self.events.append("closing")
        await asyncio.sleep(0)
        self.events.append("closed")


def test_two_lifespans_of_one_application_at_once() -> None:
    """Nested test clients: the first opens, the last closes, and both serve meanwhile."""
    store = Watched()
    sessions = provider(store=store)
    app = routed(sessions, FastAPI(lifespan=sessions.lifespan))
    with TestClient(app) as outer:
        token = outer.post("/session").json()["access_token"]
        with TestClient(app) as inner:
            assert inner.get("/session", headers=bearer(token)).json() == {"user_id": 1}
        assert store.events == ["opening", "open"]
        assert outer.get("/session", headers=bearer(token)).json() == {"user_id": 1}
    assert store.events == ["opening", "open", "closing", "closed"]
    with TestClient(app) as again:
        assert again.get("/session", headers=bearer(token)).json() == {"user_id": 1}


async def test_starts_and_ends_at_the_same_time_never_cross() -> None:
    """Whoever starts waits until the store is open, and one that is closing is opened again."""
    store = Watched()
    sessions = provider(store=store)
    app = FastAPI()

    async def use(turns: int) -> None:
        async with sessions.lifespan(app):
            assert store.events[-1] == "open"
            for _ in range(turns):
                await asyncio.sleep(0)
                assert store.events[-1] == "open"

    for late in range(6):

        async def later(turns: int = late) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await use(2)

        await asyncio.gather(use(0), use(1), later())
        assert store.events[-1] == "closed"
    cycle = ["opening", "open", "closing", "closed"]
    assert store.events == cycle * (len(store.events) // 4)


def test_a_second_event_loop_is_told_where_the_store_can_not_serve_both() -> None:
    """Connections belong to a loop: the nested client does not start, and the outer one goes on."""
    sessions = provider(store=None, redis_url=REDIS)
    app = FastAPI(lifespan=sessions.lifespan)
    with TestClient(app) as outer:
        with pytest.raises(ConfigurationError, match="another event loop"), TestClient(app):
            pass
        assert outer.get("/").status_code == 404
    with TestClient(app):
        pass


def test_a_loop_that_ended_without_an_end_is_no_hindrance() -> None:
    """A server that was killed in its thread leaves a provider that can start again."""
    sessions = provider(store=None, redis_url=REDIS)

    async def begin() -> Any:
        running = sessions.lifespan(FastAPI())
        await running.__aenter__()
        return running

    kept = asyncio.run(begin())
    with TestClient(FastAPI(lifespan=sessions.lifespan)):
        pass
    del kept


async def test_a_script_opens_and_closes_it(clock: Any) -> None:
    """`async with sessions` gives the provider, nests, and closes also after an error."""
    store = Watched()
    sessions = provider(store=store)
    with pytest.raises(KeyError):  # noqa: PT012
        async with sessions as same, sessions:
            assert same is sessions
            manager = await sessions.get_manager(Request({"type": "http", "method": "GET", "headers": []}))
            await manager.create(UserSession(user_id=1))
            assert await sessions.get(str(manager.id)) == UserSession(user_id=1)
            raise KeyError
    assert store.events == ["opening", "open", "closing", "closed"]


def test_a_script_leaves_nothing_open(valkey: servers.Server) -> None:
    """No connection is left to the collector, however often a script runs: no ResourceWarning."""
    sessions = provider(store=None, redis_url=valkey.url)

    async def script() -> bool:
        async with sessions:
            return await sessions.revoke("x" * 43)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            assert asyncio.run(script()) is False
            gc.collect()


class TestSync:
    """Tests of `provider.sync`."""

    def test_a_def_endpoint_calls_the_provider(self) -> None:
        """Get, revoke, list and revoke_all work in FastAPI's threads, and give what the coroutines give."""
        sessions = provider(user_index=True)
        app = FastAPI(lifespan=sessions.lifespan)

        @app.post("/session")
        async def log_in(manager: Annotated[SessionManager[Any, Any], Depends(sessions.get_manager)]) -> list[str]:
            token = await manager.create(UserSession(user_id=1), Claims(sub="ann"))
            return [str(manager.id), token.access_token]

        @app.get("/sessions")
        def look(session_id: str) -> tuple[UserSession | None, int]:
            return sessions.sync.get(session_id), len(sessions.sync.list_sessions("ann"))

        @app.delete("/sessions")
        def end(session_id: str) -> tuple[bool, bool, int]:
            sync = sessions.sync
            return sync.revoke(session_id), sync.revoke(session_id), sync.revoke_all("ann")

        with TestClient(app) as client:
            (first, _), _ = client.post("/session").json(), client.post("/session").json()
            assert client.get("/sessions", params={"session_id": first}).json() == [{"user_id": 1}, 2]
            assert client.delete("/sessions", params={"session_id": first}).json() == [True, False, 1]
            assert client.get("/sessions", params={"session_id": first}).json() == [None, 0]

    async def test_on_the_loops_own_thread_it_says_so(self) -> None:
        """Waiting for itself would never end: a RuntimeError at once, with the way out."""
        sessions = provider()
        async with sessions:
            with pytest.raises(RuntimeError, match=r"await get\(\)"):
                sessions.sync.get("x" * 43)

    async def test_errors_cross_over(self) -> None:
        """The thread gets the very exception that the coroutine raises."""
        sessions = provider()
        async with sessions:
            with pytest.raises(JWTSessionError, match="user_index"):
                await asyncio.to_thread(sessions.sync.list_sessions, "ann")


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        ({}, []),
        ({"token_sources": ["cookie"]}, []),
        ({"token_sources": ["cookie"], "cookie": {"secure": False}}, ["cookie.secure=False"]),
        ({"token_sources": ["cookie"], "cookie": {"domain": "example.com"}}, ["cookie.domain='example.com'"]),
        ({"token_sources": ["cookie"], "csrf": "off"}, ["csrf='off'"]),
    ],
)
def test_what_the_cookie_gives_up_stands_in_the_log(
    options: dict[str, Any], warnings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A cookie over plain HTTP, one for a whole domain and no CSRF check are each a warning at the first start.

    Some drivers (Mangum) start the application again for each request: they do not fill the log.
    """
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), **options)
    for _ in range(3):
        with caplog.at_level(logging.WARNING, "jwtsession"), TestClient(FastAPI(lifespan=sessions.lifespan)):
            pass
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == warnings


async def test_a_start_soon_after_another_asks_no_server_for_its_policy(clock: Clock) -> None:
    """As drivers do that start the application for each request (Mangum). After five minutes a start asks again."""

    class Telling(MemorySessionStore):
        asked = 0

        async def eviction_policies(self) -> dict[str, tuple[str, int] | None]:
            self.asked += 1
            return {}

    store = Telling(clock)
    sessions = SessionProvider(secret=SECRET, store=store, clock=clock, user_index=True)
    for seconds, asked in [(0, 1), (299, 1), (1, 2)]:
        clock.advance(seconds)
        async with sessions.lifespan(FastAPI()):
            assert store.asked == asked
