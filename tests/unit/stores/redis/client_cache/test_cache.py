"""Tests of jwtsession.stores.redis.client_cache: what is kept, and for how long. No server is needed."""

import asyncio
import gc
import math
import secrets
import tracemalloc
from collections.abc import Hashable, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError, TimeoutError

from jwtsession import ConfigurationError, MemorySessionStore, RedisSessionStore
from jwtsession.stores import CachedSessionStore
from jwtsession.stores.redis.client_cache.cache import _OVERHEAD_BYTES, ClientCache
from jwtsession.stores.redis.client_cache.tracking import _HEARTBEAT_SECONDS, STALENESS_SECONDS, Lease
from tests.conftest import Clock

MINUTE = 60_000


class Located:
    """A topology in which all sessions are on one server, which a test may change."""

    def __init__(self) -> None:
        self.server: Hashable | None = "a"
        self.checks = 0

    def locate(self, session_id: str) -> Hashable | None:
        return self.server

    def leads(self, server: Any) -> bool:
        return bool(server == self.server)

    def connection(self, server: Any) -> Any:
        raise NotImplementedError

    async def check(self, server: Any) -> None:
        self.checks += 1


class Near:
    """A cache, its clock, and a server that it follows."""

    def __init__(self, clock: Clock, limit: int = 1_000_000) -> None:
        self.clock = clock
        self.topology = Located()
        self.reports: list[Sequence[str] | None] = []
        self.cache = ClientCache(limit, "sess:", self.topology, clock, listeners=[self.reports.append])
        self.lease = self.follow("a")

    def follow(self, server: str) -> Lease:
        """From now on the server reports its changes."""
        lease = self.cache.tracking._leases[server] = Lease(server, self.clock())
        return lease

    def lose(self, lease: Lease) -> None:
        """The connection is lost on which the server reported."""
        self.cache._end(lease)

    def keep(self, session_id: str, value: bytes = b"1", left: Any = MINUTE) -> None:
        """A load from begin to end."""
        fetch = self.cache.fetch(session_id)
        assert fetch is not None
        self.cache.fill(session_id, fetch, value, left)
        self.cache.release(session_id, fetch)


@pytest.fixture
def near(clock: Clock) -> Near:
    return Near(clock)


# --- how much --------------------------------------------------------------------------------------------------------


def test_what_was_used_last_stays(clock: Clock) -> None:
    """Where it is full the session goes that nobody has read for longest, and a read counts as use."""
    near = Near(clock, limit=3 * (1 + 150 + _OVERHEAD_BYTES))
    for name in ("a", "b", "c"):
        near.keep(name, b"x" * 150)
    assert near.cache.get("a") is not None
    near.keep("d", b"x" * 150)
    assert [name for name in "abcd" if near.cache.get(name) is not None] == ["a", "c", "d"]


def test_what_is_too_large_is_not_kept(clock: Clock) -> None:
    """One session larger than all that there is leaves nothing behind, and no more than its place is given up."""
    near = Near(clock, limit=1000)
    near.keep("large", b"x" * 1000)
    assert near.cache.get("large") is None
    assert near.cache._entries.size == 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 4096])
def test_it_takes_no_more_memory_than_it_may(clock: Clock, size: int) -> None:
    """Full, and with sessions that come and go, it takes what it was given at most, and at least half of it."""
    near = Near(clock, limit=3_000_000)
    gc.collect()
    tracemalloc.start()
    try:
        before, most = tracemalloc.get_traced_memory()[0], 0
        for number in range(4 * 3_000_000 // size // 4):
            near.keep(secrets.token_urlsafe(32), b"%d" % number + b"x" * (size - 6), MINUTE + number)
            if not number % 100:
                most = max(most, tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    assert 1_500_000 < most <= 3_000_000


def test_the_garbage_collector_looks_at_no_entry(near: Near) -> None:
    """However many sessions are kept, a full collection visits none of them."""
    near.keep("first")
    gc.collect()
    before = len(gc.get_objects())
    for number in range(1_000):
        near.keep(f"{number}", left=MINUTE + number)
    gc.collect()
    assert near.cache.get("999") == b"1"
    assert len(gc.get_objects()) - before < 20


def test_the_count_of_bytes_is_exact(near: Near) -> None:
    """However entries come and go, by whatever way, nothing is left of them."""
    for value in (b"1", b"22", b""):
        near.keep("same", value)
    near.keep("other")
    near.keep("third")
    near.cache.forget("other")
    near.cache.forget("other")
    near.cache.invalidate([b"sess:same", b"sess:never-seen"])
    assert near.cache._entries.size > 0
    near.cache.invalidate(None)
    assert near.cache._entries.size == 0
    assert not near.cache._fetches


# --- for how long ----------------------------------------------------------------------------------------------------


def test_a_session_ends_here_when_it_ends_there(near: Near) -> None:
    """Its time counts from the moment at which it was asked for, and is over without a word from the server."""
    fetch = near.cache.fetch("a")
    assert fetch is not None
    near.clock.advance(0.4)
    near.lease.confirmed = near.clock()
    near.cache.fill("a", fetch, b"1", 900)
    near.clock.advance(0.49)
    assert near.cache.get("a") == b"1"
    near.clock.advance(0.02)
    assert near.cache.get("a") is None
    assert near.cache._entries.size == 0


def test_a_session_without_an_end_has_none(near: Near) -> None:
    """A key without a time to live stays for as long as the server is silent."""
    near.keep("a", left=-1)
    near.clock.advance(1e6)
    near.lease.confirmed = near.clock()
    assert near.cache.get("a") == b"1"


@pytest.mark.parametrize("left", [0, -2, None, ResponseError("NOPERM")])
def test_a_time_that_is_not_known_is_none(near: Near, left: Any) -> None:
    """A value whose time is over, or can't be asked for, is not kept."""
    near.keep("a", left=left)
    assert near.cache.get("a") is None


def test_what_is_not_there_is_not_kept(near: Near) -> None:
    """That there is no session is asked every time."""
    fetch = near.cache.fetch("a")
    assert fetch is not None
    near.cache.fill("a", fetch, None, -2)
    assert not len(near.cache._entries)


def test_silence_counts_for_a_second(near: Near) -> None:
    """Without a heartbeat nothing is answered after the promised time; with one it goes on."""
    near.keep("a")
    near.clock.advance(STALENESS_SECONDS)
    assert near.cache.get("a") == b"1"
    near.clock.advance(0.001)
    assert near.cache.get("a") is None
    near.lease.confirmed = near.clock()
    assert near.cache.get("a") == b"1"


def test_another_servers_word_does_not_count(near: Near) -> None:
    """A session that is located elsewhere by now is asked for there."""
    near.keep("a")
    near.topology.server = "b"
    assert near.cache.get("a") is None


def test_a_lost_connection_takes_all_with_it(near: Near) -> None:
    """What was told on it is worth nothing, neither what is kept nor what is being asked for."""
    near.keep("a")
    fetch = near.cache.fetch("b")
    assert fetch is not None
    near.lose(near.lease)
    assert near.reports == [None]
    near.cache.fill("b", fetch, b"1", MINUTE)
    assert not len(near.cache._entries)
    assert near.cache._entries.size == 0


def test_one_lost_connection_of_two_takes_its_own_sessions(near: Near) -> None:
    """What another server promised to report stays, and nothing is left when its connection is lost too."""
    near.keep("a")
    near.topology.server = "b"
    other = near.follow("b")
    near.keep("b")
    near.lose(near.lease)
    assert near.cache.get("b") == b"1"
    near.topology.server = "a"
    assert near.cache.get("a") is None
    again = near.follow("a")
    assert near.cache.get("a") is None
    near.keep("a", b"new")
    assert near.cache.get("a") == b"new"
    near.lose(again)
    near.lose(other)
    assert near.cache.entry("a") is near.cache.entry("b") is None


# --- what came in between --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", ["told", "all", "own"])
def test_a_change_on_the_way_prevents_the_fill(near: Near, between: str) -> None:
    """Where a change becomes known between the question and its answer, the answer may be older, and is not kept."""
    fetch = near.cache.fetch("a")
    assert fetch is not None
    match between:
        case "told":
            near.cache.invalidate([b"sess:b", b"sess:a"])
        case "all":
            near.cache.invalidate(None)
        case "own":
            near.cache.forget("a")
    near.cache.fill("a", fetch, b"old", MINUTE)
    assert near.cache.get("a") is None
    near.keep("a", b"new")
    assert near.cache.get("a") == b"new"


def test_a_later_question_does_not_save_an_earlier_answer(near: Near) -> None:
    """With several under way, those that were asked before the change fill nothing, whoever is answered first."""
    early = near.cache.fetch("a")
    near.cache.forget("a")
    late = near.cache.fetch("a")
    assert early is not None
    assert late is not None
    near.cache.fill("a", early, b"old", MINUTE)
    near.cache.release("a", early)
    assert near.cache.get("a") is None
    near.cache.fill("a", late, b"new", MINUTE)
    assert near.cache.get("a") == b"new"


@pytest.mark.parametrize("second", [b"new", None])
def test_an_answer_that_contradicts_what_is_kept_ends_it(near: Near, second: bytes | None) -> None:
    """Of two that are under way the first fills; where the other one found something else, nothing is kept."""
    one, other = near.cache.fetch("a"), near.cache.fetch("a")
    assert one is not None
    assert other is not None
    near.cache.fill("a", one, b"old", MINUTE)
    near.cache.release("a", one)
    near.cache.fill("a", other, b"old", MINUTE)
    assert near.cache.get("a") == b"old"
    near.cache.fill("a", other, second, MINUTE)
    assert near.cache.get("a") is None


def test_a_change_of_another_session_prevents_nothing(near: Near) -> None:
    """Only what has changed is forgotten; a key that is no text at all is nobody's."""
    near.keep("a")
    fetch = near.cache.fetch("b")
    assert fetch is not None
    near.cache.invalidate([b"sess:c", b"sess:user:x", b"sess:\xff"])
    assert near.reports[-1] == ["c", "user:x", "\ufffd"]
    near.cache.fill("b", fetch, b"1", MINUTE)
    assert near.cache.get("a") == near.cache.get("b") == b"1"


def test_questions_that_failed_leave_nothing(near: Near) -> None:
    """Whatever becomes of a load, it is not under way for ever."""
    fetch = near.cache.fetch("a")
    assert fetch is not None
    near.cache.release("a", fetch)
    assert not near.cache._fetches


# --- the heartbeat ---------------------------------------------------------------------------------------------------


class Told:
    """A connection on which a test is the server."""

    def __init__(self, near: Near) -> None:
        self.near = near
        self.script: list[tuple[float, Any]] = []
        self.pings: list[tuple[int, float]] = []

    async def send_command(self, name: str, number: int, check_health: bool = True) -> None:
        assert name == "PING"
        self.pings.append((number, self.near.clock()))

    async def read_response(self, *, disable_decoding: bool, timeout: float) -> Any:  # noqa: ASYNC109  redis-py's name
        """The next piece of the script, if its time comes before that of whoever reads."""
        if not self.script:
            raise asyncio.CancelledError
        seconds, message = self.script[0]
        if seconds > timeout:
            self.script[0] = seconds - timeout, message
            self.near.clock.advance(timeout)
            return None
        self.near.clock.advance(seconds)
        del self.script[0]
        return message

    async def listen(self, *script: tuple[float, Any]) -> None:
        self.script = [*script]
        await self.near.cache.tracking._listen(self, self.near.lease)  # type: ignore[arg-type]


def pong(number: int) -> list[bytes]:
    return [b"pong", b"%d" % number]


async def test_a_pong_confirms_what_was_before_the_ping_before(near: Near) -> None:
    """Its own turn's changes may still follow it: only the turn before is over."""
    told = Told(near)
    confirmed = []

    async def check(server: Any) -> None:
        confirmed.append(near.lease.confirmed)

    near.topology.check = check  # type: ignore[method-assign]
    times = _HEARTBEAT_SECONDS + 0.1, _HEARTBEAT_SECONDS, _HEARTBEAT_SECONDS
    with pytest.raises(asyncio.CancelledError):
        await told.listen(*((seconds, pong(number)) for number, seconds in enumerate(times, 1)))
    (_, first), (_, second), _ = told.pings
    assert confirmed[2] == first
    assert near.lease.confirmed == second


@pytest.mark.parametrize("wrong", [pong(0), pong(2), [b"pong", b""]])
async def test_a_pong_that_was_not_asked_for_confirms_nothing(near: Near, wrong: list[bytes]) -> None:
    """Where the expected one does not come the connection is given up."""
    told = Told(near)
    began = near.clock()
    with pytest.raises(TimeoutError):
        await told.listen((_HEARTBEAT_SECONDS + 0.1, wrong), (math.inf, None))
    assert near.lease.confirmed == began
    assert near.clock() - began <= _HEARTBEAT_SECONDS + STALENESS_SECONDS + 0.02
    assert near.topology.checks == 0


async def test_what_somebody_publishes_is_nothing(near: Near) -> None:
    """Only the server's own words, which are lists of keys, or nothing for all, end what is kept."""
    near.keep("a")
    told = Told(near)
    with pytest.raises(asyncio.CancelledError):
        await told.listen((0.01, [b"message", b"__redis__:invalidate", b"sess:a"]))
    assert near.cache.get("a") == b"1"
    with pytest.raises(asyncio.CancelledError):
        await told.listen((0.01, [b"message", b"__redis__:invalidate", None]))
    assert near.cache.get("a") is None


async def test_what_is_told_counts_between_ping_and_pong(near: Near) -> None:
    """Changes are heard while a PONG is waited for, and PINGs are sent however much is told."""
    near.keep("a")
    near.keep("b")
    told = Told(near)
    talk = [(0.01, [b"message", b"__redis__:invalidate", [b"sess:x"]])] * 60
    with pytest.raises(asyncio.CancelledError):
        await told.listen(
            (_HEARTBEAT_SECONDS + 0.1, [b"message", b"__redis__:invalidate", [b"sess:a"]]), (0.01, pong(1)), *talk
        )
    assert set(dict(near.cache._entries.items())) == {"b"}
    assert len(told.pings) == 2


# --- the store -------------------------------------------------------------------------------------------------------


async def test_a_client_of_ones_own_has_no_near_cache() -> None:
    """It is refused at once: nothing is known of such a client's connections."""
    client = Redis()
    with pytest.raises(ConfigurationError, match="near_cache_bytes"):
        CachedSessionStore(RedisSessionStore(client=client), 1)
    await client.aclose()


@pytest.mark.parametrize("limit", [-1, 1.5, True, "a", None])
def test_a_cache_has_a_limit_in_bytes(limit: Any) -> None:
    """Anything but a whole number from 0 is refused."""
    with pytest.raises(ConfigurationError, match=r"^limit: must be a whole number of bytes, 0 or more$"):
        CachedSessionStore(RedisSessionStore("redis://localhost"), limit)


@pytest.mark.parametrize("store", [MemorySessionStore(), None, "redis://localhost"])
def test_a_cache_is_for_a_redis_store(store: Any) -> None:
    """The server tells the cache of changes: no other store does."""
    with pytest.raises(ConfigurationError, match=r"^store: must be a RedisSessionStore$"):
        CachedSessionStore(store, 1)


def test_a_store_has_one_cache() -> None:
    """A second one is refused: it would take the first one's place. One that is refused for its limit takes nothing."""
    store = RedisSessionStore("redis://localhost")
    with pytest.raises(ConfigurationError, match="limit"):
        CachedSessionStore(store, -1)
    first = CachedSessionStore(store, 1)
    with pytest.raises(ConfigurationError, match=r"^store: already has a near cache: use that CachedSessionStore$"):
        CachedSessionStore(store, 1)
    with pytest.raises(ConfigurationError, match="RedisSessionStore"):
        CachedSessionStore(first, 1)  # type: ignore[arg-type]


async def test_it_closes_where_a_cancellation_gets_lost(near: Near) -> None:
    """A connection that swallows a cancellation holds up the end of the application for a moment only."""
    swallowed = asyncio.Event()

    class Stubborn:
        async def connect(self) -> None:
            if not swallowed.is_set():
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    swallowed.set()
            await asyncio.Event().wait()

        async def disconnect(self, nowait: bool) -> None:
            pass

    near.cache.tracking._leases.clear()
    near.topology.connection = lambda server: Stubborn()  # type: ignore[method-assign]
    near.cache.fetch("a")
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        await near.cache.close()
    assert swallowed.is_set()
    assert not near.cache.tracking._tasks
