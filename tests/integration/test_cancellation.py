"""Requests that are cancelled, and clients that go away, at any moment: nothing wrong, half-done or leaked is left."""

import asyncio
import base64
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from jwtsession import (
    Claims,
    MemorySessionStore,
    RedisSessionStore,
    Session,
    SessionConflictError,
    SessionManager,
    SessionProvider,
    SessionStore,
)
from tests import servers, verbs
from tests.conftest import SECRET, started
from tests.proxy import Proxy
from tests.web import bearer, serving

pytestmark = [pytest.mark.caches("near", "tokens"), pytest.mark.ci]


class Numbered(Session):
    number: int
    count: int = 0


Provider = SessionProvider[Numbered, Claims]
Manager = SessionManager[Numbered, Claims]


def provider(store: SessionStore) -> Provider:
    return started(SessionProvider(Numbered, store=store, secret=SECRET, user_index=True, touch_interval=0))


async def request(sessions: Provider, token: str | None = None) -> Manager:
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    return await sessions.get_manager(Request({"type": "http", "method": "GET", "headers": headers}))


async def log_in(sessions: Provider, number: int, sub: str = "ann") -> Manager:
    manager = await request(sessions)
    await manager.create(Numbered(number=number), Claims(sub=sub))
    return manager


def count_one(session: Numbered) -> None:
    session.count += 1


def living(server: servers.Server) -> set[str]:
    """The ids of all sessions on the server."""
    return {*server.sessions()}


# --- the storm -------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def slow_and_piecemeal(upstream: int) -> AsyncIterator[int]:
    """A proxy that hands on what it gets in two pieces, each after a moment."""
    chance = random.Random(0)

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                cut = chance.randint(0, len(data))
                for piece in (data[:cut], data[cut:]):
                    await asyncio.sleep(chance.choice((0, 0, 0.001, 0.004)))
                    writer.write(piece)
                    await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(hand_on(reader, upstream_writer), hand_on(upstream_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def connections(server: servers.Server) -> int:
    """How many there are at the server, this one not counted."""
    return server.command("CLIENT", "LIST", "TYPE", "NORMAL").count(b"id=") - 1


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class Storm:
    """Requests with every verb, side by side, a third of them to be cancelled at a random moment."""

    AT_ONCE = 80
    SESSIONS = 50

    def __init__(self, sessions: Provider) -> None:
        self._sessions = sessions
        self._chance = random.Random(0)
        self._tokens: list[str] = []
        self._ids: list[str] = []
        self.outcomes: Counter[str] = Counter()

    async def rage(self, cancelled: int) -> None:
        """Until so many were cancelled: how many requests that takes depends on the machine."""
        for number in range(self.SESSIONS):
            manager = await log_in(self._sessions, number, sub=f"user-{number % 5}")
            self._tokens.append(manager.token or "")
            self._ids.append(manager.id or "")
        room = asyncio.Semaphore(self.AT_ONCE)
        while self.outcomes["cancelled"] < cancelled:
            await asyncio.gather(*(self._start(room) for _ in range(300)))

    async def _start(self, room: asyncio.Semaphore) -> None:
        async with room:
            task = asyncio.create_task(self._request(self._chance.randrange(self.SESSIONS)))
            if self._chance.random() < 1 / 3:
                asyncio.get_running_loop().call_later(self._chance.uniform(0, 0.06), task.cancel)
            await asyncio.wait([task])
            self.outcomes["cancelled" if task.cancelled() else task.result()] += 1

    async def _request(self, number: int) -> str:
        verb = self._chance.choice(("load", "load", "load", "get", "touch", "update", "mutate", "list", "others"))
        if verb == "get":
            found = await self._sessions.get(self._ids[number])
            return self._right(found is not None and found.number == number)
        manager = await request(self._sessions, self._tokens[number])
        session = manager.require()
        right = session.number == number
        match verb:
            case "touch":
                await manager.touch()
            case "update":
                session.count += 1
                with contextlib.suppress(SessionConflictError):
                    await manager.update()
            case "mutate":
                right &= (await manager.mutate(count_one)).number == number
            case "list":
                listed = {info.id for info in await self._sessions.list_sessions(f"user-{number % 5}")}
                right &= listed == set(self._ids[number % 5 :: 5])
            case "others":
                # Sessions of its own: those that all share must not end.
                other = await log_in(self._sessions, -1, sub="bob")
                await other.regenerate()
                right &= other.require().number == -1
                await other.destroy()
        return self._right(right)

    def _right(self, right: bool) -> str:
        return "right" if right else "wrong"

    async def all_live(self) -> bool:
        """Whether every session that was shared is there and in its place, asked for all at once."""
        found = await asyncio.gather(*(request(self._sessions, token) for token in self._tokens))
        return [manager.require().number for manager in found] == [*range(self.SESSIONS)]


@pytest.mark.parametrize(("kind", "cancelled"), [("redis", 300), ("redis+sentinel", 100), ("redis+cluster", 100)])
async def test_a_storm_of_cancelled_requests(
    kind: str, cancelled: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of many more requests are cancelled: no answer is another session's, no connection or task is left."""
    # A slow machine may take its time: what is asked here is what cancellations leave, and a leak would end it too.
    monkeypatch.setattr("jwtsession.stores.redis._exchange.DEADLINE_SECONDS", 60.0)
    patient = "max_connections={}&timeout=60&socket_timeout=60&socket_connect_timeout=60"
    server: servers.Server = request.getfixturevalue("cluster_server" if kind == "redis+cluster" else "valkey_server")
    server.command("FLUSHALL")
    async with contextlib.AsyncExitStack() as stack:
        if kind == "redis":
            # Eight connections for eighty requests.
            port = await stack.enter_async_context(slow_and_piecemeal(server.port))
            store = RedisSessionStore(f"redis://127.0.0.1:{port}/0?{patient.format(8)}")
        elif kind == "redis+sentinel":
            sentinel: servers.Server = request.getfixturevalue("sentinel_server")
            store = RedisSessionStore(f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster/0?{patient.format(50)}")
        else:
            store = RedisSessionStore(f"redis+cluster://127.0.0.1:{server.port}?{patient.format(50)}")
        others = connections(server)
        tasks = asyncio.all_tasks()
        storm = Storm(provider(store))
        await storm.rage(cancelled)
        assert storm.outcomes.keys() == {"right", "cancelled"}
        if kind == "redis":
            pool = store._connections.servers.client.connection_pool  # type: ignore[union-attr]
            assert len(pool._in_use_connections) == 0
            assert connections(server) - others <= 8 + 2  # two more for loads alone
            # Only the proxy's own, one for each connection.
            tasks |= {task for task in asyncio.all_tasks() if "slow_and_piecemeal" in repr(task.get_coro())}
        else:
            assert connections(server) - others <= Storm.AT_ONCE
        await until(lambda: asyncio.all_tasks() <= tasks)
        assert await storm.all_live()
        await store.close()
        await until(lambda: connections(server) <= others)


# --- every step ------------------------------------------------------------------------------------------------------


class Cut(MemorySessionStore):
    """What a cancellation leaves, or a crash: from one step on nothing happens any more.

    That step is done, as by a server whose answer nobody waits for, or it is not.
    """

    def __init__(self, store: SessionStore, step: int, done: bool) -> None:
        self._store = store
        self.step = step
        self._done = done
        self.taken = 0
        """Steps, all in all."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name in ("step", "taken"):
            return super().__getattribute__(name)
        step = getattr(self._store, name)

        async def taken(*args: Any, **options: Any) -> Any:
            self.taken += 1
            if self.taken == self.step and self._done:
                await step(*args, **options)
            if self.taken >= self.step:
                raise asyncio.CancelledError
            return await step(*args, **options)

        return taken


class Interrupted:
    """A user with two sessions, on a server, and a provider that stops at some step."""

    def __init__(self, server: servers.Server, store: SessionStore) -> None:
        self.server = server
        self.whole = provider(store)
        self._store = store

    async def set_up(self) -> None:
        self.server.command("FLUSHALL")
        self.old, self.other = await log_in(self.whole, 1), await log_in(self.whole, 2)

    async def until_step(self, step: int, done: bool, verb: Callable[[Provider, Manager], Awaitable[Any]]) -> bool:
        """Do a verb with the first session up to a step. Whether that was before its end."""
        cut = Cut(self._store, 10_000, done)
        sessions = provider(cut)
        manager = await request(sessions, self.old.token)
        cut.step, cut.taken = step, 0
        with contextlib.suppress(asyncio.CancelledError):
            await verb(sessions, manager)
        return cut.taken >= step

    async def listed(self) -> set[str]:
        return {info.id for info in await self.whole.list_sessions("ann")}

    async def found(self, token: str | None) -> Numbered | None:
        return (await request(self.whole, token)).session


async def _update(_: Provider, manager: Manager) -> None:
    count_one(manager.require())
    await manager.update()


VERBS: dict[str, Callable[[Provider, Manager], Awaitable[Any]]] = {
    "load": lambda sessions, manager: request(sessions, manager.token),
    "reload": lambda sessions, manager: manager.reload(),
    "touch": lambda sessions, manager: manager.touch(),
    "update": _update,
    "mutate": lambda sessions, manager: manager.mutate(count_one),
    "destroy": lambda sessions, manager: manager.destroy(),
    "destroy others": lambda sessions, manager: manager.destroy_others(),
    "revoke all": lambda sessions, manager: sessions.revoke_all("ann"),
    "list": lambda sessions, manager: sessions.list_sessions("ann"),
    "log in": lambda sessions, manager: log_in(sessions, 3),
    "log in again": lambda sessions, manager: manager.create(Numbered(number=3), Claims(sub="ann")),
    "regenerate": lambda sessions, manager: manager.regenerate(),
    "sign in as another": lambda sessions, manager: manager.regenerate(claims=Claims(sub="bob")),
}
ENDING = ("destroy", "revoke all", "log in again", "regenerate", "sign in as another")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
async def test_a_verb_that_stops_at_any_step(verb: str, done: bool, valkey: servers.Server) -> None:
    """Whatever step is the last: who lives is listed, nobody lives under two ids, and a later request finds it whole.

    The old session is as it was, or as the verb leaves it, or has ended. It can be ended, and then all has ended.
    """
    store = RedisSessionStore(valkey.url)
    world = Interrupted(valkey, store)
    for step in range(1, 100):
        await world.set_up()
        if not await world.until_step(step, done, VERBS[verb]):
            break
        alive = living(valkey)
        bobs = {info.id for info in await world.whole.list_sessions("bob")}
        assert alive == await world.listed() | bobs, step
        old = await world.found(world.old.token)
        assert (old is not None) or verb in ENDING
        if old is not None:
            assert old == Numbered(number=1, count=old.count)
            assert old.count in ((0, 1) if verb in ("update", "mutate") else (0,))
        others = alive - {world.old.id, world.other.id}
        if "log in" not in verb:
            assert len(others) + (old is not None) <= 1, step
        if verb not in ("revoke all", "destroy others"):
            assert await world.found(world.other.token) == Numbered(number=2)
        for each in alive:
            assert await world.whole.get(each) is not None
        await world.whole.revoke_all("ann")
        await world.whole.revoke_all("bob")
        assert not living(valkey), step
    assert 1 < step < 20
    await store.close()


# --- clients that go away --------------------------------------------------------------------------------------------


class Watched:
    """ASGI middleware that counts requests under way and, if it should, cancels those whose client has gone."""

    running = 0

    def __init__(self, app: Any, cancels: bool) -> None:
        self._app = app
        self._cancels = cancels

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        Watched.running += 1
        try:
            await self._until_gone(scope, receive, send)
        finally:
            Watched.running -= 1

    async def _until_gone(self, scope: Any, receive: Any, send: Any) -> None:
        never = asyncio.Event()

        async def no_body() -> dict[str, Any]:
            if scope.setdefault("read", False):
                await never.wait()
            scope["read"] = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        answer, leave = asyncio.create_task(self._app(scope, no_body, send)), asyncio.create_task(gone())
        await asyncio.wait([answer, leave], return_when=asyncio.FIRST_COMPLETED)
        if self._cancels:
            answer.cancel()
        leave.cancel()
        await asyncio.wait([answer, leave])


class Shop:
    """The application behind a slow network, and clients of it that lose patience."""

    CUTS = 12

    def __init__(self, client: httpx2.Client, server: servers.Server, network: Proxy, cancels: bool) -> None:
        self.client = client
        self.cancels = cancels
        self._server = server
        self._network = network

    def log_in(self) -> list[str]:
        """As many tokens as there are moments to go away at."""
        return [self.client.post("/session").json()["access_token"] for _ in range(self.CUTS)]

    async def lose_patience(self, what: str, tokens: Sequence[str | None]) -> None:
        """Each client a moment later than the one before, and then until the server is done with them all."""
        self._network.delay = 0.01
        await asyncio.gather(*(self._leave(what, token, 0.012 * n) for n, token in enumerate(tokens)))
        await until(lambda: not Watched.running)
        self._network.delay = 0.0

    async def _leave(self, what: str, token: str | None, after: float) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self.client.base_url.port)
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(f"{what} HTTP/1.1\r\nHost: shop\r\n{authorization}\r\n".encode())
        await writer.drain()
        await asyncio.sleep(after)
        writer.transport.abort()

    def living(self) -> set[str]:
        return living(self._server)

    def listed(self) -> set[str]:
        return {*self.client.get("/devices/ann").json()}

    def session(self, token: str) -> dict[str, Any] | None:
        """As a later request finds it; None for a 401."""
        answer = self.client.get("/session", headers=bearer(token))
        assert answer.status_code in (200, 401)
        found: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return found


@pytest.fixture(params=[False, True], ids=["goes on", "cancelled"])
def shop(request: pytest.FixtureRequest, valkey: servers.Server) -> Iterator[Shop]:
    """An application that does not notice that clients go away, as ASGI servers have it, and one that does."""
    with Proxy(valkey.port).running() as proxy:
        sessions = SessionProvider(
            verbs.UserSession, redis_url=proxy.url, secret=SECRET, user_index=True, touch_interval=0
        )
        app: FastAPI = verbs.application(sessions)
        app.add_middleware(Watched, cancels=request.param)
        with serving(app) as client:
            yield Shop(client, valkey, proxy, request.param)


def id_of(token: str) -> str:
    payload = token.split(".")[1]
    found: str = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    return found


async def test_who_leaves_during_a_change_finds_it_made_or_not(shop: Shop) -> None:
    """A change is made or not made, once, and the session takes the next one."""
    for what, before, after in (
        ("PUT /session?item=tea", {"user_id": 1, "cart": []}, {"user_id": 1, "cart": ["tea"]}),
        ("PATCH /session", {"user_id": 1, "cart": []}, {"user_id": 2, "cart": []}),
    ):
        tokens = shop.log_in()
        await shop.lose_patience(what, tokens)
        for token in tokens:
            found = shop.session(token)
            assert found is not None
            assert found in ((before, after) if shop.cancels else (after,))
            more = shop.client.put("/session", params={"item": "more"}, headers=bearer(token))
            assert more.json() == found | {"cart": [*found["cart"], "more"]}


async def test_who_leaves_during_a_touch_or_a_read_loses_nothing(shop: Shop) -> None:
    """The session is as it was, and listed."""
    tokens = shop.log_in()
    for what in ("POST /touch", "GET /session", "GET /devices/ann"):
        await shop.lose_patience(what, tokens)
        assert shop.listed() == shop.living() == {id_of(token) for token in tokens}
    assert all(shop.session(token) == {"user_id": 1, "cart": []} for token in tokens)


async def test_who_leaves_during_a_logout_is_logged_out_or_not(shop: Shop) -> None:
    """The session is there, whole and listed, or it is gone and stays so."""
    tokens = shop.log_in()
    await shop.lose_patience("DELETE /session", tokens)
    alive = shop.living()
    assert shop.listed() == alive
    for token in tokens:
        assert shop.session(token) == ({"user_id": 1, "cart": []} if id_of(token) in alive else None)
    assert shop.living() == alive
    assert bool(alive) == shop.cancels


async def test_who_leaves_during_a_login_leaves_nothing_that_is_not_listed(shop: Shop) -> None:
    """Also where the login would have ended an older session: that one is whole, or has ended."""
    for again in (False, True):
        tokens: Sequence[str | None] = shop.log_in() if again else [None] * Shop.CUTS
        await shop.lose_patience("POST /session", tokens)
        alive = shop.living()
        assert shop.listed() == alive
        assert shop.cancels or len(alive) == len(tokens)
        for token in filter(None, tokens):
            assert shop.session(token) == ({"user_id": 1, "cart": []} if id_of(token) in alive else None)
        shop.client.delete("/everywhere/ann")
        assert not shop.living()


async def test_who_leaves_during_regenerate_has_one_session_or_none(shop: Shop) -> None:
    """The old id or the new one lives, never both; where neither does, the client is logged out."""
    tokens = shop.log_in()
    await shop.lose_patience("POST /id", tokens)
    alive = shop.living()
    assert shop.listed() == alive
    assert len(alive) <= len(tokens) if shop.cancels else len(alive) == len(tokens)
    for token in tokens:
        assert shop.session(token) == ({"user_id": 1, "cart": []} if id_of(token) in alive else None)
    shop.client.delete("/everywhere/ann")
    assert not shop.living()


async def test_who_leaves_during_revoke_all_can_do_it_again(shop: Shop) -> None:
    """Whoever still lives is listed, and the next revoke_all ends them."""
    shop.log_in()
    await shop.lose_patience("DELETE /everywhere/ann", [None] * Shop.CUTS)
    assert shop.listed() == shop.living()
    shop.client.delete("/everywhere/ann")
    assert not shop.living()
