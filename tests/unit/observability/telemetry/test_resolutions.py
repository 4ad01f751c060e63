"""Tests of telemetry in a whole provider: what requests, verbs, events, sockets and caches count."""

import asyncio
import threading
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient

from jwtsession import (
    Claims,
    MemorySessionStore,
    RedisSessionStore,
    Session,
    SessionConflictError,
    SessionManager,
    SessionProvider,
    StoreUnavailableError,
    Token,
)
from jwtsession.observability import AuditTrail
from jwtsession.stores import CachedSessionStore
from jwtsession.testing import AsyncSessionTester, Clock
from tests import servers
from tests.conftest import SECRET
from tests.unit.conftest import request
from tests.unit.observability.telemetry.conftest import SDK
from tests.web import bearer


class Visit(Session):
    count: int = 0


async def log_in(provider: SessionProvider[Any, Any], session: Any = None) -> str:
    """The token of a new session. A tester would put a store of its own into the provider."""
    manager = await provider.get_manager(request())
    return (await manager.create({} if session is None else session, transport="bearer")).access_token


class Fragile(MemorySessionStore):
    """A store that can be down."""

    down = False

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        if self.down:
            raise StoreUnavailableError
        return await super().load(session_id, ttl)


def application(**options: Any) -> FastAPI:
    options = {"secret": SECRET, "store": MemorySessionStore(), "request_key": "shop"} | options
    sessions = SessionProvider(Visit, Claims, **options)
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[Visit, Claims], Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(manager: manager_, sub: str = "ann") -> Token:
        return await manager.create(Visit(), Claims(sub=sub))

    @app.get("/session")
    async def read(session: Annotated[Visit, Depends(sessions.get_session)]) -> int:
        return session.count

    @app.post("/twice")
    async def twice(manager: manager_, session: Annotated[Visit, Depends(sessions.get_session)]) -> None: ...

    @app.delete("/session")
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    @app.websocket("/socket")
    async def socket(socket: WebSocket, session: Annotated[Visit, Depends(sessions.get_session)]) -> None:
        await socket.accept()
        await socket.send_text("open")
        await socket.receive_text()

    return app


SOURCES = {
    "token_sources": ["bearer", "header", "query", "body", "cookie"],
    "request_arg": "jwt",
    "cookie": {"secure": False, "name": "sid"},
}


@pytest.mark.parametrize(
    ("arguments", "status", "outcome", "source"),
    [
        ({"headers": {"authorization": "Bearer {}"}}, 200, "ok", "bearer"),
        ({"headers": {"x-jwt": "{}"}}, 200, "ok", "header"),
        ({"params": {"jwt": "{}"}}, 200, "ok", "query"),
        ({"headers": {"cookie": "sid={}", "sec-fetch-site": "same-origin"}}, 200, "ok", "cookie"),
        ({"headers": {"cookie": "sid={}", "sec-fetch-site": "cross-site"}}, 403, "cross_site_request", "cookie"),
        ({"headers": {"authorization": "Bearer x.y.z"}}, 401, "token_malformed", "bearer"),
        ({"headers": {"authorization": "Bearer {}"}, "params": {"jwt": "a.b.c"}}, 400, "ambiguous_token", "none"),
        ({}, 401, "anonymous", "none"),
    ],
)
def test_a_request_counts_by_its_outcome_and_the_place_of_its_token(
    sdk: SDK, arguments: dict[str, dict[str, str]], status: int, outcome: str, source: str
) -> None:
    """Once, also where two dependencies ask for its session."""
    with TestClient(application(**SOURCES)) as client:
        token = client.post("/session", headers={"session-transport": "bearer"}).json()["access_token"]
        before = sdk.numbers("jwtsession.resolutions")
        sent = {kind: {name: text.format(token) for name, text in each.items()} for kind, each in arguments.items()}
        assert client.post("/twice", **sent).status_code == status  # type: ignore[arg-type]
        after = sdk.numbers("jwtsession.resolutions")
    assert {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key)} == {
        ("shop", outcome, source): 1
    }


@pytest.mark.parametrize("explained", [False, True])
def test_a_store_that_is_down_counts_as_a_503(sdk: SDK, explained: bool) -> None:
    """Also where it fails only when it is asked why a session is gone."""
    store = Fragile()
    with TestClient(application(store=store)) as client:
        token = client.post("/session").json()["access_token"]
        if explained:
            client.delete("/session", headers=bearer(token))

            async def fail(*_: object) -> None:
                raise StoreUnavailableError

            store.forward_get = fail  # type: ignore[method-assign, assignment]
        else:
            store.down = True
        assert client.get("/session", headers=bearer(token)).status_code == 503
    assert sdk.numbers("jwtsession.resolutions")["shop", "store_unavailable", "bearer"] == 1


def test_a_session_that_is_gone_counts_by_the_code_of_its_error(sdk: SDK) -> None:
    """And the events count by their names, without what they say of a session."""
    with TestClient(application()) as client:
        token = client.post("/session").json()["access_token"]
        client.delete("/session", headers=bearer(token))
        assert client.get("/session", headers=bearer(token)).status_code == 401
    assert sdk.numbers("jwtsession.resolutions")["shop", "session_not_found", "bearer"] == 1
    assert sdk.numbers("jwtsession.events") == {
        ("created", "login"): 1,
        ("destroyed", "logout"): 1,
        ("refused", "session_not_found"): 1,
    }


async def test_the_cache_of_tokens_counts_its_questions(sdk: SDK) -> None:
    """A token that this process has signed is known; without a cache each question passes by."""
    for limit in (100_000, 0):
        provider = SessionProvider(secret=SECRET, store=MemorySessionStore(), token_cache_bytes=limit)
        async with AsyncSessionTester(provider) as tester:
            token = (await tester.login({})).token
            await tester.manager(token)
            await tester.manager("x.y.z")
    assert sdk.numbers("jwtsession.token_cache.requests") == {("hit",): 1, ("miss",): 1, ("bypass",): 2}


@pytest.mark.slow
async def test_a_mutate_notes_how_often_it_tried(sdk: SDK) -> None:
    """Also one that gives up."""
    async with AsyncSessionTester(SessionProvider(Visit, secret=SECRET, store=MemorySessionStore())) as tester:
        login = await tester.login(Visit())
        one, other = await tester.manager(login.token), await tester.manager(login.token)
        late = 2

        async def change(session: Visit) -> None:
            nonlocal late
            if late:
                late -= 1
                await other.mutate(lambda found: setattr(found, "count", found.count + 1))
            session.count += 10

        await one.mutate(change)
        point = sdk.points("jwtsession.mutate.attempts")[()]
        assert (point.count, point.sum, point.max) == (3, 5, 3)
        late = 100
        with pytest.raises(SessionConflictError):
            await one.mutate(change)
        assert sdk.points("jwtsession.mutate.attempts")[()].max == 32


def test_open_sockets_are_counted_while_they_are_open(sdk: SDK) -> None:
    """The number goes down again."""
    with TestClient(application()) as client:
        token = client.post("/session").json()["access_token"]
        with client.websocket_connect("/socket", headers=bearer(token)) as socket:
            socket.receive_text()
            assert sdk.numbers("jwtsession.sockets") == {(): 1}
            socket.send_text("bye")
        assert sdk.numbers("jwtsession.sockets") == {}


def test_events_that_a_slow_hook_did_not_get_are_counted(sdk: SDK) -> None:
    """All of them; the log tells of some."""
    going_on = threading.Event()
    trail = AuditTrail(lambda _: going_on.wait(30), telemetry=sdk.telemetry)
    trail.open()
    for _ in range(10_020):  # 10,000 may wait
        trail.emit("refused", code="session_not_found")
    dropped = sdk.numbers("jwtsession.audit.dropped")
    going_on.set()
    trail.close()
    assert 18 <= dropped[()] <= 20  # one is with the hook, or just on its way to it


async def test_loads_that_share_a_round_trip_are_a_batch(sdk: SDK, valkey: servers.Server) -> None:
    """The first load goes at once. The others wait for it together: their spans are linked, and they ask once."""
    provider = SessionProvider(secret=SECRET, redis_url=valkey.url)
    async with provider:
        tokens = [await log_in(provider) for _ in range(8)]
        with sdk.tracer.start_as_current_span("requests"):
            await asyncio.gather(*[provider.get_manager(request(each)) for each in tokens])
    spans = sdk.spans()
    assert len(spans) == 8
    linked = [link.context.span_id for each in spans for link in each.links]
    assert len(linked) == 6
    assert len({*linked}) == 1
    batches = [(each.attributes or {}).get("jwtsession.store.load.batch") for each in spans]
    assert (batches.count(None), batches.count(7)) == (1, 7)
    assert sdk.numbers("jwtsession.store.operations")["load", "ok"] == 8


async def test_a_failure_and_its_second_attempt_are_one_operation(sdk: SDK) -> None:
    """As long as both took."""
    provider = SessionProvider(secret=SECRET, redis_url=f"redis://127.0.0.1:{servers.free_port()}")
    other = SessionProvider(secret=SECRET, store=MemorySessionStore())
    async with other, provider:
        token = await log_in(other)
        with sdk.tracer.start_as_current_span("request"), pytest.raises(StoreUnavailableError):
            await provider.get_manager(request(token))
    assert sdk.numbers("jwtsession.store.operations")["load", "error", "ConnectionError"] == 1
    (span,) = sdk.spans()
    assert dict(span.attributes or {}) == {"error.type": "ConnectionError"}


async def test_the_near_cache_counts_its_questions_and_says_how_long_its_server_was_silent(
    sdk: SDK, valkey: servers.Server
) -> None:
    """What memory answers is no operation of the store, and has no span."""
    store = CachedSessionStore(RedisSessionStore(valkey.url), 1_000_000)
    provider = SessionProvider(Visit, secret=SECRET, store=store, touch_interval=60)
    async with provider:
        assert sdk.numbers("jwtsession.near_cache.silence") == {}
        token = await log_in(provider, Visit())
        for _ in range(200):
            await provider.get_manager(request(token))
            if sdk.numbers("jwtsession.near_cache.requests").get(("hit",)):
                break
            await asyncio.sleep(0.01)
        asked = sdk.numbers("jwtsession.store.operations")["load", "ok"]
        with sdk.tracer.start_as_current_span("request"):
            manager = await provider.get_manager(request(token))
        assert sdk.spans() == []
        with sdk.tracer.start_as_current_span("request"):
            await manager.reload()
        assert len(sdk.spans()) == 1
        numbers = sdk.numbers("jwtsession.near_cache.requests")
        assert numbers["hit",] == 2
        assert numbers["miss",] + numbers["bypass",] == asked + 1
        assert sdk.numbers("jwtsession.store.operations")["load", "ok"] == asked + 1
        assert 0 < sdk.numbers("jwtsession.near_cache.silence")[()] < 1


async def everything(users: int, store: MemorySessionStore) -> set[str]:
    """Let so many users log in, be refused in many ways, and log out. Return what no attribute may have."""
    clock = Clock()
    options: Any = {"secret": SECRET, "store": store, "user_index": True, "clock": clock, "max_sessions": 5}
    async with AsyncSessionTester(SessionProvider(Visit, Claims, **options)) as tester:
        secrets: set[str] = set()
        for number in range(users):
            sub = f"user-{number}"
            login = await tester.login(Visit(), Claims(sub=sub))
            secrets |= {sub, login.id, login.token}
            manager = await tester.manager(login.token)
            await manager.update()
            for token in (None, "x.y.z", f"{login.token}x"):
                await tester.manager(token)
            await manager.destroy()
            await tester.manager(login.token)
        return secrets


@pytest.mark.ci
async def test_ten_thousand_users_have_as_many_series_as_ten(sdk: SDK) -> None:
    """No attribute has an id, a user or a token: the number of series depends on the code alone."""

    def series() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        return {
            (name, tuple(sorted((point.attributes or {}).items())))
            for name, metric in sdk.metrics().items()
            for point in metric.data.data_points
        }

    await everything(10, MemorySessionStore())
    few = series()
    secrets = await everything(10_000, MemorySessionStore())
    many = series()
    assert many == few
    assert len(many) < 100
    values = {value for _, attributes in many for _, value in attributes}
    assert not values & secrets
