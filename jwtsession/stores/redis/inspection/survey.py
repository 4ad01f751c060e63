"""`survey()`: finds every server of a store, for the command line. The hot path never comes here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from .._servers import Servers, SingleServer
from ..client_cache import CachedSessionStore
from ..cluster import ClusterNodes
from ..store import RedisSessionStore
from .node import Node, Refusal, Role, address


@dataclass
class Survey:
    """The servers of a store, as far as they could be found."""

    kind: Literal["server", "sentinel", "cluster"]
    location: str
    """The URL without user, password and options."""
    nodes: list[Node] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)
    """What those said, by name, that gave no answer."""
    service: str = ""
    """The name by which the Sentinels know the primary."""
    faults: list[str] = field(default_factory=list)
    """What the servers themselves say is wrong with their cluster, or with what the Sentinels watch."""
    gaps: list[str] = field(default_factory=list)
    """Where there may be sessions that nobody can look at: primaries that do not answer, slots without a server."""

    @property
    def primaries(self) -> list[Node]:
        """The reachable servers that take writes."""
        return [node for node in self.nodes if node.role in ("server", "primary")]

    @property
    def data_nodes(self) -> list[Node]:
        """The reachable servers that hold sessions, replicas too."""
        return [node for node in self.nodes if node.role != "sentinel"]


@contextlib.asynccontextmanager
async def survey(store: RedisSessionStore | CachedSessionStore) -> AsyncIterator[Survey]:
    """Find the servers of a store that is open, and close the connections to them at the end."""
    surveyor = _Surveyor(store)
    try:
        yield await surveyor.look()
    finally:
        for node in surveyor.all:
            await node.close()


async def leave(store: object) -> None:
    """Close the connections of an application's own client: they belong to an event loop that is about to end."""
    if isinstance(store, RedisSessionStore) and store._connections.borrowed:
        client = cast("SingleServer | ClusterNodes", store._connections.servers).client
        await client.aclose()
        if isinstance(client, Redis):
            await client.connection_pool.disconnect()  # also of a pool that the application made


class _Surveyor:
    """Finds servers: those of the URL, and those that they name."""

    def __init__(self, store: RedisSessionStore | CachedSessionStore) -> None:
        self._connections = store._connections
        self._keyspace = store.keyspace
        self._servers: Servers = self._connections.require()
        self.all: list[Node] = []
        kind: Literal["server", "sentinel", "cluster"] = "server"
        if isinstance(self._servers, ClusterNodes):
            kind = "cluster"
        elif isinstance(self._pool, SentinelConnectionPool):
            kind = "sentinel"
        self.found = Survey(kind, store.location)

    @property
    def _pool(self) -> Any:
        return cast("SingleServer", self._servers).client.connection_pool

    async def look(self) -> Survey:
        """Find the servers."""
        if self.found.kind == "cluster":
            await self._cluster()
        elif self.found.kind == "sentinel":
            await self._sentinels()
        else:
            await self._add("server", self._pool.connection_class, self._pool.connection_kwargs)
        found = self.found
        lost = [node for node in self.all if node.role == "primary" and node.name in found.unreachable]
        found.gaps += [f"{node.name} does not answer: {found.unreachable[node.name]}" for node in lost]
        if not found.primaries and not found.gaps:
            told = [f"{name} does not answer: {said}" for name, said in found.unreachable.items()]
            found.gaps += [*found.faults, *told]
        return found

    async def _add(self, role: Role, connection_class: Any, options: Mapping[str, Any]) -> Node | None:
        """Note a server, and whether it answers."""
        node = Node(role, connection_class, options, self._connections.secrets, self._keyspace)
        self.all.append(node)
        reply = await node.ask("PING")
        if isinstance(reply, Refusal) and not (reply.forbidden and not reply.silent):
            self.found.unreachable[node.name] = reply.said
            return None
        self.found.nodes.append(node)
        return node

    async def _together(self, role: Role, connection_class: Any, all_options: Sequence[Mapping[str, Any]]) -> None:
        await asyncio.gather(*(self._add(role, connection_class, options) for options in all_options))

    async def _sentinels(self) -> None:
        pool, found = self._pool, self.found
        found.service = pool.service_name
        clients: list[Redis] = pool.sentinel_manager.sentinels
        options = [client.connection_pool.connection_kwargs for client in clients]
        await self._together("sentinel", clients[0].connection_pool.connection_class, options)
        named: dict[tuple[str, int], int] = {}
        replicas: set[tuple[str, int]] = set()
        for sentinel in found.nodes:
            reply = await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", found.service)
            if isinstance(reply, Refusal) or not reply:
                why = reply.said if isinstance(reply, Refusal) else f"it knows no service {found.service!r}"
                found.faults.append(f"{sentinel.name}: {why}")
                continue
            place = (str(reply[0]), int(reply[1]))
            named[place] = named.get(place, 0) + 1
            listed = await sentinel.ask("SENTINEL", "REPLICAS", found.service)
            for each in [] if isinstance(listed, Refusal) else listed:
                state = dict(zip(each[::2], each[1::2], strict=True))
                replicas.add((state["ip"], int(state["port"])))
        if len(named) > 1:
            found.faults.append(
                "the Sentinels name different primaries: " + ", ".join(address(*place) for place in named)
            )
        plain = SSLConnection if issubclass(pool.connection_class, SSLConnection) else Connection
        theirs = {name: value for name, value in pool.connection_kwargs.items() if name != "connection_pool"}
        primaries = [max(named, key=lambda place: named[place])] if named else []
        await self._together("primary", plain, [theirs | {"host": h, "port": p} for h, p in primaries])
        others = sorted(replicas - {*primaries})
        await self._together("replica", plain, [theirs | {"host": h, "port": p} for h, p in others])

    async def _cluster(self) -> None:
        manager = cast("ClusterNodes", self._servers).client.nodes_manager
        first = [*manager.startup_nodes.values()]
        await self._together("server", first[0].connection_class, [each.connection_kwargs for each in first])
        for node in self.found.nodes:
            slots = await node.ask("CLUSTER", "SLOTS")
            if isinstance(slots, Refusal):
                self.found.faults.append(f"{node.name}: {slots.said}")
                continue
            await self._members(node, slots, first[0].connection_class, first[0].connection_kwargs)
            return
        self.found.gaps += self.found.faults

    async def _members(self, asked: Node, slots: Any, connection_class: Any, options: Mapping[str, Any]) -> None:
        """Add the members that a node names. Nodes are compared by name, so a node of the URL is not there twice."""
        roles: dict[tuple[str, int], Role] = {}
        covered = 0
        for start, end, *members in slots:
            covered += int(end) - int(start) + 1
            for position, member in enumerate(members):
                place = (str(member[0] or asked.host), int(member[1]))
                roles[place] = "replica" if position else "primary"
        if covered < 16_384:
            self.found.gaps.append(f"{16_384 - covered} of the 16384 slots have no server")
            self.found.faults.append(self.found.gaps[-1])
        known = {node.name: node for node in self.all}
        each_role: tuple[Role, Role] = ("primary", "replica")
        for role in each_role:
            places = [place for place, each in roles.items() if each == role]
            for host, port in places:
                if (node := known.get(address(host, port))) is not None:
                    node.role = role
            new = [dict(options) | {"host": h, "port": p} for h, p in places if address(h, p) not in known]
            await self._together(role, connection_class, new)
        # A node of the URL under another name than the cluster's own, or one that has no slot: not asked twice.
        self.found.nodes = [node for node in self.found.nodes if node.role != "server"]
