"""Commands to a cluster: each goes to the node that has its key, also after the key's slot has moved.

redis-py's asyncio client follows a cluster's redirections too. But it sends ASKING on another connection than the
command that needs it, can't follow to a node that it does not know, sends commands to nodes at random before it has
loaded the map of slots, and closes all connections at every fifth MOVED, together with the commands on them. So here it
only keeps the map and the connections. Nothing but its public names is used.
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

from ._closing import Close, close_all
from ._exchange import Call, Command, Read, exchange, ready
from .cluster_pipelines import ClusterPipelines

_REDIRECTIONS = 5
_BEFORE_8 = "last_failed_node_name" not in inspect.signature(NodesManager.initialize).parameters
_REFRESH_SECONDS = 0.25


class ClusterNodes:
    """`Servers` that are a cluster: each key is on one of its nodes.

    Args:
        client: The cluster's client.
        wait: How many seconds a call waits while all connections to a node are in use.
        borrowed: The client is the application's own: no connections are made beside its own.
    """

    def __init__(self, client: RedisCluster, wait: float, *, borrowed: bool = False) -> None:
        self.client = client
        self.pipeline = None if borrowed else ClusterPipelines(client.nodes_manager)
        # redis-py before 8 forgets these without closing them, once it knows the cluster's nodes.
        self._first = [*client.nodes_manager.startup_nodes.values()]
        self._wait = wait
        self._places: dict[str, asyncio.Semaphore] = {}
        self._refreshing = asyncio.Lock()
        self._refreshed = 0.0
        self._loaded = 0.0

    async def close(self) -> None:
        """See `Servers.close`."""
        closers: list[Close] = [self.client.aclose, *(node.disconnect for node in self._first)]
        await close_all(closers if self.pipeline is None else [self.pipeline.close, *closers])

    async def reconnect(self) -> None:
        """Nothing to do: a node that has become a replica answers MOVED."""

    async def call(self, key: str, *commands: Command, call: Call) -> list[Any]:
        """See `Servers.call`. Only the first command may have a key.

        Raises:
            RedisError: A command was refused, or the node did not answer.
            RedisClusterException: There is no cluster, or no node has the key.
        """
        await self._begin(key, call)
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

    async def each(self, commands: Sequence[Read], call: Call) -> list[Any]:
        """See `Servers.each`. All nodes are asked at the same time.

        Raises:
            RedisError: As `call`.
            RedisClusterException: As `call`.
        """
        await self._begin(str(commands[0][1]), call)
        shares: dict[ClusterNode, list[int]] = {}
        for position, command in enumerate(commands):
            shares.setdefault(await self._node(str(command[1])), []).append(position)
        sent = [self._send(node, [commands[position] for position in share]) for node, share in shares.items()]
        replies: dict[int, Any] = {}
        for share, received in zip(shares.values(), await asyncio.gather(*sent), strict=True):
            replies |= zip(share, received, strict=True)
        for position, reply in replies.items():
            if isinstance(reply, AskError):  # or MOVED, which is one
                (replies[position],) = await self.call(str(commands[position][1]), commands[position], call=Call())
            elif isinstance(reply, Exception):
                raise reply
        return [replies[position] for position in range(len(commands))]

    async def read(self, command: Read, ttl: Read | None, call: Call) -> Any:
        """See `Servers.read`. Only the pipelines tell the time to live: here the session may be on another node now."""
        (value,) = await self.call(str(command[1]), command, call=call)
        return value if ttl is None else [value, None]

    async def ask(self, name: str, *commands: Command) -> list[Any]:
        """One node's replies to commands on one connection. An error reply is an item. Follows no redirection.

        Raises:
            RedisError: The node did not answer.
            RedisClusterException: There is no such node.
        """
        await self.client.initialize()
        node = self.client.get_node(node_name=name)
        if node is None:
            raise RedisClusterException("the node has left the cluster")
        return await self._send(node, commands)

    async def ask_primaries(self, *command: str, call: Call) -> dict[str, Any]:
        """See `Servers.ask_primaries`.

        Raises:
            RedisError: One did not answer.
            RedisClusterException: There is no cluster.
        """
        await self.client.initialize()
        names = [str(node.name) for node in self.client.get_primaries()]
        return {name: (await self.ask(name, command))[0] for name in names}

    async def refresh(self, seconds: float) -> None:
        """Load the map of slots, unless it is newer than so many seconds.

        Raises:
            RedisError: No node answers.
            RedisClusterException: There is no cluster.
        """
        if asyncio.get_running_loop().time() - self._refreshed >= seconds:
            await self._refresh()

    async def ping(self, call: Call) -> bool:
        """Whether any primary answers: the sessions on that one can be used.

        Raises:
            RedisError: None does.
            RedisClusterException: There is no cluster.
        """
        await self.client.initialize()
        first, *others = random.sample(primaries := self.client.get_primaries(), len(primaries))
        for node in others:
            with contextlib.suppress(ConnectionError, TimeoutError):
                return await self._send(node, [("PING",)]) == [True]
        return await self._send(first, [("PING",)], call) == [True]

    async def _send(self, node: ClusterNode, commands: Sequence[Command], call: Call | None = None) -> list[Any]:
        """One node's replies. An error reply is an item of the list."""
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

    async def _begin(self, key: str, call: Call) -> None:
        """Have a map of slots; a newer one where an earlier try got no answer."""
        await self.client.initialize()
        if call.unanswered:
            await self._refresh(await self._node(key))

    async def _node(self, key: str) -> ClusterNode:
        try:
            node = self.client.get_node_from_key(key)
        except SlotNotCoveredError:
            await self._refresh()
            node = self.client.get_node_from_key(key)
        assert node is not None  # noqa: S101  None is for replicas
        return node

    async def _move_slot(self, error: MovedError) -> None:
        """Note which node has the slot now."""
        slots = self.client.nodes_manager.slots_cache
        # In a map that was loaded meanwhile the slot may have no owner.
        old = slots.setdefault(error.slot_id, [self._known(error.host, error.port)])[0]
        moved: Any = self.client.nodes_manager.move_slot(error)
        if inspect.isawaitable(moved):  # from redis-py 8 on
            await moved
        if self.pipeline is None or slots[error.slot_id][0] is old:  # another call has noted it already
            return
        if not any(nodes[0] is old for nodes in slots.values()):
            self.pipeline.keep({nodes[0].name for nodes in slots.values()})

    def _known(self, host: str, port: int) -> ClusterNode:
        """The node at an address; it may have no slot yet."""
        manager = self.client.nodes_manager
        node = manager.get_node(host, port)
        if node is None:
            node = ClusterNode(host, port, "primary", **manager.connection_kwargs)
            manager.set_nodes(manager.nodes_cache, {node.name: node})
        return node

    async def _refresh(self, failed: ClusterNode | None = None) -> None:
        """Load the map of slots, unless it was loaded a moment ago: the map is large."""
        now = asyncio.get_running_loop().time()
        async with self._refreshing:
            # Who waited here for another's load has a map that is newer than its question.
            if self._loaded < now and now - self._refreshed >= _REFRESH_SECONDS:
                self._refreshed = now
                await self._load_map(failed)
                self._loaded = asyncio.get_running_loop().time()

    async def _load_map(self, failed: ClusterNode | None) -> None:
        manager: Any = self.client.nodes_manager
        if _BEFORE_8:
            await manager.initialize()
            # redis-py makes new nodes for the map, which nobody closes. The nodes that it knew have the
            # connections, and do not learn their new roles: put those into the map again.
            for nodes in {id(each): each for each in manager.slots_cache.values()}.values():
                for position, new in enumerate(nodes):
                    nodes[position] = manager.nodes_cache.get(new.name, new)
                    nodes[position].server_type = new.server_type
        else:
            await manager.initialize(last_failed_node_name=failed.name if failed is not None else None)
        if self.pipeline is not None:
            self.pipeline.keep({node.name for node in self.client.get_primaries()})
