"""The races that need the most luck, made to happen: one step of a verb held until another verb has gone by."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis import Redis
from starlette.requests import Request

from jwtsession import (
    Claims,
    RedisSessionStore,
    Session,
    SessionConflictError,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
    SessionStore,
)
from jwtsession.testing import InspectableStore
from tests import servers
from tests.conftest import SECRET, Clock, started

pytestmark = pytest.mark.caches("near")

Manager = SessionManager[Session, Claims]
Step = Callable[[], Awaitable[object]]


class Watched:
    """A store that lets something else happen before or after a step, the first time that it is taken."""

    def __init__(self, store: SessionStore, before: str = "", after: str = "") -> None:
        self._store = store
        self._before = before
        self._after = after
        self.then: Step | None = None

    def __getattr__(self, name: str) -> Any:
        step = getattr(self._store, name)
        if name not in (self._before, self._after):
            return step

        async def watched(*args: Any, **options: Any) -> Any:
            if name == self._before:
                await self._happen()
            result = await step(*args, **options)
            if name == self._after:
                await self._happen()
            return result

        return watched

    async def _happen(self) -> None:
        then, self.then = self.then, None
        if then is not None:
            await then()


class World:
    """Providers of one store, each on a process's behalf."""

    def __init__(self, store: SessionStore, clock: Clock, living: Callable[[], set[str]]) -> None:
        self.store = store
        self.clock = clock
        self.living = living
        """The ids of all sessions in the store, read around it: who loads a session through it is seen doing so."""

    def provider(self, before: str = "", after: str = "", **options: Any) -> "Process":
        return Process(Watched(self.store, before, after), self.clock, options)


class Process:
    def __init__(self, store: Any, clock: Clock, options: dict[str, Any]) -> None:
        self._store = store
        options = {"user_index": True, "touch_interval": 3600} | options
        self.sessions = started(SessionProvider(store=store, secret=SECRET, clock=clock, **options))

    async def manager(self, token: str | None = None) -> Manager:
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": "GET", "headers": headers, "query_string": b""}
        return await self.sessions.get_manager(Request(scope))

    async def log_in(self) -> Manager:
        manager = await self.manager()
        await manager.create(Session(), Claims(sub="ann"))
        return manager

    async def listed(self) -> set[str]:
        return {info.id for info in await self.sessions.list_sessions("ann")}

    def then(self, step: Step) -> None:
        """What happens at the watched step."""
        self._store.then = step


@pytest.fixture(params=["memory", "valkey", "redis", "cluster"])
async def world(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[World]:
    if request.param == "memory":
        memory = InspectableStore(clock)
        yield World(memory, clock, lambda: {*memory.contents})
        return
    server: servers.Server = request.getfixturevalue(f"{request.param}_server")
    server.command("FLUSHALL")
    scheme = "redis+cluster" if request.param == "cluster" else "redis"
    store = RedisSessionStore(f"{scheme}://127.0.0.1:{server.port}")
    with Redis(port=server.port) as redis:

        def living() -> set[str]:
            others = (b"sess:user:", b"sess:fwd:")
            return {key.decode().removeprefix("sess:") for key in redis.scan_iter() if not key.startswith(others)}

        yield World(store, clock, living)
    await store.close()


async def test_a_login_that_overtakes_a_revoke_all_is_listed(world: World) -> None:
    """A session that is stored after revoke_all looked for it, and before its entry is taken out, stays listed."""
    looked, stored = asyncio.Event(), asyncio.Event()
    hunter, visitor = world.provider(after="destroy_all"), world.provider(before="create")
    hunt: list[asyncio.Task[int]] = []

    async def start_hunt() -> None:
        hunt.append(asyncio.create_task(hunter.sessions.revoke_all("ann")))
        await looked.wait()

    async def wait_for_login() -> None:
        looked.set()
        world.clock.advance(0.001)
        await stored.wait()

    visitor.then(start_hunt)
    hunter.then(wait_for_login)
    await visitor.log_in()
    stored.set()
    await hunt[0]
    assert await visitor.listed() == world.living()


async def test_a_session_on_its_way_to_a_new_id_does_not_escape_revoke_all(world: World) -> None:
    """revoke_all between the end of the old id and the start of the new one ends the session all the same."""
    process = world.provider(before="create")
    made = await process.log_in()
    process.then(lambda: world.provider().sessions.revoke_all("ann"))
    with pytest.raises(SessionNotFoundError):
        await made.regenerate()
    assert made.session is None
    assert not world.living()
    assert not await process.listed()


@pytest.mark.parametrize("moment", ["compare_and_delete", "create"])
async def test_a_new_id_that_comes_while_revoke_all_reads_does_not_escape(world: World, moment: str) -> None:
    """revoke_all that has read the index before the new id entered it ends the session, stored already or not."""
    hunter, process = world.provider(after="index_page"), world.provider(after=moment)
    made = await process.log_in()
    moved, hunted = asyncio.Event(), asyncio.Event()
    move: list[asyncio.Task[Any]] = []

    async def start_move() -> None:
        move.append(asyncio.create_task(made.regenerate()))
        await moved.wait()

    async def wait_for_hunt() -> None:
        moved.set()
        await hunted.wait()

    hunter.then(start_move)
    process.then(wait_for_hunt)
    await hunter.sessions.revoke_all("ann")
    hunted.set()
    await asyncio.gather(*move, return_exceptions=True)
    assert not world.living()


async def test_a_sign_in_during_revoke_all_is_listed(world: World) -> None:
    """A visitor's session that becomes the user's meanwhile is a login: it lives, and the index names it."""
    process = world.provider(before="create")
    visitor = await process.manager()
    await visitor.create(Session())
    process.then(lambda: world.provider().sessions.revoke_all("ann"))
    await visitor.regenerate(claims=Claims(sub="ann"))
    assert await process.listed() == world.living() == {visitor.id}


async def test_a_session_is_not_pruned_while_it_starts(world: World) -> None:
    """A list that takes a login for dead, since a clock is wrong, does not take out what has been stored meanwhile."""
    slow, other = world.provider(before="create"), world.provider(after="remaining")
    looked, stored = asyncio.Event(), asyncio.Event()
    read: list[asyncio.Task[set[str]]] = []

    async def start_list() -> None:
        world.clock.advance(3600)
        read.append(asyncio.create_task(other.listed()))
        await looked.wait()

    async def wait_for_login() -> None:
        looked.set()
        await stored.wait()

    slow.then(start_list)
    other.then(wait_for_login)
    made = await slow.log_in()
    stored.set()
    await read[0]
    assert await slow.listed() == world.living() == {made.id}


async def test_a_new_id_that_is_refused_takes_no_place(world: World) -> None:
    """A regenerate that meets a conflict leaves nothing in the index, where it would count as one session more."""
    process = world.provider(before="compare_and_delete", max_sessions=2)
    made = await process.log_in()
    other = await process.manager(made.token)
    process.then(lambda: other.update(Session(changed=True)))
    with pytest.raises(SessionConflictError):
        await made.regenerate()
    await process.log_in()
    assert len(world.living()) == 2


LIMIT: dict[str, Any] = {"max_sessions": 2, "too_many_sessions": "evict"}


async def test_a_slow_login_does_not_exceed_the_limit(world: World) -> None:
    """Logins that come and go while another one is being stored leave as many sessions as the limit allows."""
    slow, other = world.provider(before="create", **LIMIT), world.provider(**LIMIT)

    async def log_in_thrice() -> None:
        for _ in range(3):
            await other.log_in()

    slow.then(log_in_thrice)
    await slow.log_in()
    assert len(world.living()) == 2
    assert await other.listed() == world.living()


async def test_logins_that_make_room_at_once_end_no_more_than_they_have_to(world: World) -> None:
    """A login that knows how many there were before others made room leaves as many as the limit allows."""
    slow, other = world.provider(before="index_page", **LIMIT), world.provider(**LIMIT)
    for _ in range(2):
        await other.log_in()

    async def log_in_twice() -> None:
        for _ in range(2):
            await other.log_in()

    slow.then(log_in_twice)
    await slow.log_in()
    assert len(world.living()) == 2
    assert await other.listed() == world.living()


async def test_a_session_on_its_way_to_a_new_id_does_not_exceed_the_limit(world: World) -> None:
    """A session that should make room for a login, and moves to a new id meanwhile, does not stay as one too many."""
    process, other = world.provider(before="create", **LIMIT), world.provider(**LIMIT)
    made = await process.log_in()
    await other.log_in()
    process.then(other.log_in)
    await made.regenerate()
    assert len(world.living()) == 2
    assert await other.listed() == world.living()
