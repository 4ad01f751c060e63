"""A cluster that changes in the middle of load. `pytest -rP tests/engines` shows the figures."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from redis.crc import key_slot

from jwtsession import RedisSessionStore, StoreUnavailableError
from jwtsession.stores import Outcome, Verdict
from jwtsession.stores.redis._exchange import DEADLINE_SECONDS
from tests import servers
from tests.contract.test_store import RIGHTS
from tests.engines.load import Load, application, opened, serving
from tests.web import bearer

pytestmark = [pytest.mark.caches("near"), pytest.mark.ci, pytest.mark.alone]

HOUR = 3_600_000
LONGEST = 2 * DEADLINE_SECONDS + 2  # two calls, and a machine that has other work to do

SLOTS = range(40)
"""What the migrations move."""


def ids_in(slots: range, count: int) -> list[str]:
    """Ids of sessions in these slots."""
    found = []
    number = 0
    while len(found) < count:
        session_id = f"session-{number:0>20}"
        if key_slot(f"sess:{session_id}".encode()) in slots:
            found.append(session_id)
        number += 1
    return found


@pytest.fixture
async def store(cluster: servers.Cluster) -> AsyncIterator[RedisSessionStore]:
    async with opened(cluster.url) as store:
        yield store


@pytest.fixture
def newcomer(cluster: servers.Cluster) -> Iterator[servers.Server]:
    """A primary that has just joined, and that no client knows."""
    node = cluster.join()
    yield node
    cluster.leave(node, SLOTS)


async def test_many_first_requests_at_once(cluster: servers.Cluster) -> None:
    """An application that has just started answers a hundred requests at the same time."""
    async with serving(application(cluster.url)) as client:
        requests = [client.post("/session", params={"number": number}) for number in range(100)]
        assert {response.status_code for response in await asyncio.gather(*requests)} == {201}


def kill(cluster: servers.Cluster) -> None:
    cluster.primaries[0].kill()


def freeze(cluster: servers.Cluster) -> None:
    cluster.primaries[0].freeze()


@pytest.mark.parametrize(("happens", "wait_replicas"), [(kill, 0), (kill, 1), (freeze, 0)])
async def test_a_primary_that_dies(
    cluster: servers.Cluster, happens: Callable[[servers.Cluster], None], wait_replicas: int
) -> None:
    """Every request gets its answer in time, service comes back by itself, and no durable destroy is undone."""
    old = cluster.primaries[0]
    (replica,) = cluster.replicas(old)
    async with serving(application(cluster.url)) as client:
        load = Load(client, wait_replicas)
        async with load.running():
            began = time.monotonic()
            await asyncio.to_thread(happens, cluster)
            await load.until(lambda: replica.ask("INFO", "replication")["role"] == "master", "the promotion")
            switched = time.monotonic()
            await load.go_on(1.5)
        await asyncio.to_thread(cluster.heal)
        await load.settle()
    print(f"{happens.__name__}, wait_replicas={wait_replicas}: {load.figures(began, switched)}")
    assert load.statuses.keys() <= {200, 201, 204, 401, 503}
    assert load.slowest < LONGEST
    assert load.outage(began) < switched - began + LONGEST
    assert load.serves
    if wait_replicas:
        assert load.undone == {}


@pytest.mark.parametrize("to_newcomer", [False, True])
async def test_slots_that_move_in_the_middle_of_load(
    cluster: servers.Cluster, store: RedisSessionStore, newcomer: servers.Server, to_newcomer: bool
) -> None:
    """ASK and MOVED are followed: no call fails and no change is lost, also where the target was never heard of."""
    ids = ids_in(SLOTS, 60)
    counts = dict.fromkeys(ids, 0)
    for each in ids:
        assert await store.create(each, b"0", HOUR)
    calls = 0

    async def count(mine: list[str]) -> None:
        nonlocal calls
        while not moved.done():
            for each in mine:
                value = b"%d" % counts[each]
                assert await store.load(each, HOUR) == value
                assert await store.update(each, value, b"%d" % (counts[each] + 1), HOUR) is Outcome.DONE
                counts[each] += 1
                assert await store.touch(each, HOUR)
                passing = f"{each}-{counts[each]}"
                assert await store.create(passing, b"", HOUR)
                assert await store.destroy(passing)
                assert await store.load(passing) is None
                calls += 6

    source = cluster.owner(f"sess:{ids[0]}")
    target = newcomer if to_newcomer else next(each for each in cluster.primaries if each is not source)
    moved = asyncio.get_running_loop().run_in_executor(None, cluster.migrate, SLOTS, source, target, 0.01)
    await asyncio.gather(moved, *(count(ids[number::10]) for number in range(10)))
    print(f"to_newcomer={to_newcomer}: {calls} calls, all right")
    assert source.ask("CLUSTER", "COUNTKEYSINSLOT", key_slot(f"sess:{ids[0]}".encode())) == 0
    assert [await store.load(each) for each in ids] == [b"%d" % counts[each] for each in ids]


async def test_a_durable_destroy_follows_a_slot(cluster: servers.Cluster, store: RedisSessionStore) -> None:
    """While its slot moves and afterwards a durable destroy is confirmed by the replica of whoever has the session."""
    kept, moving, left = ids_in(SLOTS[:1], 3)
    for each in (kept, moving, left):
        assert await store.create(each, b"1", HOUR)
    source = cluster.owner(f"sess:{kept}")
    target = next(each for each in cluster.primaries if each is not source)
    cluster.open_slots(SLOTS, source, target)
    source.ask("MIGRATE", "127.0.0.1", target.port, f"sess:{moving}", 0, 1000)
    assert await store.destroy(moving, wait_replicas=1)
    assert not await store.destroy(moving, wait_replicas=1)
    assert await store.destroy(kept, wait_replicas=1)
    cluster.move_keys(SLOTS, source, target)
    cluster.close_slots(SLOTS, source, target)
    assert await store.destroy(left, wait_replicas=1)
    assert not await store.destroy(left, wait_replicas=1)
    (replica,) = cluster.replicas(target)
    assert replica.ask("CLUSTER", "COUNTKEYSINSLOT", SLOTS[0]) == 0
    assert [await store.load(each) for each in (kept, moving, left)] == [None] * 3


async def test_a_generation_follows_a_slot(cluster: servers.Cluster, store: RedisSessionStore) -> None:
    """While its slot moves each of the two keys is found where it is: no old token is believed, no call fails."""
    ids = ids_in(SLOTS[:1], 8)
    for each in ids:
        assert await store.create(each, b"1", HOUR)
    for each in ids[:4]:
        assert await store.rotate(each, 0, 1, due=True, grace=1000, ttl=HOUR) == (Verdict.ROTATED, 1)
    source = cluster.owner(f"sess:{ids[0]}")
    target = next(each for each in cluster.primaries if each is not source)
    cluster.open_slots(SLOTS, source, target)
    keys = [[], ["sess:{}"], ["{{sess:{}}}:gen"], ["sess:{}", "{{sess:{}}}:gen"]]  # what has moved already
    for each, moved in zip(ids, keys + keys, strict=True):
        for key in moved:
            source.ask("MIGRATE", "127.0.0.1", target.port, key.format(each), 0, 1000)
    for each in ids[:4]:
        assert await store.load_generation(each, HOUR) == (b"1", (1, 0), 1 + HOUR)
        assert await store.rotate(each, 0, 1, due=True, grace=1000, ttl=HOUR) == (Verdict.AGAIN, 1)
        await store.extend_generation(each, HOUR)
    for each in ids[4:]:
        assert await store.load_generation(each) == (b"1", None, 0)
        assert await store.rotate(each, 0, 1, due=True, grace=1000, ttl=HOUR) == (Verdict.ROTATED, 1)
    cluster.move_keys(SLOTS, source, target)
    cluster.close_slots(SLOTS, source, target)
    assert [await store.load_generation(each) for each in ids] == [(b"1", (1, 0), 1 + HOUR)] * 8


@pytest.mark.parametrize("asking", [True, False])
async def test_a_users_rights_while_slots_move(cluster: servers.Cluster, asking: bool) -> None:
    """The documented rights of a cluster are enough for a key that has moved already; without `+asking` it is a 503."""
    (moving,) = ids_in(SLOTS, 1)
    rights = [*RIGHTS, "+cluster|slots", "+command", *(["+asking"] if asking else [])]
    for each in cluster.nodes:
        reply = each.command("ACL", "SETUSER", "few", "reset", "on", ">password", "~sess:*", "-@all", *rights)
        assert reply == b"+OK\r\n"
    source = cluster.owner(f"sess:{moving}")
    target = next(each for each in cluster.primaries if each is not source)
    async with opened(cluster.url.replace("://", "://few:password@")) as store:
        assert await store.create(moving, b"1", HOUR)
        cluster.open_slots(SLOTS, source, target)
        try:
            source.ask("MIGRATE", "127.0.0.1", target.port, f"sess:{moving}", 0, 1000)
            if asking:
                assert await store.load(moving) == b"1"
            else:
                with pytest.raises(StoreUnavailableError):
                    await store.load(moving)
        finally:
            cluster.move_keys(SLOTS, source, target)
            cluster.close_slots(SLOTS, source, target)
        assert await store.load(moving) == b"1"


async def test_a_user_has_sessions_in_many_slots(cluster: servers.Cluster) -> None:
    """Sessions of one user on every node are listed and ended together, also while slots move."""
    async with serving(application(cluster.url, user_index=True)) as client:
        tokens = []
        for _ in range(300):
            response = await client.post("/session", params={"number": 7})
            tokens.append(response.raise_for_status().json()["access_token"])
        listed = (await client.get("/users/7")).raise_for_status().json()
        assert len(listed) == 300
        assert len({cluster.owner(f"sess:{each}").port for each in listed}) == 3
        slots = [key_slot(f"sess:{listed[0]}".encode())]
        source = cluster.owner(f"sess:{listed[0]}")
        target = next(each for each in cluster.primaries if each is not source)
        cluster.open_slots(slots, source, target)
        source.ask("MIGRATE", "127.0.0.1", target.port, f"sess:{listed[0]}", 0, 1000)
        assert set((await client.get("/users/7")).raise_for_status().json()) == set(listed)
        assert (await client.delete("/users/7")).json() == 300
        cluster.close_slots(slots, source, target)
        assert (await client.get("/users/7")).json() == []
        answers = [await client.get("/session", headers=bearer(token)) for token in tokens[:20]]
        assert {answer.status_code for answer in answers} == {401}
    assert {cluster.command("EXISTS", f"sess:{each}") for each in listed[:20]} == {b":0\r\n"}


async def test_a_cluster_that_hangs_as_a_whole(cluster: servers.Cluster) -> None:
    """With every node hanging each request is a 503 within the deadline; when they go on, so does service."""
    async with serving(application(cluster.url)) as client:
        load = Load(client)
        async with load.running():
            for each in cluster.nodes:
                each.freeze()
            hung = time.monotonic()
            await load.go_on(5.5)  # two deadlines: who began before the last node hung begins once more
            for each in cluster.nodes:
                each.thaw()
            thawed = time.monotonic()
            await load.until(lambda: load.answers[-1].status == 201, "service")
            back = time.monotonic()
        await asyncio.to_thread(cluster.heal)
    meanwhile = [each for each in load.answers if each.started > hung and each.started + each.seconds < thawed]
    print(f"slowest {load.slowest:.2f} s, service {back - thawed:.2f} s after the cluster went on")
    assert {answer.status for answer in meanwhile} == {503}
    assert load.statuses.keys() <= {200, 201, 204, 401, 503}
    assert load.slowest < LONGEST


async def test_a_cluster_that_is_not_there(cluster: servers.Cluster, valkey: servers.Server) -> None:
    """Nobody at the addresses, or a server that is no cluster: the application starts and says 503."""
    for url in (f"redis+cluster://127.0.0.1:{servers.free_port()}", f"redis+cluster://127.0.0.1:{valkey.port}"):
        async with serving(application(url)) as client:
            response = await client.post("/session", params={"number": 1})
            assert response.status_code == 503
            assert response.headers["Retry-After"]


async def test_no_connection_is_free(cluster: servers.Cluster) -> None:
    """With every connection to a node in use others wait for one, a bounded time; then it is a 503, and passes."""
    async with opened(cluster.url + "?max_connections=2&timeout=0.2") as store:
        (session_id,), (other,) = ids_in(SLOTS, 1), ids_in(range(12_000, 12_040), 1)
        assert await store.create(session_id, b"1", HOUR)
        assert await store.create(other, b"2", HOUR)
        assert await asyncio.gather(*(store.touch(session_id, HOUR) for _ in range(100))) == [True] * 100
        assert await asyncio.gather(*(store.load(session_id) for _ in range(100))) == [b"1"] * 100
        node = cluster.owner(f"sess:{session_id}")
        node.freeze()
        waiting = [asyncio.create_task(store.touch(session_id, HOUR)) for _ in range(20)]
        loads = [asyncio.create_task(store.load(session_id)) for _ in range(20)]
        # One node's trouble does not take the others' connections.
        assert await asyncio.gather(*(store.touch(other, HOUR) for _ in range(20))) == [True] * 20
        assert await asyncio.gather(*(store.load(other) for _ in range(20))) == [b"2"] * 20
        refused, late = await asyncio.wait(waiting, timeout=0.8)
        node.thaw()
        assert len(refused) == 18
        assert {type(each.exception()) for each in refused} == {StoreUnavailableError}
        assert [await each for each in late] == [True] * 2
        assert await asyncio.gather(*loads) == [b"1"] * 20  # these have connections of their own
