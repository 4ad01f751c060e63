"""Tests of jwtsession.stores.redis.autopipeline, on a real server: it is all about connections."""

import asyncio
import gc
import math
import socket
import struct
import traceback
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError, TimeoutError

from jwtsession import RedisSessionStore, SessionCorruptError, StoreUnavailableError
from jwtsession.stores.redis._exchange import packed
from jwtsession.stores.redis.autopipeline import AutoPipeline
from tests import servers

HOUR = 3_600_000


@pytest.fixture
async def store(valkey: servers.Server) -> AsyncIterator[RedisSessionStore]:
    made = RedisSessionStore(valkey.url)
    yield made
    await made.close()


def pipeline(store: RedisSessionStore) -> AutoPipeline:
    made = store._connections.pipeline
    assert isinstance(made, AutoPipeline)
    return made


def calls(server: servers.Server, name: str) -> int:
    stats = server.command("INFO", "commandstats").decode()
    return sum(
        int(line.partition("calls=")[2].partition(",")[0])
        for line in stats.splitlines()
        if line.startswith(f"cmdstat_{name}:")
    )


def test_a_command_is_packed_as_the_protocol_says() -> None:
    """Words become bulk strings with their length in bytes."""
    assert packed("GETEX", "sess:ä", "PX", 5) == (
        b"*4\r\n$5\r\nGETEX\r\n$7\r\nsess:\xc3\xa4\r\n$2\r\nPX\r\n$1\r\n5\r\n"
    )


async def test_connecting_has_a_time_of_its_own(valkey: servers.Server) -> None:
    """A round trip that has to connect first may take as long as connecting may, and the round trip after it."""

    class Slow(Connection):
        async def connect(self) -> None:
            await asyncio.sleep(0.3)
            await super().connect()  # type: ignore[no-untyped-call]

    made = AutoPipeline(lambda: Slow(port=valkey.port), timeout=0.25, connect_timeout=10, deadline=10)
    assert await made.request(packed("GET", "nothing")) is None
    await made.close()


async def test_many_loads_share_round_trips_and_each_gets_its_own(
    store: RedisSessionStore, valkey: servers.Server
) -> None:
    """A thousand loads at once are a thousand commands in some ten writes, and nobody gets another's session."""
    ids = [f"session-{number:0>20}" for number in range(1000)]
    for each in ids:
        await store.create(each, each.encode(), HOUR)
    valkey.command("CONFIG", "RESETSTAT")
    writes = 0
    for connection in pipeline(store)._connections:
        original = connection.send_packed_command

        async def counted(*args: object, original: object = original, **options: object) -> None:
            nonlocal writes
            writes += 1
            await original(*args, **options)  # type: ignore[operator]

        connection.send_packed_command = counted  # type: ignore[method-assign]
    assert await asyncio.gather(*(store.load(each) for each in ids)) == [each.encode() for each in ids]
    assert calls(valkey, "get") == 1000
    assert writes < 30


async def test_one_bad_key_does_not_touch_its_neighbours(store: RedisSessionStore, valkey: servers.Server) -> None:
    """An error reply in a shared round trip is the error of its own caller alone."""
    valkey.command("HSET", "sess:bad", "field", "value")
    await store.create("good", b"1", HOUR)
    asked = ["good", "bad", "gone", "good", "bad", "good"] * 20
    answers = await asyncio.gather(*(store.load(each) for each in asked), return_exceptions=True)
    for each, answer in zip(asked, answers, strict=True):
        if each == "bad":
            assert isinstance(answer, SessionCorruptError)
        else:
            assert answer == (b"1" if each == "good" else None)


async def test_the_traceback_of_an_error_holds_nothing_of_its_neighbours(
    store: RedisSessionStore, valkey: servers.Server
) -> None:
    """An error tracker that shows the local variables of frames sends no session of another caller anywhere."""
    await store.create("theirs", b"their session", HOUR)
    valkey.command("HSET", "sess:wrong", "a", "b")
    await store.load("theirs")
    loads = [store.load(each) for each in ["theirs", "theirs", "wrong", "theirs"]]
    *_, error, last = await asyncio.gather(*loads, return_exceptions=True)
    assert isinstance(error, SessionCorruptError)
    assert error.__cause__ is not None
    assert last == b"their session"
    frames = [frame for frame, _ in traceback.walk_tb(error.__cause__.__traceback__)]
    assert frames
    assert not [frame for frame in frames if "their" in repr(frame.f_locals)]


async def test_a_connection_that_dies_after_half_of_the_replies_shows_none_of_them(valkey: servers.Server) -> None:
    """The callers of the other half get errors whose frames have nothing of the replies that had come."""

    class Dying(Connection):
        left = math.inf

        async def read_response(self, *args: Any, **options: Any) -> Any:
            Dying.left -= 1
            if Dying.left < 0:
                raise ConnectionError("it died")
            return await super().read_response(*args, **options)

    valkey.command("SET", "theirs", "their session")
    made = AutoPipeline(lambda: Dying(port=valkey.port), timeout=5, connect_timeout=5, deadline=5)
    load = packed("GET", "theirs")
    await made.request(load)
    Dying.left = 3  # one for the first load, which is alone, and two of four for the others
    answers = await asyncio.gather(*(made.request(load) for _ in range(5)), return_exceptions=True)
    assert answers[0] == b"their session"
    for error in answers[1:]:
        assert isinstance(error, ConnectionError)
        assert error.__cause__ is not None
        frames = [frame for frame, _ in traceback.walk_tb(error.__cause__.__traceback__)]
        assert frames
        assert not [frame for frame in frames if "their session" in repr(frame.f_locals)]
    await made.close()


async def test_an_error_leaves_nothing_to_the_collector() -> None:
    """With a server that is down, each load that fails is gone with its request: the first ones and those that wait."""
    made = AutoPipeline(lambda: Connection(port=servers.free_port()), timeout=5, connect_timeout=5, deadline=5)

    async def some() -> list[weakref.ref[BaseException]]:
        found = await asyncio.gather(*(made.request(packed("GET", "a")) for _ in range(5)), return_exceptions=True)
        return [weakref.ref(error) for error in found if isinstance(error, ConnectionError)]

    await some()  # from now on the first load lets others join it
    gc.collect()
    gc.disable()
    try:
        errors = await some()
        await asyncio.sleep(0)  # the last task ends
        assert [error() for error in errors] == [None] * 5
    finally:
        gc.enable()
    await made.close()


async def test_a_cancelled_caller_does_not_touch_its_neighbours(store: RedisSessionStore) -> None:
    """Half of the callers go away while they share round trips; the others get their own sessions."""
    for number in range(100):
        await store.create(f"{number}", b"%d" % number, HOUR)
    for _ in range(10):
        tasks = [asyncio.create_task(store.load(f"{number}")) for number in range(100)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[1::2] == [b"%d" % number for number in range(1, 100, 2)]
        assert all(isinstance(answer, asyncio.CancelledError | bytes) for answer in answers[::2])
    assert len(pipeline(store)._free) == len(pipeline(store)._connections)
    assert not pipeline(store)._tasks
    assert not pipeline(store)._waiting


async def test_a_killed_connection_is_made_anew(store: RedisSessionStore, valkey: servers.Server) -> None:
    """The server drops every connection between two loads, and neither load notices."""
    await store.create("a", b"1", HOUR)
    for _ in range(3):
        assert await asyncio.gather(*(store.load("a") for _ in range(20))) == [b"1"] * 20
        valkey.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def test_loads_that_wait_fail_when_the_store_closes(valkey: servers.Server) -> None:
    """Nobody waits for ever for a store that was closed."""
    store = RedisSessionStore(valkey.url)
    await store.create("a", b"1", HOUR)
    tasks = [asyncio.create_task(store.load("a")) for _ in range(50)]
    await asyncio.sleep(0)
    await store.close()
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert {type(answer) for answer in answers} == {StoreUnavailableError}
    with pytest.raises(StoreUnavailableError):
        await store.load("a")
    await store.open()
    assert await store.load("a") == b"1"
    await store.close()


async def test_a_server_that_hangs_holds_nobody(valkey: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who are under way, those who wait for a place and those far behind in the queue are all told in time."""
    monkeypatch.setattr("jwtsession.stores.redis.autopipeline._MAX_BATCH", 5)
    made = AutoPipeline(lambda: Connection(port=valkey.port), timeout=0.2, connect_timeout=1, deadline=0.3)
    assert await made.request(packed("GET", "nothing")) is None
    valkey.freeze()
    try:
        tasks = [made.request(packed("GET", "nothing")) for _ in range(100)]
        answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 0.9)
        assert {type(answer) for answer in answers} == {TimeoutError}
    finally:
        valkey.thaw()
    assert await made.request(packed("GET", "nothing")) is None
    await made.close()


async def test_a_flood_is_bounded(store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a load fails at once, instead of queueing without end."""
    monkeypatch.setattr("jwtsession.stores.redis.autopipeline._MAX_WAITING", 10)
    await store.create("a", b"1", HOUR)
    answers = await asyncio.gather(*(store.load("a") for _ in range(100)), return_exceptions=True)
    assert answers.count(b"1") >= 11  # one under way, and ten that wait
    assert all(answer == b"1" or getattr(answer, "status_code", None) == 503 for answer in answers)


def test_a_connection_that_was_reset_has_failed_under_uvloop_too() -> None:
    """A load gets the error of a failed connection, which is tried again, and not the `RuntimeError` of uvloop."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        peers: list[asyncio.StreamWriter] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peers.append(writer)
            while data := await reader.read(1000):
                writer.write(b"+OK\r\n" * data.count(b"*"))

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        made = AutoPipeline(lambda: Connection(port=port, protocol=2), timeout=5, connect_timeout=5, deadline=5)
        try:
            assert await made.request(packed("GET", "a")) == b"OK"
            peers[0].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peers[0].transport.abort()
            for _ in range(100):
                await asyncio.sleep(0)  # the reset arrives, while nobody reads
            with pytest.raises(ConnectionError):
                await made.request(packed("GET", "a"))
            assert await made.request(packed("GET", "a")) == b"OK"
        finally:
            await made.close()
            for each in peers:
                each.close()
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
