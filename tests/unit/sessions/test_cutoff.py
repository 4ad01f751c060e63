"""Tests of revoke_before(): jwtsession.sessions.cutoff, and what every way to use a token makes of it."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from jwtsession import (
    ConfigurationError,
    InvalidArgumentError,
    InvalidTokenError,
    MemorySessionStore,
    NotStartedError,
    SessionEvent,
    SessionProvider,
    StoreUnavailableError,
    TooManySessionsError,
)
from jwtsession.sessions import Cutoff, Ending, SessionWatch, Uses
from jwtsession.testing import Clock, InspectableStore
from tests.conftest import SECRET
from tests.unit.conftest import Manager, UserSession, World


class Store(InspectableStore):
    """A store that notes what it is asked, waits at a gate, and fails if it is told to."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        self.asked.append("load")
        await asyncio.sleep(0)
        return await super().load(session_id, ttl, allow_cached=allow_cached)

    async def not_before_get(self) -> float | None:
        self.asked.append("get")
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await super().not_before_get()


class Workers:
    """Two workers with one store, a session of each, and a clock."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.clock = clock
        self.store = Store(clock)
        self.a, self.b = (World(clock, self.store, revoke_before=True, **options) for _ in range(2))


@dataclass(frozen=True)
class Token:
    """What the cutoff needs of a token."""

    iat: float | None
    session_id: str = "a"
    sub: str | None = None
    exp: float | None = None
    auth_time: float | None = None
    jwtsession_idle_timeout: int | None = None
    actor: str | None = None


@pytest.fixture
def workers(clock: Clock) -> Workers:
    return Workers(clock)


def refused(manager: Manager) -> bool:
    """Whether the request has no session, because everybody was logged out."""
    if manager.session is not None:
        return False
    with pytest.raises(InvalidTokenError) as caught:
        manager.require()
    return caught.value.code == "token_revoked"


# --- off --------------------------------------------------------------------------------------------------------------


async def test_without_the_setting_it_says_so_and_nothing_is_asked_for(clock: Clock) -> None:
    """The error names the setting. No request asks the store for a time, also if another service has set one."""
    store = Store(clock)
    world = World(clock, store)
    token = await world.log_in()
    await store.not_before_set(clock())
    with pytest.raises(InvalidArgumentError, match="revoke_before=True"):
        await world.provider.revoke_before()
    manager = await world.request(token)
    await manager.reload()
    await manager.regenerate()
    assert "get" not in store.asked


def test_a_store_that_cannot_keep_the_time_is_refused_at_the_start() -> None:
    """The message names the setting, the store and what it lacks."""

    class Bare(MemorySessionStore):
        not_before_get: Any = None

    with pytest.raises(ConfigurationError, match="revoke_before: Bare does not have the methods of CutoffStore"):
        SessionProvider(UserSession, secret=SECRET, store=Bare(), revoke_before=True)
    SessionProvider(UserSession, secret=SECRET, store=Bare())


async def test_before_the_start_it_is_an_error() -> None:
    """As every other method."""
    sessions = SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore(), revoke_before=True)
    with pytest.raises(NotStartedError):
        await sessions.revoke_before()


# --- everybody out ----------------------------------------------------------------------------------------------------


async def test_every_older_token_is_refused_and_a_new_login_works(workers: Workers) -> None:
    """At once in the worker that was asked, within a second in another. The sessions themselves stay."""
    tokens = [await workers.a.log_in(sub="ann"), await workers.b.log_in()]
    assert [refused(await workers.b.request(each)) for each in tokens] == [False, False]
    workers.clock.advance(10)
    assert await workers.a.provider.revoke_before() == workers.clock()
    assert [refused(await workers.a.request(each)) for each in tokens] == [True, True]
    workers.clock.advance(1)
    assert [refused(await workers.b.request(each)) for each in tokens] == [True, True]
    assert len(workers.store.contents) == 2
    assert not refused(await workers.b.request(await workers.b.log_in(sub="ann")))


async def test_a_login_in_the_very_second_is_refused_too(workers: Workers) -> None:
    """`iat` has whole seconds, so nobody can tell which of the two came first. A second later it works."""
    workers.clock.now += 0.5
    await workers.a.provider.revoke_before()
    workers.clock.advance(0.3)
    assert refused(await workers.a.request(await workers.a.log_in()))
    workers.clock.advance(0.3)
    assert not refused(await workers.a.request(await workers.a.log_in()))


async def test_a_token_without_iat_may_be_of_any_age(clock: Clock) -> None:
    """It is good as long as nobody was logged out, and refused from then on."""
    cutoff = Cutoff(MemorySessionStore(clock), 0, clock)
    await cutoff.learn()
    assert not cutoff.refuses(Token(None))
    await cutoff.set(0)
    assert cutoff.refuses(Token(None))
    assert not cutoff.refuses(Token(clock()))


async def test_the_time_never_becomes_earlier(workers: Workers) -> None:
    """A later call with an earlier time returns the one that counts."""
    clock = workers.clock
    token = await workers.a.log_in()
    clock.advance(100)
    assert await workers.a.provider.revoke_before(clock() - 50) == clock() - 50
    assert await workers.b.provider.revoke_before(clock() - 90) == clock() - 50
    assert await workers.a.provider.revoke_before(clock() - 40) == clock() - 40
    assert refused(await workers.b.request(token))


async def test_a_worker_remembers_what_the_store_has_lost(clock: Clock) -> None:
    """After a failover without the last write, a worker that knows the time refuses old tokens all the same."""

    class Forgetful(Store):
        async def not_before_get(self) -> float | None:
            await super().not_before_get()
            return None

    store = Forgetful(clock)
    cutoff = Cutoff(store, 0, clock)
    await cutoff.set(None)
    clock.advance(1)
    await cutoff.learn()
    assert store.asked == ["get"]
    assert cutoff.refuses(Token(clock() - 1))


@pytest.mark.parametrize(
    "time",
    [
        lambda now: datetime.fromtimestamp(now, UTC),
        lambda now: datetime.fromtimestamp(now, timezone(timedelta(hours=9))),
        lambda now: now,
        int,
        lambda now: None,
        lambda now: 0,
    ],
)
async def test_the_time_has_many_forms(time: Callable[[float], Any], workers: Workers) -> None:
    """An aware datetime of any time zone, seconds as int or float, and None for now."""
    given = time(workers.clock())
    assert await workers.a.provider.revoke_before(given) == (0 if given == 0 else workers.clock())


@pytest.mark.parametrize(
    "time",
    [
        datetime(2020, 1, 1),
        datetime(1960, 1, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        math.nan,
        math.inf,
        -math.inf,
        -1,
        True,
        "2026-01-01",
        timedelta(1),
        1_800_000_000_001,
        10**400,
        1_800_000_003,
        object(),
    ],
)
async def test_what_is_no_time_or_in_the_future_changes_nothing(time: Any, clock: Clock) -> None:
    """Also a datetime without a time zone, milliseconds, and a time that no leeway excuses."""
    workers = Workers(clock, leeway=2)
    with pytest.raises(InvalidArgumentError, match="revoke_before: "):
        await workers.a.provider.revoke_before(time)
    assert await workers.store.not_before_get() is None


async def test_clocks_may_differ_by_the_leeway(clock: Clock) -> None:
    """A time that is in the future by no more is accepted."""
    workers = Workers(clock, leeway=2)
    assert await workers.a.provider.revoke_before(clock() + 2) == clock() + 2


async def test_the_log_and_the_hook_hear_of_it(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning, and the event `revoked_before`, which names no session but the time that counts."""
    caplog.set_level(logging.INFO, "jwtsession")
    told: list[SessionEvent] = []
    sessions = SessionProvider(
        UserSession, secret=SECRET, store=Store(clock), clock=clock, revoke_before=True, on_event=told.append
    )
    async with sessions:
        await sessions.revoke_before()
    assert told == [SessionEvent("revoked_before", None, "2027-01-15T08:00:00+00:00", provider="session")]
    found = [(each.levelname, each.getMessage()) for each in caplog.records if "revoke" in each.getMessage()]
    assert found == [
        ("WARNING", "revoke_before: every token issued up to 2027-01-15T08:00:00+00:00 is refused"),
        ("INFO", "revoked_before: session -, 2027-01-15T08:00:00+00:00, client -"),
    ]


async def test_threads_can_call_it(workers: Workers) -> None:
    """By `sessions.sync`, with the same result."""
    sessions = SessionProvider(UserSession, secret=SECRET, store=workers.store, clock=workers.clock, revoke_before=True)
    async with sessions:
        assert await asyncio.to_thread(sessions.sync.revoke_before) == workers.clock()
        assert await asyncio.to_thread(sessions.sync.revoke_before, 5) == workers.clock()


# --- what it costs ----------------------------------------------------------------------------------------------------


async def test_a_worker_reads_once_a_second(workers: Workers) -> None:
    """Together with a load, never after it, and all other loads ask for nothing more."""
    token = await workers.a.log_in()
    for _ in range(3):
        await workers.a.request(token)
    assert workers.store.asked == ["load", "get", "load", "load"]
    workers.clock.advance(0.9)
    await workers.a.request(token)
    workers.clock.advance(0.1)
    await workers.a.request(token)
    assert workers.store.asked == ["load", "get", "load", "load", "load", "load", "get"]


async def test_many_requests_at_once_share_one_read(workers: Workers) -> None:
    """Also the first ones of a worker, which all wait for it."""
    token = await workers.a.log_in()
    await workers.b.provider.revoke_before()
    workers.store.gate = asyncio.Event()
    running = [asyncio.create_task(workers.a.request(token)) for _ in range(20)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert not any(each.done() for each in running)
    workers.store.gate.set()
    assert all(refused(each) for each in await asyncio.gather(*running))
    assert workers.store.asked.count("get") == 1


async def test_a_refused_token_does_not_extend_its_session(workers: Workers) -> None:
    """What the worker knows already is checked before the load."""
    token = await workers.a.log_in()
    await workers.a.provider.revoke_before()
    workers.store.asked.clear()
    assert refused(await workers.a.request(token))
    assert workers.store.asked == []


async def test_a_clock_that_is_set_back_does_not_stop_the_reading(clock: Clock) -> None:
    """After a step of an hour the next load reads."""
    store = Store(clock)
    cutoff = Cutoff(store, 0, clock)
    await cutoff.learn()
    clock.advance(-3600)
    await cutoff.learn()
    assert store.asked == ["get", "get"]


# --- faults -----------------------------------------------------------------------------------------------------------


async def test_a_store_that_does_not_answer_is_a_503_until_it_answers(workers: Workers) -> None:
    """Never a skip, also if the session itself was read. Each request that waits gets an error of its own."""
    token = await workers.a.log_in()
    await workers.a.request(token)
    workers.store.error = StoreUnavailableError("cutoff_corrupt")
    assert not refused(await workers.a.request(token))  # it is known for a second
    workers.clock.advance(1)
    found = await asyncio.gather(*[workers.a.request(token) for _ in range(2)], return_exceptions=True)
    assert [getattr(each, "code", None) for each in found] == ["cutoff_corrupt", "cutoff_corrupt"]
    assert found[0] is not found[1]
    workers.store.error = None
    assert not refused(await workers.a.request(token))


async def test_a_request_that_goes_away_ends_nobody_elses_read(workers: Workers) -> None:
    """The read belongs to all requests that wait for it."""
    token = await workers.a.log_in()
    await workers.b.provider.revoke_before()
    workers.store.gate = asyncio.Event()
    first, second = (asyncio.create_task(workers.a.request(token)) for _ in range(2))
    for _ in range(10):
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    workers.store.gate.set()
    assert refused(await second)


async def test_a_read_that_fails_when_nobody_waits_any_more_is_no_warning(workers: Workers) -> None:
    """The next request reads again."""
    token = await workers.a.log_in()
    workers.store.gate, workers.store.error = asyncio.Event(), StoreUnavailableError()
    waiting = asyncio.create_task(workers.a.request(token))
    for _ in range(10):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    workers.store.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    workers.store.error = None
    assert not refused(await workers.a.request(token))


# --- ways around it ---------------------------------------------------------------------------------------------------


async def stale(workers: Workers) -> Manager:
    """A request of worker a that passed, because the worker does not know yet that everybody was logged out."""
    token = await workers.a.log_in(sub="ann")
    await workers.a.request(token)
    workers.clock.advance(0.5)
    await workers.b.provider.revoke_before()
    manager = await workers.a.request(token)
    assert manager.session is not None
    return manager


async def test_a_stale_request_cannot_replace_its_token(workers: Workers) -> None:
    """regenerate() asks the store first: else the new token's `iat` would outlive the call. The session stays."""
    manager = await stale(workers)
    with pytest.raises(InvalidTokenError) as caught:
        await manager.regenerate()
    assert caught.value.code == "token_revoked"
    assert (manager.session, len(workers.store.contents)) == (None, 1)


async def test_a_stale_request_may_log_in(workers: Workers) -> None:
    """create() is a new login. The old session ends."""
    manager = await stale(workers)
    workers.clock.advance(0.5)
    token = (await manager.create(UserSession(user_id=2))).access_token
    assert not refused(await workers.b.request(token))
    assert len(workers.store.contents) == 1


async def test_a_refused_token_can_still_log_out(workers: Workers) -> None:
    """`destroy()` works with each genuine token."""
    token = await workers.a.log_in()
    await workers.a.provider.revoke_before()
    await (await workers.a.request(token)).destroy()
    assert workers.store.contents == {}


async def test_a_ticket_is_as_old_as_its_token(workers: Workers) -> None:
    """A ticket that a stale request gets, or one from before, opens nothing."""
    ticket = (await (await stale(workers)).ticket()).ticket
    for world in (workers.b, workers.a):
        workers.clock.advance(0.5)
        with pytest.raises(InvalidTokenError):
            await world.provider.authenticate(ticket)
    token = await workers.b.log_in()
    assert not refused(await workers.b.request(token))


@pytest.mark.parametrize("verb", ["reload", "mutate", "authenticate"])
async def test_every_load_asks(verb: str, workers: Workers) -> None:
    """A request that goes on for longer than a second does not load its session again."""
    manager = await stale(workers)
    token = manager.token
    workers.clock.advance(0.5)
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "reload": manager.reload,
        "mutate": lambda: manager.mutate(lambda session: None),
        "authenticate": lambda: workers.a.provider.authenticate(token),
    }
    with pytest.raises(InvalidTokenError) as caught:
        await ways[verb]()
    assert caught.value.code == "token_revoked"


async def test_what_needs_no_token_works_as_before(clock: Clock) -> None:
    """Administrators find the sessions by their id and their user, and can end them."""
    workers = Workers(clock, user_index=True)
    manager = await workers.a.request(await workers.a.log_in(sub="ann"))
    assert manager.id is not None
    await workers.a.provider.revoke_before()
    assert await workers.a.provider.get(manager.id) is not None
    assert len(await workers.a.provider.list_sessions("ann")) == 1
    assert await workers.a.provider.revoke(manager.id)


async def test_a_read_whose_answer_is_late_is_not_waited_for_by_newer_requests(clock: Clock) -> None:
    """The store has answered it before the time was set, and its answer was on the way for longer than a second."""
    late = asyncio.Event()

    class Slow(Store):
        async def not_before_get(self) -> float | None:
            found = await super().not_before_get()
            if self.asked.count("get") == 1:
                await late.wait()
            return found

    store = Slow(clock)
    a, b = (World(clock, store, revoke_before=True) for _ in range(2))
    token = await b.log_in()
    first = asyncio.ensure_future(a.request(token))
    await asyncio.sleep(0.01)
    await b.provider.revoke_before()
    clock.advance(1)
    second = asyncio.ensure_future(a.request(token))
    await asyncio.sleep(0.01)
    late.set()
    assert refused(await second)
    assert refused(await first)


async def test_sessions_without_a_good_token_lock_nobody_out(clock: Clock) -> None:
    """With `max_sessions` and "refuse", those of before do not count any more; those of since do."""
    options = {"user_index": True, "max_sessions": 2, "too_many_sessions": "refuse"}
    workers = Workers(clock, **options)
    for _ in range(2):
        await workers.a.log_in(sub="ann")
    with pytest.raises(TooManySessionsError):
        await workers.a.log_in(sub="ann")
    await workers.b.provider.revoke_before()
    clock.advance(1)
    for _ in range(2):
        await workers.a.log_in(sub="ann")
    with pytest.raises(TooManySessionsError):
        await workers.a.log_in(sub="ann")


async def test_neither_a_login_of_that_second_nor_a_use_in_a_worker_that_did_not_know_locks_anybody_out(
    clock: Clock,
) -> None:
    """Their sessions look newer than the time, and nobody has a token for them."""
    options = {"user_index": True, "max_sessions": 2, "too_many_sessions": "refuse", "touch_interval": 0}
    workers = Workers(clock, **options)
    clock.advance(0.3)
    old = await workers.a.log_in(sub="ann")
    clock.advance(60)
    assert (await workers.a.request(old)).session is not None
    await workers.b.provider.revoke_before()
    clock.advance(0.5)
    assert (await workers.a.request(old)).session is not None
    refused = await workers.b.log_in(sub="ann")
    clock.advance(1)
    for token in (old, refused):
        assert (await workers.a.request(token)).session is None
    for _ in range(2):
        await workers.a.log_in(sub="ann")


async def test_open_sockets_end_at_the_next_look(clock: Clock) -> None:
    """Those with an older token and those without `iat`; a socket that was opened since stays."""
    store = MemorySessionStore(clock)
    cutoff = Cutoff(store, 0, clock)
    told: list[tuple[str, Ending]] = []
    watch = SessionWatch(
        store,
        Uses(None, None, None),  # type: ignore[arg-type]  # no message comes
        check_interval=5,
        close_code=1008,
        keeps_alive=False,
        clock=clock,
        timer=clock,
        cutoff=cutoff,
    )
    for name, iat in {"old": clock() - 1, "none": None, "new": clock() + 5}.items():
        await store.create(name, b"{}", 3_600_000)
        watch.add(Token(iat, name), None, lambda ending, name=name: told.append((name, ending)))  # type: ignore[misc]
    await watch.look()
    await asyncio.sleep(0)
    assert told == []
    await store.not_before_set(clock())
    clock.advance(5)
    await watch.look()
    for _ in range(5):
        await asyncio.sleep(0)
    assert sorted(name for name, _ in told) == ["none", "old"]
    assert {ending.code for _, ending in told} == {1008}
    await watch.close()


async def test_a_token_that_was_replaced_while_the_time_was_written_is_covered(clock: Clock) -> None:
    """The write takes two seconds, and a worker that knows of nothing regenerates in between: the new token is dead."""

    class Slow(Store):
        writes = 0
        during: Callable[[], Awaitable[Any]]

        async def not_before_set(self, time: float) -> float:
            self.writes += 1
            if self.writes == 1:
                clock.advance(1)
                await self.during()
                clock.advance(1)
            return await super().not_before_set(time)

    store = Slow(clock)
    a, b = (World(clock, store, revoke_before=True) for _ in range(2))
    manager = await a.request(await a.log_in())
    replaced: list[str] = []

    async def during() -> None:
        replaced.append((await manager.regenerate()).access_token)

    store.during = during
    assert await b.provider.revoke_before() == clock()
    clock.advance(1)
    assert refused(await a.request(replaced[0]))
    assert store.writes == 2


async def test_a_store_that_is_too_slow_for_now_is_a_503(clock: Clock) -> None:
    """Nobody can say which tokens the time covers, so the caller must call again."""

    class Slower(Store):
        async def not_before_set(self, time: float) -> float:
            clock.advance(1)
            return await super().not_before_set(time)

    world = World(clock, Slower(clock), revoke_before=True)
    with pytest.raises(StoreUnavailableError) as caught:
        await world.provider.revoke_before()
    assert caught.value.code == "cutoff_not_confirmed"
