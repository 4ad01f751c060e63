"""A failover behind Sentinels in the middle of load. `pytest -rP tests/engines` shows the figures."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

from jwtsession import StoreUnavailableError
from jwtsession.stores.redis._exchange import DEADLINE_SECONDS
from tests import servers
from tests.engines.load import Load, application, opened, serving

pytestmark = [pytest.mark.caches("near"), pytest.mark.ci, pytest.mark.alone]

# A request takes two calls at most, and each has the deadline.
LONGEST = 2 * DEADLINE_SECONDS + 2  # two calls, and a machine that has other work to do


@contextlib.asynccontextmanager
async def behind(primary: servers.Server, epoch: int) -> AsyncIterator[int]:
    """A sentinel that names this primary, since this failover; gives its port."""
    port = str(primary.port)
    replies = {
        b"PING": b"+PONG\r\n",
        b"MASTER": b"*8\r\n" + strings("ip", "127.0.0.1", "port", port, "flags", "master", "config-epoch", str(epoch)),
        b"GET-MASTER-ADDR-BY-NAME": b"*2\r\n" + strings("127.0.0.1", port),
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                for words in data.split(b"*")[1:]:
                    known = [reply for word, reply in replies.items() if b"\r\n%s\r\n" % word in words]
                    writer.write(*known or [b"-ERR unknown command\r\n"])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def strings(*words: str) -> bytes:
    return b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)


def patient(replicated: servers.Replicated) -> None:
    """A primary that stops for a moment, to be replaced, is not taken for dead."""
    for each in replicated.sentinels:
        assert each.command("SENTINEL", "SET", "mymaster", "down-after-milliseconds", "5000") == b"+OK\r\n"


def fail_over(replicated: servers.Replicated) -> None:
    """As an operator does it."""
    patient(replicated)
    assert replicated.sentinels[0].command("SENTINEL", "FAILOVER", "mymaster") == b"+OK\r\n"


def fail_over_coordinated(replicated: servers.Replicated) -> None:
    """As an operator of Valkey 9 can do it: the old primary stops writing before the new one starts."""
    patient(replicated)
    assert replicated.sentinels[0].command("SENTINEL", "FAILOVER", "mymaster", "COORDINATED") == b"+OK\r\n"


def kill(replicated: servers.Replicated) -> None:
    replicated.primary.kill()


def freeze(replicated: servers.Replicated) -> None:
    replicated.primary.freeze()


@pytest.mark.parametrize(
    ("happens", "wait_replicas"),
    [(fail_over, 0), (fail_over, 2), (fail_over_coordinated, 0), (kill, 0), (kill, 2), (freeze, 0)],
)
async def test_a_failover(
    replicated: servers.Replicated, happens: Callable[[servers.Replicated], None], wait_replicas: int
) -> None:
    """Every request gets its answer in time, service comes back by itself, and no durable destroy is undone.

    From half a second after the Sentinels named the new primary, what is confirmed is confirmed by that one.
    """
    old = replicated.primary
    async with serving(application(replicated.url)) as client:
        load = Load(client, wait_replicas)
        async with load.running():
            began = time.monotonic()
            await asyncio.to_thread(happens, replicated)
            await load.until(lambda: replicated.primary is not old, "the failover")
            switched = time.monotonic()
            await asyncio.to_thread(patient, replicated)  # one failover is what this is about
            await load.go_on(1.5)
        await asyncio.to_thread(replicated.heal)
        assert replicated.primary is not old
        await load.settle()
    print(f"{happens.__name__}, wait_replicas={wait_replicas}: {load.figures(began, switched)}")
    assert load.statuses.keys() <= {200, 201, 204, 401, 503}
    assert load.slowest < LONGEST
    assert load.outage(began) < switched - began + LONGEST
    assert load.serves
    settled = switched + 0.5
    assert [at - settled for at in load.lost.values() if at > settled] == []
    assert [at - settled for at in load.undone.values() if at > settled] == []
    if wait_replicas or happens is fail_over_coordinated:
        assert load.undone == {}


async def test_sentinels_that_hang_or_die_hold_nobody(replicated: servers.Replicated) -> None:
    """One that hangs costs no request a second; with all of them dead the primary that is known goes on."""
    async with serving(application(replicated.url)) as client:
        load = Load(client)
        async with load.running():
            replicated.sentinels[0].freeze()
            await load.go_on(1.5)
            assert load.slowest < 1
            for each in replicated.sentinels:
                each.kill()
            await load.go_on(1.5)
        assert load.statuses.keys() == {200, 201, 204}
        async with serving(application(replicated.url)) as newcomer:
            assert (await newcomer.post("/session", params={"number": 1})).status_code == 503
            await asyncio.to_thread(replicated.heal)
            assert (await newcomer.post("/session", params={"number": 1})).status_code == 201


async def test_the_newest_word_counts(replicated: servers.Replicated, valkey: servers.Server) -> None:
    """Where Sentinels name different primaries it is the one of the latest failover, whoever answers first."""
    known = replicated.primary
    async with behind(known, epoch=7) as late, behind(valkey, epoch=6) as early:
        for order in ([late, early], [early, late]):
            url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in order)}/mymaster/0"
            async with opened(url) as store:
                session_id = f"session-{order[0]:0>20}"
                assert await store.create(session_id, b"1", 3_600_000)
                assert known.command("EXISTS", f"sess:{session_id}") == b":1\r\n"


async def test_no_connection_is_free(replicated: servers.Replicated) -> None:
    """With every connection in use others wait for one, a bounded time; then it is a 503, and passes."""
    async with opened(replicated.url + "?max_connections=2&timeout=0.2") as store:
        ids = [f"session-{number:0>20}" for number in range(50)]
        assert all(await asyncio.gather(*(store.create(each, b"1", 3_600_000) for each in ids)))
        primary = replicated.primary
        primary.freeze()
        waiting = [asyncio.create_task(store.touch(each, 3_600_000)) for each in ids]
        refused, late = await asyncio.wait(waiting, timeout=0.8)
        primary.thaw()
        assert len(refused) == 48
        assert {type(each.exception()) for each in refused} == {StoreUnavailableError}
        assert [await each for each in late] == [True] * 2
        assert await store.touch(ids[0], 3_600_000)
