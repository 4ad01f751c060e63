"""Tests of jwtsession.stores.redis.cluster_pipelines, in a cluster of one node; tests/engines has one of several."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ConnectionError, RedisClusterException, ResponseError, SlotNotCoveredError

from jwtsession import RedisSessionStore
from jwtsession.stores.redis.cluster import ClusterNodes
from jwtsession.stores.redis.cluster_pipelines import ClusterPipelines
from tests import servers

LOAD, LOAD_B = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"


@pytest.fixture
def server(cluster_server: servers.Server) -> servers.Server:
    cluster_server.command("FLUSHALL")
    return cluster_server


@pytest.fixture
async def client(server: servers.Server) -> AsyncIterator[RedisCluster]:
    async with RedisCluster("127.0.0.1", server.port, client_name=secrets.token_hex(8)) as client:
        yield client


@pytest.fixture
async def pipelines(client: RedisCluster) -> AsyncIterator[ClusterPipelines]:
    made = ClusterPipelines(client.nodes_manager)
    yield made
    await made.close()


def loading(client: RedisCluster, server: servers.Server) -> int:
    """On how many connections of the client and of its pipelines the last command was a load."""
    name = client.get_connection_kwargs()["client_name"]
    return sum(each["name"] == name and each["cmd"] == "get" for each in server.ask("CLIENT LIST"))


async def until_none_loads(client: RedisCluster, server: servers.Server) -> None:
    await asyncio.to_thread(servers.until, lambda: not loading(client, server), "the end of the connections")


async def test_the_key_or_the_name_tells_the_node(pipelines: ClusterPipelines, server: servers.Server) -> None:
    """Both lead to the node that has the key; an error reply is raised."""
    server.command("SET", "a", "1")
    server.command("HSET", "b", "field", "value")
    assert await pipelines.request(LOAD, 1, "a") == b"1"
    assert await pipelines.request(LOAD, 1, node=f"127.0.0.1:{server.port}") == b"1"
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await pipelines.request(LOAD_B, 1, "b")


async def test_commands_together_have_their_replies_in_their_order(
    pipelines: ClusterPipelines, server: servers.Server
) -> None:
    """Each command has its own key; an error after the first is an item."""
    server.command("SET", "a", "1")
    server.command("HSET", "b", "field", "value")
    one, two, three = await pipelines.together([("GET", "a"), ("GET", "b"), ("GET", "c")])
    assert (one, type(two), three) == (b"1", ResponseError, None)
    assert await pipelines.together([("GET", "a")]) == [b"1"]


async def test_without_a_map_nobody_is_asked(server: servers.Server) -> None:
    """Before the client has loaded the map, and for a node that is in no map, there is an error at once."""
    client = RedisCluster("127.0.0.1", server.port)
    made = ClusterPipelines(client.nodes_manager)
    with pytest.raises(SlotNotCoveredError):
        await made.request(LOAD, 1, "a")
    with pytest.raises(SlotNotCoveredError):
        await made.together([("GET", "a"), ("GET", "b")])
    with pytest.raises(RedisClusterException, match="has left"):
        await made.request(LOAD, 1, node="127.0.0.1:1")


async def test_a_node_that_has_left_loses_its_connections(
    pipelines: ClusterPipelines, client: RedisCluster, server: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are closed when the deadline of whatever was sent is over; a node that comes back gets new ones."""
    await asyncio.gather(*(pipelines.request(LOAD, 1, "a") for _ in range(64)))
    used = loading(client, server)
    pipelines.keep({f"127.0.0.1:{server.port}"})
    assert loading(client, server) == used > 0
    monkeypatch.setattr("jwtsession.stores.redis._exchange.DEADLINE_SECONDS", 0.0)
    pipelines.keep(set())
    await until_none_loads(client, server)
    monkeypatch.undo()
    assert await pipelines.request(LOAD, 1, "a") is None
    assert loading(client, server) == 1


async def test_loads_of_a_node_that_leaves_are_answered(pipelines: ClusterPipelines, server: servers.Server) -> None:
    """Those that were sent or wait when the node leaves get their replies."""
    server.command("SET", "a", "1")
    assert await pipelines.request(LOAD, 1, "a") == b"1"
    tasks = [asyncio.ensure_future(pipelines.request(LOAD, 1, "a")) for _ in range(200)]
    await asyncio.sleep(0)
    pipelines.keep(set())
    assert await asyncio.gather(*tasks) == [b"1"] * 200


async def test_closing_ends_those_that_are_leaving_too(
    pipelines: ClusterPipelines, client: RedisCluster, server: servers.Server
) -> None:
    """After `close` no connection is left, also of a node that left a moment ago, and none is made."""
    assert await pipelines.request(LOAD, 1, "a") is None
    pipelines.keep(set())
    assert await pipelines.request(LOAD, 1, "a") is None
    assert loading(client, server) == 2
    await pipelines.close()
    await until_none_loads(client, server)
    with pytest.raises(ConnectionError, match="closed"):
        await pipelines.request(LOAD, 1, "a")
    pipelines.keep(set())
    with pytest.raises(ConnectionError, match="closed"):
        await pipelines.request(LOAD, 1, "a")


class Counter:
    """Counts as `Operations` does."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def joined(self) -> None:
        pass

    def shared(self, spans: Sequence[None], now: float) -> None:
        self.batches.append(len(spans))

    def alone(self, now: float) -> None:
        self.batches.append(1)


async def test_an_observer_sees_every_load(pipelines: ClusterPipelines, server: servers.Server) -> None:
    """Those to a node that was used before it was set, and to one that is used for the first time later."""
    early, late = Counter(), Counter()
    observer: Any = early
    pipelines.observer = observer
    await pipelines.request(LOAD, 1, "a")
    observer = late
    pipelines.observer = observer
    await asyncio.gather(*(pipelines.request(LOAD, 1, "a") for _ in range(64)))
    pipelines.keep(set())
    await pipelines.request(LOAD, 1, "a")
    assert early.batches == [1]
    assert sum(late.batches) == 65
    assert len(late.batches) < 6


async def test_the_applications_own_client_gets_no_further_connections(
    client: RedisCluster, server: servers.Server
) -> None:
    """Its loads go over its own connections, each load over one."""
    store = RedisSessionStore(client=client)
    assert await asyncio.gather(*(store.load("a") for _ in range(8))) == [None] * 8
    assert loading(client, server) == 8


async def test_of_many_that_learn_of_a_move_one_looks_through_the_map(server: servers.Server) -> None:
    """The map has 16,384 slots. The others find that their slot has moved already, and do not stop the event loop."""

    class Map(dict[int, list[ClusterNode]]):
        looks = 0

        def values(self) -> Any:
            self.looks += 1
            return super().values()

    async def moved(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(4096):
            writer.write(b"-MOVED 15495 127.0.0.1:%d\r\n" % server.port * received.count(b"*"))
        writer.close()

    server.command("SET", "a", "1")
    async with await asyncio.start_server(moved, "127.0.0.1", 0) as other:
        client = RedisCluster("127.0.0.1", server.port, protocol=2)
        nodes = ClusterNodes(client, 1.0)
        await client.initialize()
        old = ClusterNode("127.0.0.1", other.sockets[0].getsockname()[1], "primary", protocol=2)
        slots = client.nodes_manager.slots_cache = Map(client.nodes_manager.slots_cache | {15495: [old]})
        notes: list[Any] = [SimpleNamespace(unanswered=0) for _ in range(20)]
        calls = [nodes.call("a", ("GET", "a"), call=each) for each in notes]
        assert await asyncio.gather(*calls) == [[b"1"]] * 20
        assert 1 <= slots.looks <= 2
        await old.disconnect()
        await nodes.close()


async def test_a_slot_that_has_lost_its_owner_in_the_map_has_the_one_that_a_node_names(server: servers.Server) -> None:
    """With `require_full_coverage=false` another call may load such a map while this one waits for its reply."""

    async def moved(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(4096):
            client.nodes_manager.slots_cache.pop(15495, None)
            writer.write(b"-MOVED 15495 127.0.0.1:%d\r\n" % server.port * received.count(b"*"))
        writer.close()

    server.command("SET", "a", "1")
    async with await asyncio.start_server(moved, "127.0.0.1", 0) as other:
        client = RedisCluster("127.0.0.1", server.port, protocol=2, require_full_coverage=False)
        nodes = ClusterNodes(client, 1.0)
        await client.initialize()
        old = ClusterNode("127.0.0.1", other.sockets[0].getsockname()[1], "primary", protocol=2)
        client.nodes_manager.slots_cache[15495] = [old]
        note: Any = SimpleNamespace(unanswered=0)
        assert await nodes.call("a", ("GET", "a"), call=note) == [b"1"]
        (owner,) = client.nodes_manager.slots_cache[15495]
        assert owner.port == server.port
        await old.disconnect()
        await nodes.close()
