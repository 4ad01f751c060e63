"""`Topology`: which server has a session, and how to follow that server."""

from collections.abc import Hashable
from typing import Any, Protocol, cast

from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError, RedisClusterException, ResponseError

from .._servers import Servers, SingleServer
from ..cluster import ClusterNodes
from ..sentinel import PrimaryPool

_MAP_SECONDS = 1.0
"""The greatest age of a cluster's map of slots: no server reports that a slot has moved to another node."""


class Topology(Protocol):
    """Knows which server has a session."""

    def locate(self, session_id: str) -> Hashable | None:
        """The server that has the session; None if it is not known."""
        ...

    def leads(self, server: Any) -> bool:
        """Whether the server still has sessions."""
        ...

    def connection(self, server: Any) -> AbstractConnection:
        """A new connection to the server, not connected yet."""
        ...

    async def check(self, server: Any) -> None:
        """Called at every heartbeat.

        Raises:
            RedisError: The server does not have its sessions any more.
        """
        ...


def topology_of(servers: Servers, keyspace: str) -> Topology:
    """The topology of servers, with the prefix of the sessions' keys."""
    if isinstance(servers, ClusterNodes):
        return _Primaries(servers, keyspace)
    pool = cast("SingleServer", servers).client.connection_pool
    return _Primary(pool) if isinstance(pool, PrimaryPool) else _Server(pool)


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """Options for a connection on which the server speaks first. redis-py's public methods need RESP2 for it."""
    return given | {"protocol": 2, "socket_timeout": None, "health_check_interval": 0}


class _Server:
    """One server."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def locate(self, session_id: str) -> Hashable | None:
        return ""

    def leads(self, server: Any) -> bool:
        return True

    def connection(self, server: Any) -> AbstractConnection:
        return self._pool.connection_class(**_options(self._pool.connection_kwargs))

    async def check(self, server: Any) -> None:
        pass


class _Primary(_Server):
    """The primary that the Sentinels name."""

    _pool: PrimaryPool

    def locate(self, session_id: str) -> Hashable | None:
        return cast("tuple[str, int] | None", self._pool.master_address)

    def leads(self, server: Any) -> bool:
        return bool(self._pool.master_address == server)

    async def check(self, server: Any) -> None:
        # A load from memory asks no Sentinel, so the heartbeat asks.
        await self._pool.confirm()
        if not self.leads(server):
            raise ConnectionError("another server is the primary")


class _Primaries:
    """A cluster's primaries, by their names."""

    def __init__(self, nodes: ClusterNodes, keyspace: str) -> None:
        self._nodes = nodes
        self._client: RedisCluster = nodes.client
        self._keyspace = keyspace
        self._keys: dict[str, str] = {}

    def locate(self, session_id: str) -> Hashable | None:
        key = self._keyspace + session_id
        try:
            node = self._client.get_node_from_key(key)
        except RedisClusterException:
            return None
        if node is None:
            return None
        self._keys[node.name] = key
        return node.name

    def leads(self, server: Any) -> bool:
        return any(node.name == server for node in self._client.get_primaries())

    def connection(self, server: Any) -> AbstractConnection:
        node = self._client.get_node(node_name=server)
        if node is None:
            raise ConnectionError("the node has left")
        return node.connection_class(**_options(node.connection_kwargs))

    async def check(self, server: Any) -> None:
        await self._nodes.refresh(_MAP_SECONDS)
        # A node that was cut off from its cluster and replaced still answers PING, but no command that has a key.
        (reply,) = await self._nodes.ask(server, ("PTTL", self._keys[server]))
        if isinstance(reply, ResponseError):
            raise ConnectionError("the node does not have its sessions any more") from reply
