"""`ClusterPipelines`: loads at the same time share a round trip to each node of a cluster."""

import asyncio
from collections.abc import Awaitable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from redis.asyncio.cluster import NodesManager
from redis.crc import key_slot
from redis.exceptions import ConnectionError, RedisClusterException, SlotNotCoveredError

from . import _exchange
from ._closing import close_all
from ._exchange import Read, packed
from ._servers import pipeline_to
from .autopipeline import AutoPipeline

if TYPE_CHECKING:
    from ...observability import Operations


class ClusterPipelines:
    """An `AutoPipeline` for each node that has slots, made at its first use.

    It reads the client's map of slots, and never loads it. MOVED and ASK are error replies to their own commands: their
    callers ask again by `ClusterNodes`, which follows them.

    Args:
        nodes: Has the map of slots.
    """

    def __init__(self, nodes: NodesManager) -> None:
        self._nodes = nodes
        self._pipelines: dict[str, AutoPipeline] = {}
        self._leaving: dict[AutoPipeline, asyncio.Task[None]] = {}
        self._observer: Operations | None = None
        self._closed = False

    @property
    def observer(self) -> "Operations | None":
        """See `AutoPipeline.observer`."""
        return self._observer

    @observer.setter
    def observer(self, observer: "Operations | None") -> None:
        self._observer = observer
        for each in self._pipelines.values():
            each.observer = observer

    def request(self, command: bytes, replies: int = 1, key: str | int = "", node: str = "") -> Awaitable[Any]:
        """See `AutoPipeline.request`.

        Args:
            command: The bytes to send.
            replies: How many commands they are.
            key: Their key, which tells the node.
            node: The name of the node instead.

        Raises:
            RedisClusterException: No node has the key, or the node has left the cluster.
        """
        name = node or self._name(key)
        pipeline = self._pipelines.get(name)
        if pipeline is None:
            pipeline = self._open(name)
        return pipeline.request(command, replies)

    async def together(self, commands: Sequence[Read]) -> list[Any]:
        """See `AutoPipeline.together`. All nodes are asked at the same time.

        Raises:
            RedisClusterException: As `request`.
        """
        shares: dict[str, list[int]] = {}
        for position, command in enumerate(commands):
            shares.setdefault(self._name(command[1]), []).append(position)
        asked = [self._ask(name, [commands[position] for position in share]) for name, share in shares.items()]
        found = [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked)
        replies: dict[int, Any] = {}
        for share, reply in zip(shares.values(), found, strict=True):
            replies |= zip(share, reply, strict=True)
        return [replies[position] for position in range(len(commands))]

    def keep(self, names: AbstractSet[str]) -> None:
        """Close the pipelines to all nodes but these, as soon as nothing can be under way on them any more."""
        for name in self._pipelines.keys() - names:
            pipeline = self._pipelines.pop(name)
            self._leaving[pipeline] = asyncio.get_running_loop().create_task(self._leave(pipeline))

    async def close(self) -> None:
        """Close the connections; loads that wait fail."""
        self._closed = True
        tasks = list(self._leaving.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await close_all([each.close for each in [*self._pipelines.values(), *self._leaving]])

    async def _ask(self, name: str, commands: Sequence[Read]) -> list[Any]:
        reply = await self.request(b"".join([packed(*each) for each in commands]), len(commands), node=name)
        return [reply] if len(commands) == 1 else reply

    async def _leave(self, pipeline: AutoPipeline) -> None:
        await asyncio.sleep(_exchange.DEADLINE_SECONDS)
        await pipeline.close()
        del self._leaving[pipeline]

    def _name(self, key: str | int) -> str:
        nodes = self._nodes.slots_cache.get(key_slot(str(key).encode()))
        if not nodes:
            raise SlotNotCoveredError("no node has the key")
        return str(nodes[0].name)

    def _open(self, name: str) -> AutoPipeline:
        node = self._nodes.nodes_cache.get(name)
        if node is None:
            raise RedisClusterException("the node has left the cluster")
        if self._closed:
            raise ConnectionError("the store was closed")
        pipeline = self._pipelines[name] = pipeline_to(node.connection_class, node.connection_kwargs)
        pipeline.observer = self._observer
        return pipeline
