"""The near cache on real servers: what others change is known at once, and in time where the network fails."""

import asyncio
import contextlib
import logging
import re
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Blocking
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from starlette.requests import Request

from jwtsession import RedisSessionStore, SessionProvider, StoreUnavailableError
from jwtsession.stores import CachedSessionStore
from jwtsession.stores.redis import rights
from jwtsession.stores.redis.client_cache.cache import ClientCache, Entry
from jwtsession.stores.redis.client_cache.topology import _Server
from jwtsession.stores.redis.client_cache.tracking import STALENESS_SECONDS, Lease
from tests import servers, verbs
from tests.conftest import SECRET, Clock, started
from tests.contract.test_store import RIGHTS
from tests.parts import parts_of
from tests.proxy import Proxy

pytestmark = pytest.mark.ci

ID = "an-id-of-the-near-cache-tests"
HOUR = 3_600_000
MEGABYTE = 1 << 20


async def until(done: Callable[[], Any], what: str, seconds: float = 10, pause: float = 0.002) -> None:
    """Wait for what a server or a connection does."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(pause)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[CachedSessionStore]:
    store = CachedSessionStore(RedisSessionStore(url), MEGABYTE)
    try:
        yield store
    finally:
        await store.close()


def cache(store: CachedSessionStore) -> ClientCache:
    (found,) = parts_of(store, ClientCache)
    return found


def told_instead(store: CachedSessionStore, hear: Callable[[Any], object]) -> None:
    """What the server tells of changes goes there, and not into the cache."""
    cache(store).tracking._invalidate = hear  # type: ignore[assignment]


def follow(store: CachedSessionStore, server: servers.Server | Proxy) -> None:
    """Hear of changes by another way than that of the loads."""
    cache(store).tracking._topology = direct(server)


def entry(store: CachedSessionStore) -> Entry:
    """What is kept of the session."""
    found = cache(store).entry(ID)
    assert found is not None
    return found


def keeps(store: CachedSessionStore, session_id: str = ID) -> bool:
    """Whether a load would be answered without the server."""
    return any(each.get(session_id) is not None for each in parts_of(store, ClientCache))


async def read(store: CachedSessionStore, session_id: str = ID) -> bytes | None:
    """As a request does."""
    return await store.load(session_id, allow_cached=True)


async def kept(store: CachedSessionStore, value: bytes, session_id: str = ID) -> None:
    """Read until it is kept: as soon as the server is followed."""
    deadline = time.monotonic() + 10
    while not keeps(store, session_id):
        assert await read(store, session_id) == value
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def gets(server: servers.Server) -> int:
    stats = server.command("INFO", "commandstats").decode()
    return sum(int(count) for count in re.findall(r"cmdstat_(?:get|getex|pttl):calls=(\d+)", stats))


@pytest.fixture
async def ours(engine: servers.Server) -> AsyncIterator[CachedSessionStore]:
    """A worker that keeps a session, and reads it without the server."""
    async with opened(engine.url) as store:
        assert await store.create(ID, b"1", HOUR)
        await kept(store, b"1")
        yield store


@pytest.fixture
async def theirs(engine: servers.Server) -> AsyncIterator[CachedSessionStore]:
    """Another worker."""
    async with opened(engine.url) as store:
        yield store


# --- what it is for --------------------------------------------------------------------------------------------------


async def test_a_hit_asks_nobody_and_waits_for_nothing(ours: CachedSessionStore, engine: servers.Server) -> None:
    """A session that is near is there at the first step of the coroutine, a thousand times without a command."""
    engine.command("CONFIG", "RESETSTAT")
    for _ in range(1000):
        with pytest.raises(StopIteration) as stopped:
            ours.load(ID, allow_cached=True).send(None)  # type: ignore[attr-defined]
        assert stopped.value.value == b"1"
    assert gets(engine) == 0


async def test_only_who_asks_for_near_gets_it(ours: CachedSessionStore, engine: servers.Server) -> None:
    """A plain load and one that extends the time to live are the server's, whatever is kept."""
    engine.command("CONFIG", "RESETSTAT")
    assert await ours.load(ID) == b"1"
    await kept(ours, b"1")
    assert await ours.load(ID, HOUR, allow_cached=True) == b"1"
    stats = engine.command("INFO", "commandstats")
    assert b"cmdstat_getex:calls=1" in stats


async def test_without_the_setting_nothing_is_kept(engine: servers.Server) -> None:
    """By default every load is the server's, and no connection listens."""
    listening = engine.command("CLIENT", "LIST").count(b"sub=1")
    store = RedisSessionStore(engine.url)
    await store.create(ID, b"1", HOUR)
    engine.command("CONFIG", "RESETSTAT")
    for _ in range(10):
        assert await store.load(ID, allow_cached=True) == b"1"
    assert gets(engine) == 10
    assert engine.command("CLIENT", "LIST").count(b"sub=1") == listening
    await store.close()


async def test_requests_read_near_and_verbs_do_not(engine: servers.Server) -> None:
    """A request's first load asks no server; `reload`, `mutate` and `get` outside a request do."""
    settings = {"redis_url": engine.url, "near_cache_bytes": MEGABYTE, "touch_interval": 3600}
    sessions = started(SessionProvider(verbs.UserSession, secret=SECRET, **settings))
    manager = await sessions.get_manager(verbs_request())
    token = (await manager.create(verbs.UserSession(user_id=1))).access_token
    store = sessions.store
    assert isinstance(store, CachedSessionStore)
    deadline = time.monotonic() + 10
    while not keeps(store, str(manager.id)):
        await sessions.get_manager(verbs_request(token))
        assert time.monotonic() < deadline
    engine.command("CONFIG", "RESETSTAT")
    found = [await sessions.get_manager(verbs_request(token)) for _ in range(5)]
    assert gets(engine) == 0
    # Each request has an object of its own.
    found[0].require().cart.append("mine")
    assert found[1].require().cart == []
    await found[0].reload()
    assert gets(engine) == 1
    await sessions.get(str(manager.id))
    assert gets(engine) == 2
    await found[0].mutate(lambda session: session.cart.append("book"))
    assert gets(engine) > 2
    assert (await sessions.get_manager(verbs_request(token))).require().cart == ["book"]
    await store.close()


def verbs_request(token: str | None = None) -> Any:
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    return Request({"type": "http", "method": "GET", "headers": headers, "query_string": b""})


# --- what others do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda store, server: store.update(ID, b"1", b"2", HOUR), b"2"),
        (lambda store, server: store.destroy(ID), None),
        (lambda store, server: store.destroy_all(["x", ID]), None),
        (lambda store, server: store.compare_and_delete(ID, b"1"), None),
        (lambda store, server: asyncio.to_thread(server.command, "SET", f"sess:{ID}", "2"), b"2"),
        (lambda store, server: asyncio.to_thread(server.command, "PEXPIRE", f"sess:{ID}", "20"), None),
        (lambda store, server: asyncio.to_thread(server.command, "RENAME", f"sess:{ID}", "elsewhere"), None),
        (lambda store, server: asyncio.to_thread(server.command, "FLUSHALL"), None),
        (lambda store, server: asyncio.to_thread(server.command, "FLUSHDB", "ASYNC"), None),
    ],
    ids=["update", "destroy", "destroy_all", "compare_and_delete", "SET", "expiry", "RENAME", "FLUSHALL", "FLUSHDB"],
)
async def test_what_another_worker_does_is_known(
    ours: CachedSessionStore,
    theirs: CachedSessionStore,
    engine: servers.Server,
    change: Callable[[CachedSessionStore, servers.Server], Awaitable[Any]],
    found: bytes | None,
) -> None:
    """The server tells, and the next load is what there is; far sooner than the lease would see to it."""
    await change(theirs, engine)
    await until(lambda: not keeps(ours), "the word of the server", STALENESS_SECONDS / 2)
    deadline = time.monotonic() + 1
    while (value := await read(ours)) != found:
        assert value == b"1"  # about to expire
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "words",
    [
        ("COPY", "elsewhere", f"sess:{ID}", "REPLACE"),
        ("RENAME", "elsewhere", f"sess:{ID}"),
        ("RESTORE", f"sess:{ID}", "0", "<dump>", "REPLACE"),
    ],
    ids=lambda words: words[0],
)
async def test_what_takes_a_sessions_place_is_known(
    ours: CachedSessionStore, engine: servers.Server, words: tuple[str, ...]
) -> None:
    """By whatever command it comes there."""
    with Blocking(port=engine.port) as client:
        client.set("elsewhere", "2")
        dumped = client.dump("elsewhere")
        client.execute_command(*[dumped if word == "<dump>" else word for word in words])
    await until(lambda: not keeps(ours), "the word of the server", STALENESS_SECONDS / 2)
    assert await read(ours) == b"2"


async def test_what_moves_to_another_database_or_is_evicted_is_known(
    ours: CachedSessionStore, engine: servers.Server
) -> None:
    """A session that goes without having been ended is gone here too."""
    assert engine.command("MOVE", f"sess:{ID}", "9") == b":1\r\n"
    await until(lambda: not keeps(ours), "the word of the server", STALENESS_SECONDS / 2)
    assert await read(ours) is None
    await ours.create(ID, b"1", HOUR)
    await kept(ours, b"1")
    engine.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    engine.command("CONFIG", "SET", "maxmemory", "1")
    try:
        engine.command("SET", "whatever", "needs memory")
        await until(lambda: not keeps(ours), "the word of the server", STALENESS_SECONDS / 2)
        assert await read(ours) is None
    finally:
        engine.command("CONFIG", "SET", "maxmemory", "0")
        engine.command("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_swapped_databases_are_told_by_nobody(
    ours: CachedSessionStore, engine: servers.Server, clock: Clock
) -> None:
    """SWAPDB is known when a read extends the idle timeout, within touch_interval; or when the connections are ended,
    as the guide says.
    """
    settings: dict[str, Any] = {"touch_interval": 30, "clock": clock}
    sessions = started(SessionProvider(verbs.UserSession, secret=SECRET, store=ours, **settings))
    manager = await sessions.get_manager(verbs_request())
    token = (await manager.create(verbs.UserSession(user_id=1))).access_token
    assert manager.id is not None
    await until_near(ours, manager.id)
    engine.command("SWAPDB", "0", "9")
    try:
        assert (await sessions.get_manager(verbs_request(token))).session is not None
        clock.advance(30)
        assert (await sessions.get_manager(verbs_request(token))).session is None
        engine.command("SWAPDB", "0", "9")
        await until_near(ours, manager.id)
        engine.command("SWAPDB", "0", "9")
        engine.command("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: not keeps(ours, str(manager.id)), "the end of the connection", STALENESS_SECONDS / 2)
        assert (await sessions.get_manager(verbs_request(token))).session is None
    finally:
        engine.command("FLUSHALL")


async def until_near(store: CachedSessionStore, session_id: str) -> None:
    """Read until it is kept."""
    deadline = time.monotonic() + 10
    while not keeps(store, session_id):
        assert await read(store, session_id) is not None
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


async def test_another_workers_touch_moves_the_end(ours: CachedSessionStore, theirs: CachedSessionStore) -> None:
    """A session that is kept alive does not end here at its old time, nor live here beyond a new, earlier one."""
    assert await theirs.touch(ID, 400)
    await until(lambda: not keeps(ours), "the word of the server")
    await kept(ours, b"1")
    assert entry(ours).deadline <= time.monotonic() + 0.4
    assert await theirs.touch(ID, HOUR)
    await until(lambda: not keeps(ours), "the word of the server")
    await kept(ours, b"1")
    assert entry(ours).deadline > time.monotonic() + 3000


async def test_own_writes_are_read_at_once(ours: CachedSessionStore) -> None:
    """A worker reads what it has just written, each time, although it had the value before."""
    for number in range(1, 200):
        await kept(ours, b"%d" % number)
        await ours.update(ID, b"%d" % number, b"%d" % (number + 1), HOUR)
        assert await read(ours) == b"%d" % (number + 1)
    await ours.destroy(ID)
    assert await read(ours) is None
    await ours.create(ID, b"again", HOUR)
    assert await read(ours) == b"again"


async def test_what_was_read_at_the_server_is_not_followed_by_something_older(
    ours: CachedSessionStore, theirs: CachedSessionStore
) -> None:
    """After a plain load found a new value, a near one does not give the old one, though the server's word is late."""
    told_instead(ours, lambda keys: None)
    await theirs.update(ID, b"1", b"2", HOUR)
    assert await read(ours) == b"1"
    assert await ours.load(ID) == b"2"
    assert await read(ours) == b"2"


async def test_a_value_that_is_overtaken_on_its_way_is_not_kept(engine: servers.Server) -> None:
    """The reply to a load arrives after the word that it is old: it is answered, once, and the next load is new."""
    with Proxy(engine.port).running() as proxy:
        async with opened(proxy.url) as slow, opened(engine.url) as other:
            await other.create(ID, b"1", HOUR)
            assert await slow.ping()
            follow(slow, engine)
            await kept(slow, b"1")
            cache(slow).forget(ID)
            proxy.delay = 0.3
            loading = asyncio.create_task(read(slow))
            count = gets(engine)
            await until(lambda: gets(engine) > count, "the load to arrive")
            await other.update(ID, b"1", b"2", HOUR)
            assert await loading == b"1"
            proxy.delay = 0.0
            assert not keeps(slow)
            assert await read(slow) == b"2"


def direct(server: servers.Server | Proxy) -> _Server:
    """A way to follow a server that is another than that of the loads."""
    port = server.port

    class Direct(_Server):
        def __init__(self) -> None:
            pass

        def connection(self, server: Any) -> Any:
            return Connection(port=port, protocol=2, socket_timeout=None, socket_connect_timeout=1)

    return Direct()


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Any:
    """A server of the test's own, to be maltreated."""
    server = servers.valkey(tmp_path / "own", "--enable-debug-command", "yes").start()
    yield server
    server.kill()


async def test_a_session_expires_in_time_without_a_word(own: servers.Server) -> None:
    """A server that does not come across an expired key says nothing; the session is gone here all the same."""
    own.command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    async with opened(own.url) as store:
        await store.create("other-session-that-stays", b"1", HOUR)
        await kept(store, b"1", "other-session-that-stays")
        await store.create(ID, b"1", 1000)
        created = time.monotonic()
        await kept(store, b"1")
        told: list[Any] = []
        told_instead(store, told.append)
        assert entry(store).deadline - created <= 1.001
        await until(lambda: not keeps(store), "the end of the session")
        assert told == []
        await until(lambda: time.monotonic() - created > 1.01, "the server's end of it")
        assert await read(store) is None


# --- a network that fails --------------------------------------------------------------------------------------------


@pytest.fixture
async def followed(
    engine: servers.Server,
) -> AsyncIterator[tuple[CachedSessionStore, CachedSessionStore, Proxy]]:
    """A worker whose loads reach the server, and that follows it through a proxy; another worker; the proxy."""
    with Proxy(engine.port).running() as proxy:
        async with opened(engine.url) as store, opened(engine.url) as other:
            await other.create(ID, b"1", HOUR)
            assert await store.ping()
            follow(store, proxy)
            await kept(store, b"1")
            yield store, other, proxy


def mute(proxy: Proxy) -> None:
    proxy.mute = True


def black_hole(proxy: Proxy) -> None:
    proxy.black_hole = True


@pytest.mark.parametrize("fails", [mute, black_hole])
async def test_a_silent_failure_is_over_within_the_lease(
    followed: tuple[CachedSessionStore, CachedSessionStore, Proxy], fails: Callable[[Proxy], None]
) -> None:
    """What the server tells gets lost and no connection ends: the old value is served for a second, and no longer."""
    store, other, proxy = followed
    fails(proxy)
    await other.update(ID, b"1", b"2", HOUR)
    changed = time.monotonic()
    assert await read(store) == b"1"  # else there was nothing to fear
    late = 0.0
    while (began := time.monotonic()) < changed + 2 * STALENESS_SECONDS:
        if await read(store) == b"1":
            late = began - changed
        await asyncio.sleep(0.001)
    print(f"{fails.__name__}: the old value was served for {late:.3f} s")
    assert 0 < late <= STALENESS_SECONDS
    # The connection is given up, and all is as before when the network is well again.
    proxy.mute = proxy.black_hole = False
    await kept(store, b"2")


async def test_a_long_black_hole_costs_nobody_anything(
    followed: tuple[CachedSessionStore, CachedSessionStore, Proxy],
) -> None:
    """While the server can't be followed loads go on as without a cache, right and at once."""
    store, other, proxy = followed
    proxy.black_hole = True
    await until(lambda: not keeps(store), "the end of the lease", 2)
    for number in range(1, 100):
        await other.update(ID, b"%d" % number, b"%d" % (number + 1), HOUR)
        began = time.monotonic()
        assert await read(store) == b"%d" % (number + 1)
        assert time.monotonic() - began < 0.5
        assert not keeps(store)
    assert len(asyncio.all_tasks()) < 10


@pytest.mark.parametrize("ends", ["kill", "reset"])
async def test_a_lost_connection_empties_the_cache(
    followed: tuple[CachedSessionStore, CachedSessionStore, Proxy], engine: servers.Server, ends: str
) -> None:
    """When it ends all is forgotten, loads are right throughout, and later all is kept again."""
    store, other, proxy = followed
    for number in range(1, 6):
        await kept(store, b"%d" % number)
        (lease,) = parts_of(store, Lease)
        if ends == "kill":
            assert int(engine.command("CLIENT", "KILL", "TYPE", "pubsub")[1:]) >= 1
        else:
            proxy.reset()
        await until(lambda lease=lease: lease not in parts_of(store, Lease), "the end of the connection")
        assert not keeps(store)
        await other.update(ID, b"%d" % number, b"%d" % (number + 1), HOUR)
        assert await read(store) == b"%d" % (number + 1)


async def test_a_server_that_restarts_empty(own: servers.Server) -> None:
    """Nothing is served that was there before: neither while it is down, once that is known, nor afterwards."""
    async with opened(own.url) as store:
        await store.create(ID, b"1", HOUR)
        await kept(store, b"1")
        own.kill()
        await until(lambda: not keeps(store), "the end of the connection", STALENESS_SECONDS)
        with pytest.raises(StoreUnavailableError):
            await read(store)
        own.start()
        assert await read(store) is None
        await store.create(ID, b"2", HOUR)
        await kept(store, b"2")


async def test_a_server_that_hangs(own: servers.Server) -> None:
    """One that is stopped confirms nothing: after the lease the store is unavailable, as without a cache."""
    async with opened(own.url) as store:
        await store.create(ID, b"1", HOUR)
        await kept(store, b"1")
        own.freeze()
        frozen = time.monotonic()
        await until(lambda: not keeps(store), "the end of the lease")
        assert time.monotonic() - frozen <= STALENESS_SECONDS
        with pytest.raises(StoreUnavailableError):
            await read(store)
        own.thaw()
        await kept(store, b"1")


async def test_a_worker_that_was_busy_does_not_serve_what_it_missed(
    ours: CachedSessionStore, theirs: CachedSessionStore, engine: servers.Server
) -> None:
    """An event loop that stood still has not heard the server: the first load after that asks it."""
    engine.command("SET", f"sess:{ID}", "2")
    time.sleep(STALENESS_SECONDS + 0.01)  # noqa: ASYNC251  the loop stands still
    assert await read(ours) == b"2"


# --- servers that do not let themselves be followed ------------------------------------------------------------------

NEAR_RIGHTS = [*rights.NEAR_CACHE, f"&{rights.INVALIDATIONS}"]


def url_with(server: servers.Server, rights: list[str]) -> str:
    words = ["ACL", "SETUSER", "near", "reset", "on", ">password", "~sess:*", "resetchannels", "-@all", *rights]
    assert server.command(*words) == b"+OK\r\n"
    return server.url.replace("redis://", "redis://near:password@")


def test_these_are_the_documented_rights() -> None:
    """The guide names them, to the letter."""
    text = (Path(__file__).parents[2] / "docs/guides/near-cache.md").read_text()
    assert " ".join(NEAR_RIGHTS) in text


async def test_with_the_documented_rights_it_works(engine: servers.Server) -> None:
    """They are enough, and no other is asked for."""
    async with opened(url_with(engine, [*RIGHTS, *NEAR_RIGHTS])) as store:
        engine.command("ACL", "LOG", "RESET")
        await store.create(ID, b"1", HOUR)
        await kept(store, b"1")
        engine.command("SET", f"sess:{ID}", "2")
        await until(lambda: not keeps(store), "the word of the server")
        log = engine.command("ACL", "LOG").replace(b"client|setinfo", b"")
        assert b"client" not in log.replace(b"client-info", b"")
        assert b"subscribe" not in log


@pytest.mark.parametrize("missing", NEAR_RIGHTS)
async def test_a_missing_right_is_a_warning_and_no_cache(
    engine: servers.Server, missing: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All works without the cache, however often it is tried again, and it is told once."""
    monkeypatch.setattr("jwtsession.stores.redis.client_cache.tracking._PAUSE_SECONDS", (0.001, 0.002))
    rights = [right for right in [*RIGHTS, *NEAR_RIGHTS] if right != missing]
    async with opened(url_with(engine, rights)) as store:
        with caplog.at_level(logging.DEBUG, "jwtsession"):
            await store.create(ID, b"1", HOUR)
            for number in range(1, 30):
                assert await read(store) == b"%d" % number
                engine.command("SET", f"sess:{ID}", f"{number + 1}")
            await until(lambda: len(caplog.records) > 3, "more tries")
    assert [each.message for each in caplog.records if each.levelno >= logging.WARNING] == [
        "the near cache is off: the server does not allow tracking (NoPermissionError)"
    ]


# --- ends ------------------------------------------------------------------------------------------------------------


async def test_nothing_is_left_when_the_store_closes(engine: servers.Server) -> None:
    """No task and no connection, whenever it closes; and a store that is opened again works."""
    store = CachedSessionStore(RedisSessionStore(engine.url), MEGABYTE)
    listening = engine.command("CLIENT", "LIST").count(b"sub=1")
    before = asyncio.all_tasks()
    for _ in range(20):
        await store.create(ID, b"1", HOUR)
        await read(store)
        await asyncio.sleep(0)
        await store.close()
        assert asyncio.all_tasks() == before
        await store.open()
    await kept(store, b"1")
    mine = cache(store)
    await store.close()
    assert not len(mine._entries)
    await until(lambda: engine.command("CLIENT", "LIST").count(b"sub=1") <= listening, "the connection to go")


def test_each_event_loop_has_its_own(engine: servers.Server) -> None:
    """A store whose loop is over begins anew in the next one, with nothing kept."""
    store = CachedSessionStore(RedisSessionStore(engine.url), MEGABYTE)
    engine.command("SET", f"sess:{ID}", "1")

    async def once() -> ClientCache:
        assert await read(store) is not None
        await kept(store, b"1")
        return cache(store)

    async def closing() -> ClientCache:
        try:
            return await once()
        finally:
            await store.close()

    first = asyncio.run(closing())
    asyncio.run(store.open())
    assert asyncio.run(closing()) is not first


# --- under load ------------------------------------------------------------------------------------------------------


async def test_no_old_value_after_the_lease(ours: CachedSessionStore, theirs: CachedSessionStore) -> None:
    """While many write and read through two workers, none reads what was replaced more than a lease ago.

    Nor does a worker, having read something, read anything older afterwards.
    """
    stores = [ours, theirs]
    ids = [f"session-{number:0>20}" for number in range(20)]
    written = {each: [(0, 0.0)] for each in ids}
    for each in ids:
        await ours.create(each, b"0", HOUR)
    end = time.monotonic() + 3
    delays: list[float] = []
    hits = 0

    async def write(session_id: str, store: CachedSessionStore) -> None:
        while time.monotonic() < end:
            number = written[session_id][-1][0]
            await store.update(session_id, b"%d" % number, b"%d" % (number + 1), HOUR)
            written[session_id].append((number + 1, time.monotonic()))
            await asyncio.sleep(0.02)

    async def look(session_id: str, store: CachedSessionStore) -> None:
        nonlocal hits
        newest = 0
        while time.monotonic() < end:
            began = time.monotonic()
            hits += keeps(store, session_id)
            number = int(await read(store, session_id) or b"-1")
            assert number >= newest
            newest = number
            replaced = next((at for value, at in written[session_id] if value == number + 1), None)
            if replaced is not None and replaced < began:
                delays.append(began - replaced)
                assert began - replaced <= STALENESS_SECONDS
            await asyncio.sleep(0)

    tasks = [write(each, stores[n % 2]) for n, each in enumerate(ids)]
    tasks += [look(each, store) for each in ids for store in stores]
    await asyncio.gather(*tasks)
    writes = sum(len(each) for each in written.values())
    print(f"{writes} writes, {hits} hits, {len(delays)} of them old, by {max(delays, default=0) * 1000:.1f} ms at most")
    assert hits > writes > 100


async def test_the_delay_of_a_revocation(engine: servers.Server) -> None:
    """From the confirmation of another connection's DEL to its effect here, with 32 readers at work."""
    async with opened(engine.url) as reader, Redis(port=engine.port) as other:
        busy = [f"busy-{number:0>20}" for number in range(32)]
        for each in busy:
            await reader.create(each, b"1", HOUR)
            await kept(reader, b"1", each)

        async def load(session_id: str) -> None:
            while True:
                assert await read(reader, session_id) == b"1"
                await asyncio.sleep(0)

        delays = []
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            loads = [group.create_task(load(each)) for each in busy]
            for number in range(100):
                session_id = f"revoked-{number:0>20}"
                await reader.create(session_id, b"1", HOUR)
                await kept(reader, b"1", session_id)
                assert await other.delete(f"sess:{session_id}") == 1
                revoked = time.monotonic()
                await until(lambda gone=session_id: not keeps(reader, gone), "the word of the server", pause=0)
                delays.append(time.monotonic() - revoked)
                assert await read(reader, session_id) is None
            for each in loads:
                each.cancel()
    delays.sort()
    figures = statistics.median(delays), delays[int(0.99 * len(delays))], delays[-1]
    print(
        "a revocation is known after {:.2f} ms (median), {:.2f} ms (p99), {:.2f} ms (most)".format(
            *(1000 * each for each in figures)
        )
    )
    assert delays[-1] < STALENESS_SECONDS
