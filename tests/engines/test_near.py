"""The near cache behind Sentinels and in a cluster: it follows the servers that have the sessions, and only those."""

import asyncio
import time

import pytest
from redis.crc import key_slot

from jwtsession import StoreUnavailableError
from jwtsession.stores import CachedSessionStore
from jwtsession.stores.redis.client_cache.tracking import STALENESS_SECONDS, Lease
from jwtsession.stores.redis.cluster import ClusterNodes
from tests import servers
from tests.engines.test_sentinel import fail_over, kill
from tests.integration.test_near import HOUR, cache, gets, keeps, kept, opened, read, until
from tests.parts import parts_of

pytestmark = [pytest.mark.ci, pytest.mark.alone]

ID = "an-id-of-the-near-cache-tests"


async def is_right(store: CachedSessionStore, expected: bytes | None, seconds: float) -> None:
    """Soon every read is this; until then it may be unavailable."""
    deadline, right = time.monotonic() + seconds, 0
    while right < 20:
        assert time.monotonic() < deadline
        try:
            right = right + 1 if await read(store) == expected else 0
        except StoreUnavailableError:
            right = 0
        await asyncio.sleep(0.01)


# --- Sentinels -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("happens", [fail_over, kill])
async def test_a_failover_changes_the_server_that_is_followed(replicated: servers.Replicated, happens: object) -> None:
    """What was kept from the old primary is worth nothing once there is a new one, and that one is followed then."""
    old = replicated.primary
    async with opened(replicated.url) as store:
        await store.create(ID, b"1", HOUR)
        assert await store.destroy("nothing", wait_replicas=2) is False
        await kept(store, b"1")
        await asyncio.to_thread(happens, replicated)  # type: ignore[arg-type]
        new = await asyncio.to_thread(switched, replicated, old)
        await until(lambda: new.command("SET", f"sess:{ID}", "2", "XX", "KEEPTTL") == b"+OK\r\n", "the new primary")
        changed = time.monotonic()
        # Nobody loads: the heartbeat alone has to notice.
        await until(lambda: not keeps(store), "the end of what was kept", STALENESS_SECONDS)
        print(f"{happens.__name__}: known {time.monotonic() - changed:.3f} s after the change")  # type: ignore[attr-defined]
        await is_right(store, b"2", 5)
        await kept(store, b"2")
        new.command("SET", f"sess:{ID}", "3", "KEEPTTL")
        await until(lambda: not keeps(store), "the word of the new primary", STALENESS_SECONDS / 2)
        assert await read(store) == b"3"
        await until(
            lambda: len(cache(store).tracking._leases) == len(cache(store).tracking._tasks) == 1,
            "the old tracker's end",
            10,
        )
    await asyncio.to_thread(replicated.heal)


def switched(replicated: servers.Replicated, old: servers.Server) -> servers.Server:
    servers.until(lambda: replicated.primary is not old, "the failover")
    return replicated.primary


async def test_sentinels_that_are_dead_stop_nothing(replicated: servers.Replicated) -> None:
    """The known primary goes on, near and far, and what it tells is heard at once."""
    async with opened(replicated.url) as store:
        await store.create(ID, b"1", HOUR)
        await kept(store, b"1")
        for each in replicated.sentinels:
            each.kill()
        for number in range(2, 5):
            began = time.monotonic()
            await until(lambda began=began: time.monotonic() - began > 0.6, "time for a few heartbeats")
            assert keeps(store)
            await store.update(ID, b"%d" % (number - 1), b"%d" % number, HOUR)
            await kept(store, b"%d" % number)
    await asyncio.to_thread(replicated.heal)


# --- cluster ---------------------------------------------------------------------------------------------------------

IDS = [f"near-session-{number:0>20}" for number in range(30)]


async def test_each_node_tells_of_its_own(cluster: servers.Cluster) -> None:
    """Sessions on all primaries are kept, one connection follows each, and each tells of its changes."""
    async with opened(cluster.url) as store, opened(cluster.url) as other:
        for each in IDS:
            await other.create(each, b"1", HOUR)
        for each in IDS:
            await kept(store, b"1", each)
        assert len(parts_of(store, Lease)) == 3
        for node in cluster.primaries:
            node.command("CONFIG", "RESETSTAT")
        for each in IDS:
            assert await read(store, each) == b"1"
        assert sum(gets(node) for node in cluster.primaries) <= 15  # heartbeats
        for each in IDS:
            await other.update(each, b"1", b"2", HOUR)
        await until(lambda: not any(keeps(store, each) for each in IDS), "the nodes' word", STALENESS_SECONDS / 2)
        for each in IDS:
            assert await read(store, each) == b"2"


async def test_a_slot_that_moves(cluster: servers.Cluster) -> None:
    """From one node to another and back: reads are right throughout, and kept again from the node that has it."""
    key = f"sess:{ID}"
    slot = key_slot(key.encode())
    async with opened(cluster.url) as store:
        await store.create(ID, b"1", HOUR)
        source = cluster.owner(key)
        target = next(each for each in cluster.primaries if each is not source)
        for number, (old, new) in enumerate([(source, target), (target, source)] * 2, 1):
            await kept(store, b"%d" % number)
            await asyncio.to_thread(cluster.open_slots, [slot], old, new)
            assert await read(store) == b"%d" % number
            await asyncio.to_thread(cluster.move_keys, [slot], old, new)
            # The first one answers ASK now, and what comes from the other is not kept.
            await until(lambda: not keeps(store), "the word that it has left", STALENESS_SECONDS / 2)
            assert await read(store) == b"%d" % number
            assert not keeps(store)
            await asyncio.to_thread(cluster.close_slots, [slot], old, new)
            new.command("SET", key, f"{number + 1}", "KEEPTTL")
            assert await read(store) == b"%d" % (number + 1)
        assert not len(cache(store)._entries) or keeps(store)


async def test_a_slot_that_moves_in_silence(cluster: servers.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody says that a session has left, the map of slots does, soon after its second is over."""

    async def quiet(*args: object) -> list[int]:
        return [1]

    key = f"sess:{ID}"
    slots = [key_slot(key.encode())]
    async with opened(cluster.url) as store:
        await store.create(ID, b"1", HOUR)
        source = cluster.owner(key)
        target = next(each for each in cluster.primaries if each is not source)
        await kept(store, b"1")
        monkeypatch.setattr(cache(store), "invalidate", lambda keys: None)
        monkeypatch.setattr(ClusterNodes, "ask", quiet)
        await asyncio.to_thread(cluster.migrate, slots, source, target)
        await until(lambda: not keeps(store), "a new map", 2)
        monkeypatch.undo()
        target.command("SET", key, "2", "KEEPTTL")
        assert await read(store) == b"2"
        await asyncio.to_thread(cluster.migrate, slots, target, source)


async def test_a_node_that_is_cut_off(cluster: servers.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A primary without its cluster answers PING, and no command: what was kept from it is not served any more."""

    async def known(*args: object) -> None:
        pass

    async with opened(cluster.url) as store:
        await store.create(ID, b"1", HOUR)
        owner = cluster.owner(f"sess:{ID}")
        await kept(store, b"1")
        # Its own map would be the only one that answers, and says that all is well.
        monkeypatch.setattr(ClusterNodes, "refresh", known)
        for each in cluster.nodes:
            if each is not owner:
                each.freeze()
        try:
            await asyncio.to_thread(owner.wait_until, b"cluster_state:fail", "CLUSTER", "INFO")
            await until(lambda: not keeps(store), "the end of what was kept", STALENESS_SECONDS)
            assert owner.command("PING") == b"+PONG\r\n"
            with pytest.raises(StoreUnavailableError):
                await read(store)
            assert not keeps(store)
        finally:
            await asyncio.to_thread(cluster.heal)
        await is_right(store, b"1", 5)


@pytest.mark.parametrize("happens", ["kill", "freeze"])
async def test_a_primary_that_dies(cluster: servers.Cluster, happens: str) -> None:
    """Its sessions are not served beyond the lease, and near again from its successor; other nodes' all the time."""
    key = f"sess:{ID}"
    async with opened(cluster.url) as store:
        await store.create(ID, b"1", HOUR)
        old = cluster.owner(key)
        other = next(each for each in IDS if cluster.owner(f"sess:{each}") is not old)
        await store.create(other, b"1", HOUR)
        await store.destroy(ID + "x", wait_replicas=1)
        await kept(store, b"1")
        await kept(store, b"1", other)
        getattr(old, happens)()
        died = time.monotonic()
        await until(lambda: not keeps(store), "the end of the lease", 2)
        assert time.monotonic() - died <= STALENESS_SECONDS + 0.01
        assert await read(store, other) == b"1"
        await asyncio.to_thread(servers.until, lambda: cluster.owner(key) is not old, "the successor")
        await is_right(store, b"1", 10)
        await kept(store, b"1")
        cluster.owner(key).command("SET", key, "2", "KEEPTTL")
        await until(lambda: not keeps(store), "the successor's word", STALENESS_SECONDS)
        assert await read(store) == b"2"
    await asyncio.to_thread(cluster.heal)


async def test_a_planned_failover_of_a_primary(cluster: servers.Cluster) -> None:
    """The old primary lives on, as a replica that answers PING; it is not followed any more."""
    key = f"sess:{ID}"
    async with opened(cluster.url) as store:
        await store.create(ID, b"1", HOUR)
        old = cluster.owner(key)
        await kept(store, b"1")
        (replica,) = cluster.replicas(old)
        assert replica.command("CLUSTER", "FAILOVER") == b"+OK\r\n"
        await asyncio.to_thread(servers.until, lambda: cluster.owner(key) is replica, "the failover")
        await until(lambda: not keeps(store), "the end of what was kept", 2)
        assert await read(store) == b"1"
        await kept(store, b"1")
        found = cache(store).entry(ID)
        assert found is not None
        assert found.lease is not None
        assert found.lease.server == f"127.0.0.1:{replica.port}"
    await asyncio.to_thread(cluster.heal)
