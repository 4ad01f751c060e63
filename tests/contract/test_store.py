"""The contract of `SessionStore`: one suite, every store, every engine."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError

from jwtsession import (
    MemorySessionStore,
    RedisSessionStore,
    SessionCorruptError,
    SessionStore,
    StoreUnavailableError,
)
from jwtsession.stores import (
    FORMER,
    CachedSessionStore,
    CutoffStore,
    Entry,
    ForwardStore,
    Outcome,
    ReplayStore,
    TicketStore,
    has_cutoff,
    has_forwards,
    has_proofs,
    has_tickets,
)
from jwtsession.stores.redis import rights
from jwtsession.stores.redis.client_cache.tracking import Lease
from tests import servers
from tests.conftest import Clock
from tests.parts import parts_of

ID = "a-session-id-of-the-contract-suite"
HOUR = 3_600_000
MINUTE = 60_000
PROOF = "a" * 64

RIGHTS = [*dict.fromkeys((*rights.BASIC, *rights.USER_INDEX, *rights.OPTIONAL))]
"""All but rotation's, the near cache's and a cluster's."""

Expire = Callable[[str], Awaitable[None]]


class Subject:
    """A store, a way to let a session's time pass, and a way to ask what is left of it."""

    def __init__(self, store: SessionStore, expire: Expire, ttl: Callable[[str], Awaitable[int]]) -> None:
        self.store = store
        self.expire = expire
        self.ttl = ttl


class NearStore(CachedSessionStore):
    """A store whose loads are answered from its near cache: what is stored is loaded at once, and each load is two."""

    def __init__(self, url: str) -> None:
        super().__init__(RedisSessionStore(url), 1_000_000)

    async def open(self) -> None:
        await super().open()
        deadline = time.monotonic() + 10
        while not parts_of(self, Lease):
            await super().load("nothing-that-is-there", allow_cached=True)
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)

    async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
        done = await super().create(session_id, value, ttl)
        await self.load(session_id)
        return done

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        await super().load(session_id, ttl, allow_cached=True)
        return await super().load(session_id, None, allow_cached=True)

    async def heard(self, session_id: str) -> None:
        """Wait for the server to tell of a session."""
        deadline = time.monotonic() + 10
        while self._cache is not None and self._cache.get(session_id) is not None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)


ENGINES = ["valkey", "redis", "cluster", "sentinel"]


@pytest.fixture(
    params=[
        "memory",
        *(
            pytest.param(kind, marks=pytest.mark.server)
            for kind in (*ENGINES, "restricted-valkey", "restricted-redis", *(f"near-{engine}" for engine in ENGINES))
        ),
    ]
)
async def subject(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Subject]:
    if request.param == "memory":
        memory = MemorySessionStore(clock=clock)

        async def pass_time(session_id: str) -> None:
            clock.advance((await remaining(session_id)) / 1000)

        async def remaining(session_id: str) -> int:
            return (await memory.remaining([session_id]))[0]

        yield Subject(memory, pass_time, remaining)
        return
    kind, _, engine = request.param.rpartition("-")
    server: servers.Server = request.getfixturevalue(f"{engine}_server")
    url = server.url
    if kind == "restricted":
        # The rights that the documentation names, and no other.
        server.command("ACL", "SETUSER", "app", "reset", "on", ">password", "~sess:*", "~{sess:*", "-@all", *RIGHTS)
        url = url.replace("redis://", "redis://app:password@")
    if engine == "cluster":
        url = f"redis+cluster://127.0.0.1:{server.port}"
    elif engine == "sentinel":
        url = f"redis+sentinel://127.0.0.1:{server.port}/mymaster/0"
        server = request.getfixturevalue("valkey_server")
    server.command("FLUSHALL")
    store = NearStore(url) if kind == "near" else RedisSessionStore(url)
    await store.open()

    async def expire_now(session_id: str) -> None:
        # The server's own clock can't be turned: expire the key at a time that has passed.
        server.command("PEXPIREAT", f"sess:{session_id}", str(int(time.time() * 1000) - 1))
        if isinstance(store, NearStore):
            await store.heard(session_id)

    async def pttl(session_id: str) -> int:
        return int(server.command("PTTL", f"sess:{session_id}").decode().strip(":\r\n"))

    yield Subject(store, expire_now, pttl)
    await store.close()


async def test_what_was_created_is_loaded(subject: Subject) -> None:
    """A value comes back to the byte, whatever its bytes are."""
    value = bytes(range(256)) * 4
    assert await subject.store.create(ID, value, HOUR)
    assert await subject.store.load(ID) == value


async def test_create_never_overwrites(subject: Subject) -> None:
    """An id that is taken stays as it was, with its own time to live."""
    await subject.store.create(ID, b"1", HOUR)
    assert not await subject.store.create(ID, b"2", 2 * HOUR)
    assert await subject.store.load(ID) == b"1"
    assert await subject.ttl(ID) <= HOUR


async def test_create_is_done_where_its_own_first_try_did_it(subject: Subject) -> None:
    """The same value under the same id is success: a retry after a lost reply."""
    await subject.store.create(ID, b"1", HOUR)
    assert await subject.store.create(ID, b"1", HOUR)


async def test_load_of_what_is_not_there_is_none(subject: Subject) -> None:
    """An unknown id is None, with and without an extension, and nothing springs up."""
    assert await subject.store.load(ID) is None
    assert await subject.store.load(ID, HOUR) is None
    assert await subject.store.load(ID) is None


async def test_load_extends_only_when_told_to(subject: Subject) -> None:
    """A plain load leaves the time to live alone, one with a ttl starts it again, also a shorter one."""
    await subject.store.create(ID, b"1", HOUR)
    await subject.store.load(ID)
    assert await subject.ttl(ID) <= HOUR
    await subject.store.load(ID, 2 * HOUR)
    assert HOUR < await subject.ttl(ID) <= 2 * HOUR
    await subject.store.load(ID, HOUR)
    assert await subject.ttl(ID) <= HOUR


async def test_an_expired_session_is_gone_for_every_verb(subject: Subject) -> None:
    """After its time to live nothing finds a session and nothing brings it back."""
    await subject.store.create(ID, b"1", HOUR)
    await subject.expire(ID)
    assert await subject.store.update(ID, b"1", b"2", HOUR) is Outcome.GONE
    assert await subject.store.compare_and_delete(ID, b"1") is Outcome.GONE
    assert not await subject.store.touch(ID, HOUR)
    assert not await subject.store.destroy(ID)
    assert await subject.store.load(ID, HOUR) is None


async def test_a_destroyed_session_is_gone_for_every_verb(subject: Subject) -> None:
    """After destroy nothing finds a session and nothing brings it back."""
    await subject.store.create(ID, b"1", HOUR)
    assert await subject.store.destroy(ID)
    assert await subject.store.update(ID, b"1", b"2", HOUR) is Outcome.GONE
    assert await subject.store.compare_and_delete(ID, b"1") is Outcome.GONE
    assert not await subject.store.touch(ID, HOUR)
    assert not await subject.store.destroy(ID)
    assert await subject.store.load(ID) is None


async def test_update_replaces_what_was_expected(subject: Subject) -> None:
    """A compare-and-set that holds stores the value and starts its time to live again."""
    await subject.store.create(ID, b"1", HOUR)
    assert await subject.store.update(ID, b"1", b"2", 2 * HOUR) is Outcome.DONE
    assert await subject.store.load(ID) == b"2"
    assert await subject.ttl(ID) > HOUR


async def test_update_compares_bytes(subject: Subject) -> None:
    """The same JSON in another spelling is another value: somebody else wrote it."""
    await subject.store.create(ID, b'{"a": 1}', HOUR)
    assert await subject.store.update(ID, b'{"a":1}', b'{"a":2}', HOUR) is Outcome.CONFLICT
    assert await subject.store.load(ID) == b'{"a": 1}'


@pytest.mark.parametrize("retry", [True, False])
async def test_an_equal_write_of_somebody_else_is_a_conflict(subject: Subject, retry: bool) -> None:
    """Of eight that write the same value from one state one is done, and nobody is after that."""
    await subject.store.create(ID, b"coupon", HOUR)
    updates = [subject.store.update(ID, b"coupon", b"none", HOUR, retry=retry) for _ in range(8)]
    outcomes = await asyncio.gather(*updates)
    assert (outcomes.count(Outcome.DONE), outcomes.count(Outcome.CONFLICT)) == (1, 7)
    assert await subject.store.update(ID, b"coupon", b"none", HOUR, retry=retry) is Outcome.CONFLICT


async def test_a_value_that_does_not_change_is_done(subject: Subject) -> None:
    """What is expected and what is put may be the same; the time to live starts again."""
    await subject.store.create(ID, b"1", HOUR)
    assert await subject.store.update(ID, b"1", b"1", 2 * HOUR) is Outcome.DONE
    assert await subject.ttl(ID) > HOUR


async def test_touch_starts_the_time_to_live_again(subject: Subject) -> None:
    """Touch changes the time to live and nothing else."""
    await subject.store.create(ID, b"1", HOUR)
    assert await subject.store.touch(ID, 2 * HOUR)
    assert await subject.ttl(ID) > HOUR
    assert await subject.store.load(ID) == b"1"


async def test_claim_removes_what_was_expected_and_nothing_else(subject: Subject) -> None:
    """A claim of a changed value takes nothing; of the expected value it takes all."""
    await subject.store.create(ID, b"1", HOUR)
    assert await subject.store.compare_and_delete(ID, b"0") is Outcome.CONFLICT
    assert await subject.store.load(ID) == b"1"
    assert await subject.store.compare_and_delete(ID, b"1") is Outcome.DONE
    assert await subject.store.load(ID) is None


async def test_one_of_many_claims_wins(subject: Subject) -> None:
    """Of twenty claims at the same time exactly one gets the session."""
    await subject.store.create(ID, b"1", HOUR)
    outcomes = await asyncio.gather(*(subject.store.compare_and_delete(ID, b"1") for _ in range(20)))
    assert outcomes.count(Outcome.DONE) == 1
    assert outcomes.count(Outcome.GONE) == 19


async def test_one_of_many_updates_wins(subject: Subject) -> None:
    """Of twenty different updates of one value exactly one is applied and nineteen are told."""
    await subject.store.create(ID, b"0", HOUR)
    values = [b"%d" % number for number in range(1, 21)]
    outcomes = await asyncio.gather(*(subject.store.update(ID, b"0", value, HOUR) for value in values))
    assert outcomes.count(Outcome.DONE) == 1
    assert outcomes.count(Outcome.CONFLICT) == 19
    assert await subject.store.load(ID) == values[outcomes.index(Outcome.DONE)]


async def test_one_of_many_creates_wins(subject: Subject) -> None:
    """Of twenty creates under one id exactly one is stored."""
    values = [b"%d" % number for number in range(20)]
    created = await asyncio.gather(*(subject.store.create(ID, value, HOUR) for value in values))
    assert created.count(True) == 1
    assert await subject.store.load(ID) == values[created.index(True)]


async def test_sessions_do_not_touch_each_other(subject: Subject) -> None:
    """What happens to one id leaves another alone."""
    await subject.store.create(ID, b"1", HOUR)
    await subject.store.create(ID + "x", b"2", HOUR)
    await subject.store.destroy(ID)
    assert await subject.store.load(ID + "x") == b"2"


async def test_the_shortest_time_to_live_is_a_millisecond(subject: Subject) -> None:
    """One millisecond is a valid time to live and soon over."""
    assert await subject.store.create(ID, b"1", 1)


async def test_a_large_value_is_stored(subject: Subject) -> None:
    """The store itself has no limit near the session's."""
    value = b"x" * 1_000_000
    assert await subject.store.create(ID, value, HOUR)
    assert await subject.store.update(ID, value, value + b"y", HOUR) is Outcome.DONE
    assert await subject.store.load(ID) == value + b"y"


async def test_a_store_answers_ping_and_can_be_opened_again(subject: Subject) -> None:
    """Open, close and open again leave a store that works."""
    assert await subject.store.ping()
    await subject.store.close()
    await subject.store.open()
    assert await subject.store.ping()


class TestRedis:
    """What only a store of another process can meet."""

    async def test_a_key_of_another_type_is_corrupt_and_kept(self, engine: servers.Server) -> None:
        """A hash in the session's place is SessionCorruptError for every verb that reads it, and stays."""
        engine.command("HSET", f"sess:{ID}", "field", "value")
        store = RedisSessionStore(engine.url)
        for call in (
            store.load(ID),
            store.load(ID, HOUR),
            store.update(ID, b"1", b"2", HOUR),
            store.compare_and_delete(ID, b"1"),
        ):
            with pytest.raises(SessionCorruptError):
                await call
        await store.close()
        assert engine.command("HGET", f"sess:{ID}", "field") == b"$5\r\nvalue\r\n"

    async def test_scripts_are_loaded_again_after_a_flush(self, engine: servers.Server) -> None:
        """A server that forgot the scripts (a restart, a failover) gets them again without a failure."""
        store = RedisSessionStore(engine.url)
        await store.create(ID, b"1", HOUR)
        assert await store.update(ID, b"1", b"2", HOUR) is Outcome.DONE
        engine.command("SCRIPT", "FLUSH")
        assert await store.update(ID, b"2", b"3", HOUR) is Outcome.DONE
        await store.close()

    async def test_keys_are_plain_strings_under_the_keyspace(self, engine: servers.Server) -> None:
        """One session is one key, and nothing else is written."""
        store = RedisSessionStore(engine.url, keyspace="app:")
        await store.create(ID, b"1", HOUR)
        await store.update(ID, b"1", b"2", HOUR)
        await store.touch(ID, HOUR)
        await store.load(ID, HOUR)
        await store.close()
        assert engine.command("KEYS", "*") == f"*1\r\n${len(ID) + 4}\r\napp:{ID}\r\n".encode()

    async def test_a_load_is_one_command(self, engine: servers.Server) -> None:
        """With and without an extension a load is one command at the server."""
        store = RedisSessionStore(engine.url)
        await store.create(ID, b"1", HOUR)
        await store.load(ID)  # connects
        engine.command("CONFIG", "RESETSTAT")
        await store.load(ID)
        await store.load(ID, HOUR)
        stats = engine.command("INFO", "commandstats").decode()
        await store.close()
        calls = {
            line.partition(":")[0].removeprefix("cmdstat_"): int(line.partition("calls=")[2].partition(",")[0])
            for line in stats.splitlines()
            if line.startswith("cmdstat_")
        }
        assert {name: count for name, count in calls.items() if not name.startswith(("config", "info", "ping"))} == {
            "get": 1,
            "getex": 1,
        }


@pytest.mark.server
@pytest.mark.parametrize("kind", ["valkey", "redis", "cluster", "sentinel", "near-valkey", "near-cluster", "client"])
async def test_a_load_with_a_proof_is_one_round_trip(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands: in one write, or to two nodes of a cluster at the same time."""
    near, _, engine = kind.rpartition("-")
    server: servers.Server = request.getfixturevalue(f"{'valkey' if engine == 'client' else engine}_server")
    data = request.getfixturevalue("valkey_server") if engine == "sentinel" else server
    data.command("FLUSHALL")
    urls = {
        "cluster": f"redis+cluster://127.0.0.1:{server.port}",
        "sentinel": f"redis+sentinel://127.0.0.1:{server.port}/mymaster/0",
    }
    client = Redis(port=server.port) if engine == "client" else None
    inner = RedisSessionStore(None if client else urls.get(engine, server.url), client=client)
    store = CachedSessionStore(inner, 1_000_000) if near else inner
    await store.open()
    await store.create(ID, b"1", HOUR)
    for number in range(20):  # connects, to each node and on each connection
        await store.load_once(ID, None, f"{number}", HOUR)
    order: list[str] = []
    send, read = Connection.send_packed_command, Connection.read_response

    async def note_sent(connection: Connection, command: Any, *args: Any, **options: Any) -> None:
        sent = command if isinstance(command, bytes) else b"".join(command)
        order.extend(word for word in ("GETEX", "SET") if f"\r\n{word}\r\n".encode() in sent)
        await send(connection, command, *args, **options)

    async def note_read(connection: Connection, *args: Any, **options: Any) -> Any:
        reply = await read(connection, *args, **options)
        if options.get("timeout") != 0:
            order.append("reply")
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "send_packed_command", note_sent)
        patch.setattr(Connection, "read_response", note_read)
        assert await store.load_once(ID, HOUR, PROOF, HOUR) == (b"1", True)
    await store.close()
    if client is not None:
        await client.aclose()
    assert sorted(order[:2]) == ["GETEX", "SET"]
    assert order[2:] == ["reply", "reply"]


@pytest.mark.server
@pytest.mark.parametrize("engine_url", ["redis", "redis+cluster"])
class TestLostReplies:
    """A call's own earlier write, told from somebody else's equal one."""

    @pytest.fixture
    def server(self, request: pytest.FixtureRequest, engine_url: str) -> servers.Server:
        server: servers.Server = request.getfixturevalue("cluster_server" if "+" in engine_url else "valkey_server")
        server.command("FLUSHALL")
        return server

    @pytest.fixture
    async def store(self, server: servers.Server, engine_url: str) -> AsyncIterator[RedisSessionStore]:
        store = RedisSessionStore(f"{engine_url}://127.0.0.1:{server.port}")
        yield store
        await store.close()

    @staticmethod
    def lose(
        monkeypatch: pytest.MonkeyPatch,
        then: Callable[[], object] = lambda: None,
        reply_is: tuple[bytes, ...] = (b"done", b"same", b"conflict", b"of a ticket"),
    ) -> None:
        """The next reply to a script, or with this ticket's value, comes, and gets lost with its connection."""
        original = Connection.read_response

        async def read_response(connection: Connection, *args: Any, **options: Any) -> Any:
            reply = await original(connection, *args, **options)
            if reply in reply_is:
                monkeypatch.setattr(Connection, "read_response", original)
                then()
                await connection.disconnect(nowait=True)
                raise ConnectionError("lost")
            return reply

        monkeypatch.setattr(Connection, "read_response", read_response)

    async def test_an_update_whose_reply_got_lost_is_done(
        self, store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its second try finds the value that its first one wrote."""
        await store.create(ID, b"1", HOUR)
        await store.update(ID, b"1", b"2", HOUR)  # the script is there from here on
        self.lose(monkeypatch)
        assert await store.update(ID, b"2", b"3", HOUR) is Outcome.DONE
        assert await store.load(ID) == b"3"

    async def test_scripts_that_are_forgotten_meanwhile_change_nothing(
        self, store: RedisSessionStore, server: servers.Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The write that was lost still is the call's own where the script has to be sent again."""
        await store.create(ID, b"1", HOUR)
        await store.update(ID, b"1", b"2", HOUR)
        self.lose(monkeypatch, lambda: server.command("SCRIPT", "FLUSH"))
        assert await store.update(ID, b"2", b"3", HOUR) is Outcome.DONE
        server.command("SCRIPT", "FLUSH")
        assert await store.update(ID, b"2", b"3", HOUR) is Outcome.CONFLICT

    async def test_without_retry_a_lost_reply_is_unavailable(
        self, store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is written again, and nothing guessed."""
        await store.create(ID, b"1", HOUR)
        await store.update(ID, b"1", b"2", HOUR)
        self.lose(monkeypatch)
        with pytest.raises(StoreUnavailableError):
            await store.update(ID, b"2", b"3", HOUR, retry=False)

    async def test_a_ticket_whose_reply_got_lost_is_unavailable(
        self, store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody can tell who has taken it: that is no bad ticket."""
        await store.ticket_add("a" * 64, b"of a ticket", HOUR)
        self.lose(monkeypatch)
        with pytest.raises(StoreUnavailableError):
            await store.ticket_take("a" * 64)
        assert await store.ticket_take("a" * 64) is None

    async def test_a_proof_whose_reply_got_lost_is_new(
        self, store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second try knows what the first one wrote; the next call is a replay."""
        await store.create(ID, b"of a session", HOUR)
        self.lose(monkeypatch, reply_is=(b"of a session",))
        assert await store.load_once(ID, None, PROOF, HOUR) == (b"of a session", True)
        assert await store.load_once(ID, None, PROOF, HOUR) == (b"of a session", False)

    async def test_a_proof_of_a_login_whose_reply_got_lost_is_new(
        self, store: RedisSessionStore, server: servers.Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As one of a load."""
        await store.proof_add(PROOF, HOUR)  # connects
        server.command("FLUSHALL")
        self.lose(monkeypatch, reply_is=(b"OK",))
        assert await store.proof_add(PROOF, HOUR)
        assert not await store.proof_add(PROOF, HOUR)


class TestUserIndex:
    """A user's index of sessions."""

    async def test_what_entered_is_listed(self, subject: Subject) -> None:
        """An entry comes back with the time that it was last seen; entering again changes only that."""
        await subject.store.index_add("ann", ID, b"first", 1.5, HOUR)
        await subject.store.index_add("ann", ID, b"second", 2.5, HOUR)
        await subject.store.index_add("ann", ID + "x", b"other", 3.5, HOUR)
        listed, cursor, total = await subject.store.index_page("ann", 0, 10)
        assert (cursor, total) == (0, 2)
        assert [*listed] == [ID, ID + "x"]
        assert listed[ID][1:] == (b"first", 2.5, True)
        assert listed[ID + "x"][1:] == (b"other", 3.5, True)
        assert listed[ID].order < listed[ID + "x"].order
        assert await subject.store.index_page("bob", 0, 10) == ({}, 0, 0)

    async def test_what_is_confirmed_moves_behind_all_others(self, subject: Subject) -> None:
        """Entries stand in the order in which they were confirmed, and tell whether they were."""
        await subject.store.index_add("ann", ID, b"1", 1.0, HOUR, confirmed=False)
        await subject.store.index_add("ann", ID + "x", b"2", 1.0, HOUR)
        listed, *_ = await subject.store.index_page("ann", 0, 10)
        assert [(each, entry.confirmed) for each, entry in listed.items()] == [(ID, False), (ID + "x", True)]
        await subject.store.index_add("ann", ID, b"", 1.0, HOUR)
        listed, *_ = await subject.store.index_page("ann", 0, 10)
        assert [(each, entry.confirmed) for each, entry in listed.items()] == [(ID + "x", True), (ID, True)]

    async def test_an_addition_tells_what_was_there(self, subject: Subject) -> None:
        """Whether the entry was there and is, how many there are, and as many of them as were asked for."""
        first = await subject.store.index_add("ann", ID, b"1", 1.5, HOUR, confirmed=False, sample=5)
        assert first[:3] == (False, True, 1)
        assert [(each, entry[2:]) for each, entry in first.sample.items()] == [(ID, (1.5, False))]
        again = await subject.store.index_add("ann", ID, b"2", 2.5, HOUR)
        assert again == (True, True, 1, {}, b"1")
        for number in range(9):
            added = await subject.store.index_add("ann", f"{ID}{number}", b"1", 1.0, HOUR, sample=5)
        assert added.total == 10
        assert len(added.sample) == 5
        absent = await subject.store.index_add("ann", "absent", b"1", 1.0, HOUR, only_if_present=True)
        assert absent == (False, False, 10, {}, b"")
        assert await subject.store.index_get("ann", "absent") is None

    async def test_what_is_kept_of_a_login_is_replaced_where_it_is(self, subject: Subject) -> None:
        """The entry keeps its place and its times; of a session that is not there nothing is kept."""
        assert not await subject.store.index_set("ann", ID, b"2")
        assert await subject.store.index_get("ann", ID) is None
        await subject.store.index_add("ann", ID, b"1", 1.5, HOUR)
        await subject.store.index_add("ann", ID + "x", b"1", 1.5, HOUR)
        before = (await subject.store.index_page("ann", 0, 9)).entries
        assert await subject.store.index_set("ann", ID, b"2")
        assert await subject.store.index_get("ann", ID) == b"2"
        after = (await subject.store.index_page("ann", 0, 9)).entries
        order, _, *others = before[ID]
        assert after == before | {ID: (order, b"2", *others)}
        assert not await subject.store.index_set("bob", ID, b"3")

    async def test_pages_make_a_whole(self, subject: Subject) -> None:
        """Page by page each entry comes once, in its order, also while pages that were read are taken out."""
        names = [f"{ID}{number}" for number in range(25)]
        for each in names:
            await subject.store.index_add("ann", each, each.encode(), 1.0, HOUR)
        for take_out in (False, True):
            read, cursor, pages = [], 0, 0
            while pages == 0 or cursor:
                page, cursor, total = await subject.store.index_page("ann", cursor, 10)
                read += [*page]
                pages += 1
                assert total == (25 if not take_out else 25 - len(read) + len(page))
                if take_out:
                    await subject.store.index_prune("ann", page)
            assert (read, pages) == (names, 3)
        assert await subject.store.index_page("ann", 0, 10) == ({}, 0, 0)

    async def test_what_left_is_not(self, subject: Subject) -> None:
        """Leaving takes out the named sessions, and is no error for those that are not there."""
        await subject.store.index_add("ann", ID, b"1", 1.0, HOUR)
        await subject.store.index_add("ann", ID + "x", b"2", 1.0, HOUR)
        await subject.store.index_remove("ann", [ID, ID + "y"])
        await subject.store.index_remove("ann", [])
        await subject.store.index_remove("bob", [ID])
        left, *_ = await subject.store.index_page("ann", 0, 10)
        assert [(name, entry.data) for name, entry in left.items()] == [(ID + "x", b"2")]
        assert await subject.store.index_get("ann", ID) is None
        assert await subject.store.index_get("ann", ID + "x") is not None
        assert await subject.store.index_get("bob", ID + "x") is None

    async def test_only_what_is_as_it_was_read_is_pruned(self, subject: Subject) -> None:
        """What was seen or confirmed since it was read stays."""
        for each in ("", "x", "y"):
            await subject.store.index_add("ann", ID + each, b"1", 1.0, HOUR, confirmed=False)
        read, *_ = await subject.store.index_page("ann", 0, 10)
        await subject.store.index_add("ann", ID, b"1", 1.0, HOUR)
        await subject.store.index_add("ann", ID + "x", b"1", 2.0, HOUR, confirmed=False)
        await subject.store.index_prune("ann", read)
        left, *_ = await subject.store.index_page("ann", 0, 10)
        assert {*left} == {ID, ID + "x"}

    async def test_remaining_tells_the_living_from_the_gone(self, subject: Subject) -> None:
        """A session's milliseconds, 0 where it is gone, in the order asked for, for thousands at once."""
        await subject.store.create(ID, b"1", HOUR)
        asked = [f"{ID}{number}" for number in range(2500)]
        left = await subject.store.remaining([*asked, ID, "gone"])
        assert left[:2500] == [0] * 2500
        assert 0 < left[2500] <= HOUR
        assert left[2501] == 0
        assert await subject.store.remaining([]) == []

    async def test_destroy_all_ends_many(self, subject: Subject) -> None:
        """Thousands of sessions end together, and each is told apart from those that were gone."""
        await subject.store.create(ID, b"1", HOUR)
        await subject.store.create(ID + "x", b"2", HOUR)
        asked = [f"{ID}{number}" for number in range(1500)]
        assert await subject.store.destroy_all([ID, *asked, ID + "x"]) == [True, *[False] * 1500, True]
        assert await subject.store.load(ID) is None
        assert await subject.store.load(ID + "x") is None


class TestTickets:
    """Tickets: each is taken once."""

    async def test_a_ticket_is_taken_once(self, subject: Subject) -> None:
        """Its value comes back to the byte, and the second time there is none."""
        store = tickets_of(subject)
        value = bytes(range(256))
        await store.ticket_add("a" * 64, value, HOUR)
        assert await store.ticket_take("b" * 64) is None
        assert await store.ticket_take("a" * 64) == value
        assert await store.ticket_take("a" * 64) is None

    async def test_of_many_who_take_a_ticket_one_gets_it(self, subject: Subject) -> None:
        """At the same time, in each of several rounds."""
        store = tickets_of(subject)
        for _ in range(5):
            await store.ticket_add("a" * 64, b"1", HOUR)
            taken = await asyncio.gather(*(store.ticket_take("a" * 64) for _ in range(20)))
            assert sorted(taken, key=bool) == [None] * 19 + [b"1"]

    async def test_a_ticket_expires(self, subject: Subject) -> None:
        """After its time to live it is gone."""
        await tickets_of(subject).ticket_add("a" * 64, b"1", HOUR)
        if isinstance(subject.store, MemorySessionStore):
            await subject.store.create(ID, b"1", HOUR)
            await subject.expire(ID)
        else:
            assert 0 < await subject.ttl("ticket:" + "a" * 64) <= HOUR
            await subject.expire("ticket:" + "a" * 64)
        assert await tickets_of(subject).ticket_take("a" * 64) is None

    async def test_a_ticket_is_no_session(self, subject: Subject) -> None:
        """The same name in both places is two things."""
        store = tickets_of(subject)
        await subject.store.create(ID, b"session", HOUR)
        await store.ticket_add(ID, b"ticket", HOUR)
        assert await subject.store.load(ID) == b"session"
        assert await store.ticket_take(ID) == b"ticket"
        assert await subject.store.load(ID) == b"session"


class TestCutoff:
    """The time of revoke_before(): the latest one is kept."""

    async def test_the_later_time_is_kept(self, subject: Subject) -> None:
        """There is none at first. Each call returns the time that counts now, to the microsecond."""
        store = cutoff_of(subject)
        assert await store.not_before_get() is None
        for given, kept in ((0, 0), (1_800_000_000.25, 1_800_000_000.25), (9.0, 1_800_000_000.25), (2e9, 2e9)):
            assert await store.not_before_set(given) == kept
            assert await store.not_before_get() == kept

    async def test_of_many_times_at_once_the_latest_is_kept(self, subject: Subject) -> None:
        """Whatever their order."""
        store = cutoff_of(subject)
        told = await asyncio.gather(*[store.not_before_set(1_800_000_000 + each * 7 % 20) for each in range(20)])
        assert max(told) == await store.not_before_get() == 1_800_000_019

    async def test_the_time_has_no_time_to_live(self, subject: Subject) -> None:
        """It counts as long as any token may live."""
        await cutoff_of(subject).not_before_set(1)
        if not isinstance(subject.store, MemorySessionStore):
            assert await subject.ttl("not_before") == -1


def cutoff_of(subject: Subject) -> CutoffStore:
    assert has_cutoff(subject.store)
    return subject.store


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "-5", "1e9", "0x7fffffffff", "1_000", "1800000000\n", "list"])
async def test_what_is_no_time_is_unavailable(value: str, engine: servers.Server) -> None:
    """Nobody can tell which tokens count then: neither reading nor writing works."""
    engine.command("FLUSHALL")
    engine.command(*(("RPUSH", "sess:not_before", "1") if value == "list" else ("SET", "sess:not_before", value)))
    store = RedisSessionStore(engine.url)
    for question in (store.not_before_get, lambda: store.not_before_set(1)):
        with pytest.raises(StoreUnavailableError) as caught:
            await question()
        assert caught.value.code == "cutoff_corrupt"
    await store.close()
    assert engine.command("TYPE", "sess:not_before") == (b"+list\r\n" if value == "list" else b"+string\r\n")


class TestProofs:
    """Proofs: each is new once."""

    async def test_a_proof_is_new_once(self, subject: Subject) -> None:
        """With a load and without one, in any order; another proof has nothing to do with it."""
        store = proofs_of(subject)
        await subject.store.create(ID, b"1", HOUR)
        assert await store.load_once(ID, None, PROOF, HOUR) == (b"1", True)
        assert await store.load_once(ID, None, PROOF, HOUR) == (b"1", False)
        assert not await store.proof_add(PROOF, HOUR)
        assert await store.proof_add("b" * 64, HOUR)
        assert await store.load_once(ID, None, "b" * 64, HOUR) == (b"1", False)

    async def test_a_proof_is_used_also_if_the_session_is_gone(self, subject: Subject) -> None:
        """What was used once is no new proof for another session."""
        assert await proofs_of(subject).load_once(ID, HOUR, PROOF, HOUR) == (None, True)
        assert await proofs_of(subject).load_once(ID, None, PROOF, HOUR) == (None, False)

    async def test_a_load_with_a_proof_extends_the_session(self, subject: Subject) -> None:
        """As a load without one: only if it has a time to live. A replay extends it too, and its caller refuses it."""
        await subject.store.create(ID, b"1", HOUR)
        await proofs_of(subject).load_once(ID, None, PROOF, HOUR)
        assert await subject.ttl(ID) <= HOUR
        await proofs_of(subject).load_once(ID, 2 * HOUR, "b" * 64, HOUR)
        assert HOUR < await subject.ttl(ID) <= 2 * HOUR

    async def test_of_many_who_use_a_proof_one_is_the_first(self, subject: Subject) -> None:
        """At the same time, by loads and by logins, in each of several rounds."""
        store = proofs_of(subject)
        await subject.store.create(ID, b"1", HOUR)
        for number in range(5):
            proof = f"{number}" * 64
            loads = [store.load_once(ID, None, proof, HOUR) for _ in range(10)]
            logins = [store.proof_add(proof, HOUR) for _ in range(10)]
            loaded, added = await asyncio.gather(asyncio.gather(*loads), asyncio.gather(*logins))
            assert [value for value, _ in loaded] == [b"1"] * 10
            assert sorted([*added, *(is_new for _, is_new in loaded)]) == [False] * 19 + [True]

    async def test_a_proof_is_forgotten_after_its_time(self, subject: Subject) -> None:
        """It is a key that expires; its verifier does not accept it any more then."""
        store = proofs_of(subject)
        await subject.store.create(ID, b"1", HOUR)
        assert await store.proof_add(PROOF, HOUR)
        if isinstance(subject.store, MemorySessionStore):
            await subject.expire(ID)
        else:
            assert 0 < await subject.ttl("dpop:" + PROOF) <= HOUR
            await subject.expire("dpop:" + PROOF)
        assert await store.proof_add(PROOF, HOUR)


def proofs_of(subject: Subject) -> ReplayStore:
    assert has_proofs(subject.store)
    return subject.store


class TestForwards:
    """Forwards: what a session's old id stands for."""

    async def test_a_forward_is_there_until_it_expires(self, subject: Subject) -> None:
        """Its value comes back to the byte, as often as somebody asks, and after its time to live it is gone."""
        store, value = forwards_of(subject), bytes(range(256))
        assert await store.forward_get(ID) is None
        assert await store.forward_add(ID, value, HOUR)
        assert [await store.forward_get(ID) for _ in range(2)] == [value, value]
        await _expire_forward(subject)
        assert await store.forward_get(ID) is None
        assert not await store.forward_replace(ID, value, b"2", HOUR)
        assert await store.forward_add(ID, b"2", HOUR)

    async def test_of_many_who_add_a_forward_one_wins(self, subject: Subject) -> None:
        """At the same time; the others change nothing, and neither does anybody later."""
        store = forwards_of(subject)
        values = [b"%d" % number for number in range(20)]
        added = await asyncio.gather(*(store.forward_add(ID, value, HOUR) for value in values))
        assert added.count(True) == 1
        assert not await store.forward_add(ID, b"late", HOUR)
        assert await store.forward_get(ID) == values[added.index(True)]

    async def test_of_many_who_replace_a_forward_one_wins(self, subject: Subject) -> None:
        """The value must still be what they have read; the time to live starts again."""
        store = forwards_of(subject)
        assert not await store.forward_replace(ID, b"0", b"1", HOUR)
        assert await store.forward_get(ID) is None
        await store.forward_add(ID, b"0", MINUTE)
        values = [b"%d" % number for number in range(1, 21)]
        replaced = await asyncio.gather(*(store.forward_replace(ID, b"0", value, HOUR) for value in values))
        assert replaced.count(True) == 1
        assert await store.forward_get(ID) == values[replaced.index(True)]
        if not isinstance(subject.store, MemorySessionStore):
            assert MINUTE < await subject.ttl(f"fwd:{ID}") <= HOUR

    async def test_a_forward_is_no_session(self, subject: Subject) -> None:
        """The same id in both places is two things: removing one keeps the other."""
        store = forwards_of(subject)
        await subject.store.create(ID, b"session", HOUR)
        await store.forward_add(ID, b"forward", HOUR)
        assert await subject.store.load(ID) == b"session"
        assert await subject.store.destroy(ID)
        assert await subject.store.load(ID) is None
        assert await store.forward_get(ID) == b"forward"


async def _expire_forward(subject: Subject) -> None:
    if isinstance(subject.store, MemorySessionStore):
        await subject.store.create(ID, b"1", HOUR)
        await subject.expire(ID)
    else:
        assert 0 < await subject.ttl(f"fwd:{ID}") <= HOUR
        await subject.expire(f"fwd:{ID}")


def forwards_of(subject: Subject) -> ForwardStore:
    assert has_forwards(subject.store)
    return subject.store


def tickets_of(subject: Subject) -> TicketStore:
    assert has_tickets(subject.store)
    return subject.store


async def test_an_index_lives_as_long_as_its_longest_session(engine: servers.Server) -> None:
    """A shorter session that enters does not shorten the index; its two keys expire by themselves."""
    store = RedisSessionStore(engine.url)
    await store.index_add("ann", ID, b"1", 1.0, 2 * HOUR)
    await store.index_add("ann", ID + "x", b"2", 1.0, HOUR)
    await store.close()
    assert engine.command("DBSIZE") == b":2\r\n"
    for key in ("sess:user:{ann}", "sess:user:{ann}:known"):
        assert HOUR < int(engine.command("PTTL", key).decode().strip(":\r\n")) <= 2 * HOUR


async def test_an_index_in_memory_expires(clock: Clock) -> None:
    """After its time to live an index is empty."""
    store = MemorySessionStore(clock=clock)
    await store.index_add("ann", ID, b"1", 1.0, HOUR)
    clock.advance(3601)
    assert await store.index_page("ann", 0, 10) == ({}, 0, 0)


async def test_an_index_of_the_format_before_is_read_and_emptied(engine: servers.Server) -> None:
    """What older workers wrote is found page by page, each entry with its data, and can be taken out as it was read."""
    store = RedisSessionStore(engine.url)
    names = [f"{ID}{number}" for number in range(1000)]
    fields = [word for n, each in enumerate(names, 1) for word in (each, f"{n} {'x' * 80}", f"{each}:seen", f"{n}.5")]
    engine.command("HSET", "sess:user:0f", ":entered", "1000", *fields)
    for taken_out in (False, True):
        read: dict[str, Entry] = {}
        cursor, pages = 0, 0
        while pages == 0 or cursor:
            page, cursor, _ = await store.index_page(FORMER + "0f", cursor, 100)
            read |= page
            pages += 1
            if taken_out:
                await store.index_prune(FORMER + "0f", page)
        assert read == {each: Entry(n, b"x" * 80, n + 0.5) for n, each in enumerate(names, 1)}
        assert pages > 5
    assert await store.index_page(FORMER + "0f", 0, 100) == ({}, 0, 0)
    assert await store.index_get(FORMER + "0f", names[0]) is None
    await store.close()


async def test_what_stands_in_the_place_of_an_index_is_nobodys_fault(engine: servers.Server) -> None:
    """A key of another type there is a store that does not work, not a session that is corrupt."""
    store = RedisSessionStore(engine.url)
    engine.command("SET", "sess:user:{ann}", "1")
    engine.command("SET", "sess:user:{ann}:known", "1")
    for call in (
        store.index_add("ann", ID, b"1", 1.0, HOUR),
        store.index_page("ann", 0, 10),
        store.index_get("ann", ID),
        store.index_set("ann", ID, b"2"),
        store.index_remove("ann", [ID]),
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            await call
        assert caught.value.code == "index_corrupt"
    await store.close()


async def test_a_durable_destroy_needs_its_replicas(subject: Subject) -> None:
    """With no replica to confirm it a durable destroy is an error, the second time too; the session is gone here."""
    await subject.store.create(ID, b"1", HOUR)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError) as caught:
            await subject.store.destroy(ID, wait_replicas=1)
        assert caught.value.code == "destroy_not_confirmed"


@pytest.mark.server
class TestReplica:
    """A primary with one replica."""

    async def test_a_durable_destroy_waits_for_the_replica(
        self, engine: servers.Server, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """It succeeds with the replica, is an error while the replica hangs, and can be repeated when it is back."""
        engine.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        follow = ("--replicaof", "127.0.0.1", str(engine.port))
        replica = servers.Server(engine.binary, tmp_path_factory.mktemp("replica"), *follow).start()
        # Redis sends a replica nothing before its first acknowledgement, up to a second after the synchronisation.
        store = RedisSessionStore(engine.url)
        for _ in range(20):
            with contextlib.suppress(StoreUnavailableError):
                await store.destroy("a session that never was", wait_replicas=1)
                break
        try:
            await store.create(ID, b"1", HOUR)
            assert await store.destroy(ID, wait_replicas=1)
            assert replica.command("EXISTS", f"sess:{ID}") == b":0\r\n"
            assert not await store.destroy(ID, wait_replicas=1)
            await store.create(ID, b"1", HOUR)
            assert replica.process is not None
            replica.process.send_signal(signal.SIGSTOP)
            with pytest.raises(StoreUnavailableError):
                await store.destroy(ID, wait_replicas=1)
            with pytest.raises(StoreUnavailableError):
                await store.destroy(ID, wait_replicas=1)  # gone here, and still not confirmed
            replica.process.send_signal(signal.SIGCONT)
            assert not await store.destroy(ID, wait_replicas=1)
            assert replica.command("EXISTS", f"sess:{ID}") == b":0\r\n"
        finally:
            await store.close()
            assert replica.process is not None
            replica.process.send_signal(signal.SIGCONT)
            replica.stop()
