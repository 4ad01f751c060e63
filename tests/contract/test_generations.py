"""The contract of `RotationStore`: one suite, every store, every engine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from jwtsession import MemorySessionStore, RedisSessionStore, SessionCorruptError
from jwtsession.stores import Generation, Rotated, RotationStore, Verdict, has_rotation, judge
from tests import servers
from tests.contract import test_store
from tests.contract.test_store import HOUR, ID, Subject, TestLostReplies

subject = test_store.subject

GRACE = 30_000
NOW = 1_764_130_000_123


def rotating(subject: Subject) -> RotationStore:
    assert has_rotation(subject.store)
    return subject.store


async def ask(
    store: RotationStore, presented: int, now: int = NOW, *, due: bool = False, session_id: str = ID, ttl: int = HOUR
) -> Rotated:
    return await store.rotate(session_id, presented, now, due=due, grace=GRACE, ttl=ttl)


class TestGenerations:
    """The newest generation of a session's tokens."""

    async def test_every_store_follows_the_table(self, subject: Subject) -> None:
        """Whatever it holds and whatever is presented: the verdict of `judge`, and what `judge` leaves behind."""
        store, number = rotating(subject), 0
        for held in (None, (3, 0), (3, NOW - GRACE), (3, NOW - GRACE + 1), (3, NOW), (3, NOW + 5), (1, 0), (0, NOW)):
            for presented in range(6):
                for due in (False, True):
                    number += 1
                    session_id = f"session-{number:0>30}"
                    if held is not None and held[1]:
                        await ask(store, held[0], held[1], session_id=session_id)
                    elif held is not None:
                        await ask(store, held[0] - 1, due=True, session_id=session_id)
                    newest = None if held is None else Generation(*held)
                    assert (await store.load_generation(session_id)).newest == newest
                    verdict, after = judge(newest, presented, NOW, due=due, grace=GRACE)
                    assert await ask(store, presented, due=due, session_id=session_id) == (verdict, after.number)
                    assert (await store.load_generation(session_id)).newest == after

    async def test_large_generations_are_exact(self, subject: Subject) -> None:
        """Up to the last one that a token can have."""
        store = rotating(subject)
        assert await ask(store, 2**53 - 1) == (Verdict.CURRENT, 2**53 - 1)
        assert await ask(store, 2**53 - 1, due=True) == (Verdict.ROTATED, 2**53)
        assert (await store.load_generation(ID)).newest == (2**53, 0)

    async def test_a_session_is_loaded_with_its_generation(self, subject: Subject) -> None:
        """Either may be without the other, and the load extends the session only if it is told to."""
        store = rotating(subject)
        assert await store.load_generation(ID) == (None, None, 0)
        await subject.store.create(ID, b"1", HOUR)
        assert await store.load_generation(ID) == (b"1", None, 0)
        await ask(store, 2)
        assert await store.load_generation(ID, 2 * HOUR) == (b"1", (2, NOW), NOW + HOUR)
        assert HOUR < await subject.ttl(ID) <= 2 * HOUR
        await subject.store.destroy(ID)
        assert await store.load_generation(ID, HOUR) == (None, (2, NOW), NOW + HOUR)

    async def test_no_method_brings_a_session_back(self, subject: Subject) -> None:
        """What is kept of its tokens is no session."""
        store = rotating(subject)
        await subject.store.create(ID, b"1", HOUR)
        await ask(store, 0)
        await subject.store.destroy(ID)
        await ask(store, 0, due=True)
        await store.extend_generation(ID, HOUR)
        assert await subject.store.load(ID) is None

    async def test_of_many_at_once_one_begins_the_next_generation(self, subject: Subject) -> None:
        """The others get the same, in each of several rounds."""
        store = rotating(subject)
        for number in range(5):
            await ask(store, number)
            found = await asyncio.gather(*(ask(store, number, due=True) for _ in range(10)))
            assert {generation for _, generation in found} == {number + 1}
            assert sorted(verdict.value for verdict, _ in found) == ["again"] * 9 + ["rotated"]

    async def test_what_is_extended_must_be_there(self, subject: Subject) -> None:
        """Nothing springs up."""
        store = rotating(subject)
        await store.extend_generation(ID, HOUR)
        assert await store.load_generation(ID) == (None, None, 0)


async def test_the_memory_forgets_a_generation_after_its_time() -> None:
    """Unless it is extended."""
    now = 0.0
    store = MemorySessionStore(lambda: now)
    await ask(store, 1, ttl=1000)
    now = 0.9
    await store.extend_generation(ID, 1000)
    now = 1.8
    assert (await store.load_generation(ID)).newest == (1, NOW)
    now = 1.9
    assert (await store.load_generation(ID)).newest is None


def left(engine: servers.Server, key: str) -> int:
    return int(engine.command("PTTL", key).decode().strip(":\r\n"))


class TestOnTheServer:
    """Which key has what, and which commands the server sees."""

    async def test_a_generation_is_one_key_that_expires(self, engine: servers.Server) -> None:
        """Beside the session's own, and each rotation and extension starts its time again."""
        store = RedisSessionStore(engine.url)
        key = f"{{sess:{ID}}}:gen"
        await ask(store, 1)
        assert engine.command("KEYS", "*") == f"*1\r\n${len(key)}\r\n{key}\r\n".encode()
        assert 0 < left(engine, key) <= HOUR
        await ask(store, 1, ttl=3 * HOUR)
        assert left(engine, key) > 2 * HOUR
        await store.extend_generation(ID, 5 * HOUR)
        assert left(engine, key) > 4 * HOUR
        await store.close()

    @pytest.mark.parametrize("keyspace", ["sess:", "{app}:sess:", "s"])
    async def test_it_has_the_sessions_slot(self, engine: servers.Server, keyspace: str) -> None:
        """A cluster's node that has the session has this too, whatever the keyspace."""
        store = RedisSessionStore(engine.url, keyspace=keyspace)
        await store.create(ID, b"1", HOUR)
        await ask(store, 1)
        await store.close()
        async with Redis(port=engine.port) as client:
            keys = await client.keys()
        assert len(keys) == 2
        assert len({key_slot(key) for key in keys}) == 1

    async def test_rotation_is_one_more_command_for_each_load(self, engine: servers.Server) -> None:
        """In the same round trip. Without rotation it is none."""
        store = RedisSessionStore(engine.url)
        await store.create(ID, b"1", HOUR)
        await store.load_generation(ID)  # connects
        assert await counted(engine, store.load, ID) == {"get": 1}
        assert await counted(engine, store.load_generation, ID) == {"get": 1, "hmget": 1}
        assert await counted(engine, store.load_generation, ID, HOUR) == {"getex": 1, "hmget": 1}
        await store.close()

    @pytest.mark.parametrize(
        "value",
        [("SET", "x"), ("HSET", "gen", "x"), ("HSET", "gen", "1", "used", "x"), ("HSET", "gen", "1", "until", "x")],
    )
    async def test_a_key_that_holds_something_else_is_corrupt(
        self, engine: servers.Server, value: tuple[str, ...]
    ) -> None:
        """An old token is not believed because of it, and the key stays."""
        command, *words = value
        engine.command(command, f"{{sess:{ID}}}:gen", *words)
        store = RedisSessionStore(engine.url)
        await store.create(ID, b"1", HOUR)
        for ttl in (None, HOUR):
            with pytest.raises(SessionCorruptError):
                await store.load_generation(ID, ttl)
        await store.close()

    async def test_a_client_of_the_applications_own_works_too(self, engine: servers.Server) -> None:
        """It is used as it is."""
        async with Redis(port=engine.port) as client:
            store = RedisSessionStore(client=client)
            await store.create(ID, b"1", HOUR)
            assert await ask(store, 0, due=True) == (Verdict.ROTATED, 1)
            assert await store.load_generation(ID, HOUR) == (b"1", (1, 0), NOW + HOUR)


async def counted(engine: servers.Server, call: Callable[..., Awaitable[Any]], *args: Any) -> dict[str, int]:
    """Which commands the server sees of a call. A connection that was silent for long sends a PING before."""
    engine.command("CONFIG", "RESETSTAT")
    await call(*args)
    lines = engine.command("INFO", "commandstats").decode().splitlines()
    found = [line.removeprefix("cmdstat_").partition(":calls=") for line in lines if line.startswith("cmdstat_")]
    return {
        name: int(rest.partition(",")[0]) for name, _, rest in found if not name.startswith(("config", "info", "ping"))
    }


@pytest.mark.server
@pytest.mark.parametrize("engine_url", ["redis", "redis+cluster"])
class TestLostGenerations:
    """A reply that was lost after the script has run."""

    @pytest.fixture
    async def store(self, request: pytest.FixtureRequest, engine_url: str) -> AsyncIterator[RedisSessionStore]:
        server: servers.Server = request.getfixturevalue("cluster_server" if "+" in engine_url else "valkey_server")
        server.command("FLUSHALL")
        store = RedisSessionStore(f"{engine_url}://127.0.0.1:{server.port}")
        yield store
        await store.close()

    async def test_a_rotation_whose_reply_got_lost_gives_the_same_token(
        self, store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second try finds what the first one began, so it is not passed over."""
        await ask(store, 0)  # the script is there from here on
        TestLostReplies.lose(monkeypatch, reply_is=([b"rotated", b"1"],))  # type: ignore[arg-type]
        assert await ask(store, 0, due=True) == (Verdict.AGAIN, 1)
        assert (await store.load_generation(ID)).newest == (1, 0)

    async def test_a_first_use_whose_reply_got_lost_is_noted_once(
        self, store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the time of the first try."""
        await ask(store, 0, due=True)
        TestLostReplies.lose(monkeypatch, reply_is=([b"current", b"1"],))  # type: ignore[arg-type]
        assert await ask(store, 1) == (Verdict.CURRENT, 1)
        assert (await store.load_generation(ID)).newest == (1, NOW)
