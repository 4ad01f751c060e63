"""Loads that share a round trip to each node of a cluster, while the cluster changes."""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot

from jwtsession import RedisSessionStore, StoreUnavailableError
from jwtsession.stores import Verdict
from tests import servers
from tests.engines.load import opened

pytestmark = [pytest.mark.ci, pytest.mark.alone]

HOUR = 3_600_000


@pytest.fixture
async def store(cluster: servers.Cluster) -> AsyncIterator[RedisSessionStore]:
    async with opened(cluster.url) as store:
        yield store


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often this process has written to a server, by the server's port."""
    counted: Counter[int] = Counter()
    send = AbstractConnection.send_packed_command

    async def counting(self: AbstractConnection, *args: object, **options: object) -> None:
        counted[self.port] += 1  # type: ignore[attr-defined]
        await send(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(AbstractConnection, "send_packed_command", counting)
    return counted


async def created(store: RedisSessionStore, count: int = 64) -> list[str]:
    """The ids of so many sessions, on all nodes, whose data is their id; connections for loads are there."""
    ids = [secrets.token_urlsafe(32) for _ in range(count)]
    for each in ids:
        assert await store.create(each, each.encode(), HOUR)
    await check(store, ids)
    return ids


async def check(store: RedisSessionStore, ids: list[str]) -> None:
    """Load all at the same time, and look whether each has its own data."""
    assert await asyncio.gather(*map(store.load, ids)) == [each.encode() for each in ids]


def slot_of(session_id: str) -> int:
    return key_slot(f"sess:{session_id}".encode())


def clients(server: servers.Server, name: str) -> int:
    """How many connections of that name the server has."""
    return sum(each["name"] == name for each in server.ask("CLIENT LIST"))


async def test_loads_share_a_round_trip_to_each_node(
    cluster: servers.Cluster, store: RedisSessionStore, writes: Counter[int]
) -> None:
    """64 loads at once are one write to each of three nodes, and each node reads a few times."""
    ids = await created(store)
    ports = {cluster.owner(f"sess:{each}").port for each in ids}
    assert len(ports) == 3
    asked = [each.ask("INFO", "stats")["total_reads_processed"] for each in cluster.primaries]
    asking = [each.ask("INFO", "stats")["total_reads_processed"] for each in cluster.primaries]
    writes.clear()
    await check(store, ids)
    assert writes == dict.fromkeys(ports, 1)
    found = [each.ask("INFO", "stats")["total_reads_processed"] for each in cluster.primaries]
    reads = [after - 2 * before + earlier for after, before, earlier in zip(found, asking, asked, strict=True)]
    assert sum(reads) < 16  # the replicas report once a second


async def test_moved_and_ask_touch_no_other_load(
    cluster: servers.Cluster, store: RedisSessionStore, writes: Counter[int]
) -> None:
    """While one session is on another node than the map says, the 63 others still share their round trips."""
    ids = await created(store)
    slots = [slot_of(ids[0])]
    assert sum(slot_of(each) in slots for each in ids) == 1
    source = cluster.owner(f"sess:{ids[0]}")
    target = next(each for each in cluster.primaries if each is not source)
    together = Counter(each.port for each in cluster.primaries)
    cluster.open_slots(slots, source, target)
    cluster.move_keys(slots, source, target)
    await check(store, ids)  # has connections to follow ASK
    for _ in range(2):
        writes.clear()
        await check(store, ids)
        # One was asked for alone: the source says ASK once more, then the target gets ASKING with the command.
        assert writes == together + Counter([source.port, target.port])
    cluster.close_slots(slots, source, target)
    writes.clear()
    await check(store, ids)
    assert writes == together + Counter([source.port, target.port])  # the same with MOVED
    writes.clear()
    await check(store, ids)
    assert writes == together
    await asyncio.to_thread(cluster.migrate, slots, target, source)


async def test_two_keys_on_two_nodes(cluster: servers.Cluster, store: RedisSessionStore, writes: Counter[int]) -> None:
    """A session and a proof are asked for at the same time, many together, also where one of them has just moved."""
    ids = await created(store, 20)  # so few that no node needs its second connection
    proofs = [f"proof-{each}" for each in ids]
    writes.clear()
    pairs = zip(ids, proofs, strict=True)
    found = await asyncio.gather(*(store.load_once(each, None, proof, HOUR) for each, proof in pairs))
    assert found == [(each.encode(), True) for each in ids]
    assert max(writes.values()) <= 2  # where both are on one node they are asked for a moment earlier
    slots = [slot_of(ids[0])]
    source = cluster.owner(f"sess:{ids[0]}")
    target = next(each for each in cluster.primaries if each is not source)
    await asyncio.to_thread(cluster.migrate, slots, source, target)
    again = await asyncio.gather(
        *(store.load_once(each, None, proof, HOUR) for each, proof in zip(ids, reversed(proofs), strict=True))
    )
    assert again == [(each.encode(), False) for each in ids]
    assert await store.load_once(ids[0], HOUR, "a-new-one", HOUR) == (ids[0].encode(), True)
    await asyncio.to_thread(cluster.migrate, slots, target, source)


async def test_a_session_and_its_generation_share_round_trips(store: RedisSessionStore, writes: Counter[int]) -> None:
    """Both keys of a session are on one node, so 64 loads with rotation are one write to each node too."""
    ids = await created(store)
    for each in ids:
        assert await store.rotate(each, 0, 1, due=True, grace=1000, ttl=HOUR) == (Verdict.ROTATED, 1)
    writes.clear()
    found = await asyncio.gather(*map(store.load_generation, ids))
    assert found == [(each.encode(), (1, 0), 1 + HOUR) for each in ids]
    assert list(writes.values()) == [1, 1, 1]


async def test_slots_that_move_under_many_loads(cluster: servers.Cluster, store: RedisSessionStore) -> None:
    """64 loads wait at any time while slots move to another node and back: each gets its own session."""
    ids = await created(store, 200)
    source, target, _ = cluster.primaries
    slots = sorted({slot_of(each) for each in ids if cluster.owner(f"sess:{each}") is source})[:20]
    done, count = False, 0

    async def load() -> None:
        nonlocal count
        while not done:
            each = random.choice(ids)
            assert await store.load(each, HOUR) == each.encode()
            count += 1

    loads = [asyncio.create_task(load()) for _ in range(64)]
    for ways in ((source, target), (target, source)):
        await asyncio.to_thread(cluster.migrate, slots, *ways, 0.01)
    done = True
    await asyncio.gather(*loads)
    print(f"{count} loads, all right")


async def test_a_primary_that_is_killed(
    cluster: servers.Cluster, store: RedisSessionStore, writes: Counter[int]
) -> None:
    """Only loads of its sessions fail, each in time; when its replica is promoted they share round trips again."""
    ids = await created(store)
    old = cluster.owner(f"sess:{ids[0]}")
    (replica,) = cluster.replicas(old)
    lost = [each for each in ids if cluster.owner(f"sess:{each}") is old]
    rest = [each for each in ids if each not in lost]
    replica.wait_until(b":%d" % len(lost), "DBSIZE")
    waiting = [asyncio.create_task(store.load(each)) for each in ids]
    await asyncio.sleep(0)
    old.kill()
    await asyncio.wait(waiting, timeout=5)
    for each, task in zip(ids, waiting, strict=True):
        if each in rest or task.exception() is None:
            assert task.result() == each.encode()
        else:
            assert type(task.exception()) is StoreUnavailableError
    await check(store, rest)
    await asyncio.to_thread(servers.until, lambda: replica.ask("INFO", "replication")["role"] == "master", "a failover")
    await asyncio.to_thread(replica.wait_until, b"cluster_state:ok", "CLUSTER", "INFO")
    while isinstance((await asyncio.gather(store.load(lost[0]), return_exceptions=True))[0], StoreUnavailableError):
        pass  # other nodes, which are asked for the map, have not heard of it yet
    await check(store, ids)
    writes.clear()
    await check(store, ids)
    assert set(writes.values()) == {1}


async def test_nothing_is_left_of_a_node_without_slots(cluster: servers.Cluster) -> None:
    """A node whose slots have all moved away loses the connections that loads shared; `close` ends all others."""
    name = secrets.token_hex(8)
    node = cluster.join()
    async with opened(f"{cluster.url}?client_name={name}") as store:
        ids = await created(store)
        slots = [slot_of(each) for each in ids if cluster.owner(f"sess:{each}") is cluster.primaries[0]]
        source = cluster.primaries[0]
        for back in (False, True):
            await asyncio.to_thread(cluster.migrate, slots, *((node, source) if back else (source, node)))
            await check(store, ids)
            await check(store, ids)
            if not back:
                assert clients(node, name) > 1
        # Those of the client's own, which followed MOVED, stay until its next map.
        left = clients(node, name)
        await asyncio.to_thread(servers.until, lambda: clients(node, name) < left, "the end of the loads' connections")
    for each in [*cluster.nodes, node]:
        await asyncio.to_thread(servers.until, lambda each=each: not clients(each, name), "the end of all connections")
    cluster.leave(node, range(0))
