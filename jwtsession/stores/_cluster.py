"""Commands to a cluster, each to the node that has its key, wherever that has moved.

redis-py's asyncio client follows a cluster's redirections as well, but it sends ASKING over another connection than the
command that it is for, can't follow to a node that it has not heard of, sends what comes before its first look at the
cluster to nodes at random, and closes all connections, with the commands that are under way on them, at every fifth
MOVED. Here it keeps the map of slots and the connections; public names of it are all that is used.
"""

import asyncio
import builtins
import contextlib
import inspect
import random
from collections.abc import Sequence
from typing import Any

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode, NodesManager
from redis.exceptions import (
    AskError,
    ConnectionError,
    MaxConnectionsError,
    MovedError,
    RedisClusterException,
    SlotNotCoveredError,
    TimeoutError,
)

from ._exchange import Call, Command, exchange, ready

_REDIRECTIONS = 5
_BEFORE_8 = "last_failed_node_name" not in inspect.signature(NodesManager.initialize).parameters
_REFRESH_SECONDS = 0.25


class ClusterNodes:
    """The nodes of a cluster, by the keys that they have.

    Args:
        client: Of the cluster.
        wait: Seconds to wait where all connections to a node are in use.
    """

    def __init__(self, client: RedisCluster, wait: float) -> None:
        self._client = client
        # redis-py before 8 forgets them, open, once it knows the cluster's own.
        self._first = [*client.nodes_manager.startup_nodes.values()]
        self._wait = wait
        self._places: dict[str, asyncio.Semaphore] = {}
        self._refreshed = 0.0

    async def close(self) -> None:
        """Close all connections, and the client."""
        await self._client.aclose()
        for node in self._first:
            await node.disconnect()

    async def call(self, key: str, *commands: Command, call: Call | None = None) -> list[Any]:
        """The replies of the key's primary to commands on one connection; only the first one may have a key.

        With `call` what is known of it is noted there.

        Raises:
            RedisError: A command was refused, or the node did not answer.
            RedisClusterException: There is no cluster, or nobody has the key.
        """
        await self._client.initialize()
        node, asking = await self._node(key), False
        for _ in range(_REDIRECTIONS):
            replies = await self._send(node, [("ASKING",), *commands] if asking else commands, call)
            error = next((reply for reply in replies if isinstance(reply, Exception)), None)
            if error is None:
                return replies[asking:]
            if isinstance(error, MovedError):
                await self._move_slot(error)
                node, asking = await self._node(key), False
            elif isinstance(error, AskError):
                node, asking = self._known(error.host, error.port), True
            else:
                raise error
        raise RedisClusterException("too many redirections")

    async def each(self, commands: Sequence[tuple[str, str]]) -> list[Any]:
        """The replies to commands with a key each, in one round trip to each node, all nodes at the same time.

        Raises:
            RedisError: As `call`.
            RedisClusterException: As `call`.
        """
        await self._client.initialize()
        shares: dict[ClusterNode, list[int]] = {}
        for position, (_, key) in enumerate(commands):
            shares.setdefault(await self._node(key), []).append(position)
        sent = [self._send(node, [commands[position] for position in share]) for node, share in shares.items()]
        replies: dict[int, Any] = {}
        for share, received in zip(shares.values(), await asyncio.gather(*sent), strict=True):
            replies |= zip(share, received, strict=True)
        for position, reply in replies.items():
            if isinstance(reply, AskError):  # or MOVED, which is one
                (replies[position],) = await self.call(commands[position][1], commands[position])
            elif isinstance(reply, Exception):
                raise reply
        return [replies[position] for position in range(len(commands))]

    async def ask(self, name: str, *commands: Command) -> list[Any]:
        """The replies of one node to commands on one connection, errors in their places; follows nobody elsewhere.

        Raises:
            RedisError: The node did not answer.
            RedisClusterException: There is no such node.
        """
        await self._client.initialize()
        node = self._client.get_node(node_name=name)
        if node is None:
            raise RedisClusterException("the node has left the cluster")
        return await self._send(node, commands)

    async def ask_primaries(self, *command: str) -> dict[str, Any]:
        """The reply of each primary to a command, or its error, by the node's name.

        Raises:
            RedisError: One did not answer.
            RedisClusterException: There is no cluster.
        """
        await self._client.initialize()
        names = [str(node.name) for node in self._client.get_primaries()]
        return {name: (await self.ask(name, command))[0] for name in names}

    async def refresh(self, seconds: float) -> None:
        """Have a map of slots that is at most so old.

        Raises:
            RedisError: No node answers.
            RedisClusterException: There is no cluster.
        """
        if asyncio.get_running_loop().time() - self._refreshed >= seconds:
            await self._refresh()

    async def ping(self) -> bool:
        """Whether any primary answers: sessions on the others are served.

        Raises:
            RedisError: None does.
            RedisClusterException: There is no cluster.
        """
        await self._client.initialize()
        first, *others = random.sample(primaries := self._client.get_primaries(), len(primaries))
        for node in others:
            with contextlib.suppress(ConnectionError, TimeoutError):
                return await self._send(node, [("PING",)]) == [True]
        return await self._send(first, [("PING",)]) == [True]

    async def _send(self, node: ClusterNode, commands: Sequence[Command], call: Call | None = None) -> list[Any]:
        """The replies, or the errors in their places."""
        place = self._places.setdefault(node.name, asyncio.Semaphore(node.max_connections))
        try:
            async with asyncio.timeout(self._wait):
                await place.acquire()
        except builtins.TimeoutError:
            raise MaxConnectionsError from None
        try:
            connection = node.acquire_connection()
            try:
                await ready(connection)
                return await exchange(connection, node.parse_response, commands, call or Call())
            finally:
                node.release(connection)
        except (ConnectionError, TimeoutError) as error:
            if not isinstance(error, MaxConnectionsError):
                await self._refresh(node)
            raise
        finally:
            place.release()

    async def _node(self, key: str) -> ClusterNode:
        try:
            node = self._client.get_node_from_key(key)
        except SlotNotCoveredError:
            await self._refresh()
            node = self._client.get_node_from_key(key)
        assert node is not None  # noqa: S101  None is for replicas
        return node

    async def _move_slot(self, error: MovedError) -> None:
        """Note where a slot is now."""
        moved: Any = self._client.nodes_manager.move_slot(error)
        if inspect.isawaitable(moved):  # from redis-py 8 on
            await moved

    def _known(self, host: str, port: int) -> ClusterNode:
        """The node at an address, also one that has no slot yet."""
        manager = self._client.nodes_manager
        node = manager.get_node(host, port)
        if node is None:
            node = ClusterNode(host, port, "primary", **manager.connection_kwargs)
            manager.set_nodes(manager.nodes_cache, {node.name: node})
        return node

    async def _refresh(self, failed: ClusterNode | None = None) -> None:
        """Ask which node has which slots, unless somebody has just done so: the answer is large."""
        now = asyncio.get_running_loop().time()
        if now - self._refreshed >= _REFRESH_SECONDS:
            self._refreshed = now
            manager: Any = self._client.nodes_manager
            if _BEFORE_8:
                await manager.initialize()
                # It makes new nodes for the map, which nobody closes, beside those that it knows, which have the
                # connections and do not learn of their new roles.
                for nodes in {id(each): each for each in manager.slots_cache.values()}.values():
                    for position, new in enumerate(nodes):
                        nodes[position] = manager.nodes_cache.get(new.name, new)
                        nodes[position].server_type = new.server_type
            else:
                await manager.initialize(last_failed_node_name=failed.name if failed is not None else None)
