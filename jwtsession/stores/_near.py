"""The near cache: sessions' stored bytes in the worker's own memory, for as long as the server says nothing of them.

A server that is asked to (`CLIENT TRACKING ... BCAST`) tells of every key that is written, deleted or expires. What it
tells arrives a moment after the change, or, where a network fails in silence, never. So silence counts for a short time
only: see `Lease`.
"""

import asyncio
import contextlib
import contextvars
import logging
import math
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, Protocol, cast

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import (
    AskError,
    ConnectionError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
)

from ._cluster import ClusterNodes
from ._sentinel import PrimaryPool

logger = logging.getLogger("jwtsession")

STALENESS = 1.0
"""Seconds that an answer from memory may be behind the server, at the very most: when the network fails in silence."""

_HEARTBEAT = 0.25
_SUBSCRIBE_SECONDS = 2.5
_PAUSES = 0.05, 5.0
"""Between two tries to connect."""
_MAP_SECONDS = 1.0
"""So old a cluster's map may get: a slot that moves to another node tells nobody."""
_CHANNEL = "__redis__:invalidate"

_OVERHEAD = 320
"""Bytes of an entry beside its texts, at most: see the test that measures it."""


class Lease:
    """A server's promise, as long as one connection lives, to tell what changes.

    The moment up to which everything that the server did is known here moves on with every heartbeat. An answer counts
    only as long as that moment is at most `STALENESS` ago. By `time.monotonic`, not the event loop's time: uvloop's
    stands still while the loop is busy.
    """

    __slots__ = ("confirmed", "server")

    def __init__(self, server: Hashable, confirmed: float) -> None:
        self.server = server
        self.confirmed = confirmed


class Fetch(NamedTuple):
    """A session that is being loaded. It may be kept if nothing was told of it since."""

    lease: Lease
    since: float


class _Entry(NamedTuple):
    value: bytes
    deadline: float
    lease: Lease


class Topology(Protocol):
    """Which server has a session."""

    def locate(self, session_id: str) -> Hashable | None:
        """The server that has the session; None where that is not known."""
        ...

    def leads(self, server: Any) -> bool:
        """Whether it still has sessions."""
        ...

    def connection(self, server: Any) -> AbstractConnection:
        """A new connection to the server, not connected yet."""
        ...

    async def check(self, server: Any) -> None:
        """Called at every heartbeat.

        Raises:
            RedisError: What the server says counts no more.
        """
        ...


class NearCache:
    """The values of sessions that were read lately, the least recently used go first.

    Args:
        limit: Bytes that it may take.
        keyspace: Prefix of the keys.
        topology: Of the servers.
        clock: In seconds; must not run backwards.
    """

    def __init__(
        self, limit: int, keyspace: str, topology: Topology, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._keyspace = keyspace
        self._prefix = len(keyspace.encode())
        self._topology = topology
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._size = 0
        self._fetches: dict[str, Fetch] = {}
        self._leases: dict[Hashable, Lease | None] = {}
        self._trackers: set[asyncio.Task[None]] = set()
        self._warned = False

    def get(self, session_id: str) -> bytes | None:
        """The session's value, if it is here and certain to be new enough. Costs no I/O."""
        entry = self._entries.get(session_id)
        if entry is None:
            return None
        value, deadline, lease = entry
        now = self._clock()
        if now >= deadline:
            # The server tells of an expired key only when it comes across it.
            self.forget(session_id)
            return None
        if now - lease.confirmed > STALENESS or lease.server != self._topology.locate(session_id):
            return None
        self._entries.move_to_end(session_id)
        return value

    def fetch(self, session_id: str) -> Fetch | None:
        """To be called before a session is asked for; None where the answer can't be kept."""
        server = self._topology.locate(session_id)
        if server is None:
            return None
        if server not in self._leases:
            self._leases[server] = None
            # It outlives the request that happens to be the first, and whatever that one has in its context.
            tracker = asyncio.get_running_loop().create_task(self._track(server), context=contextvars.Context())
            self._trackers.add(tracker)
            tracker.add_done_callback(self._trackers.discard)
        lease = self._leases[server]
        if lease is None:
            return None
        # One that is under way already will do: nothing was told since it began.
        return self._fetches.setdefault(session_id, Fetch(lease, self._clock()))

    def fill(self, session_id: str, fetch: Fetch, value: bytes | None, left: Any) -> None:
        """Keep what a fetch found, and the milliseconds that it has left: the reply to PTTL, or an error."""
        if self._fetches.get(session_id) is not fetch:
            entry = self._entries.get(session_id)
            if entry is not None and entry.value != value:
                # One of the two is old, and whoever was told of the newer one must not read the other.
                self.forget(session_id)
            return
        self.forget(session_id)
        if value is None or not isinstance(left, int) or (left <= 0 and left != -1):
            return
        self._entries[session_id] = _Entry(value, math.inf if left == -1 else fetch.since + left / 1000, fetch.lease)
        self._size += _cost(session_id, value)
        while self._size > self._limit:
            oldest, entry = self._entries.popitem(last=False)
            self._size -= _cost(oldest, entry.value)

    def release(self, session_id: str, fetch: Fetch) -> None:
        """To be called when a fetch is over, however it went."""
        if self._fetches.get(session_id) is fetch:
            del self._fetches[session_id]

    def forget(self, session_id: str) -> None:
        """What is known of the session, or being asked for, may be old."""
        self._fetches.pop(session_id, None)
        entry = self._entries.pop(session_id, None)
        if entry is not None:
            self._size -= _cost(session_id, entry.value)

    def invalidate(self, keys: Sequence[bytes] | None) -> None:
        """What a server tells: these keys have changed; None are all."""
        if keys is None:
            self._fetches.clear()
            self._entries.clear()
            self._size = 0
            return
        for key in keys:
            self.forget(key[self._prefix :].decode(errors="replace"))

    async def close(self) -> None:
        """Close the connections, and empty the cache."""
        trackers = {*self._trackers}
        while trackers:
            # More than once: a connection that is just being made or dropped may swallow a cancellation.
            for tracker in trackers:
                tracker.cancel()
            _, trackers = await asyncio.wait(trackers, timeout=0.1)

    def _end(self, lease: Lease) -> None:
        """Empty what rests on the lease."""
        lease.confirmed = -math.inf
        for session_id in [each for each, entry in self._entries.items() if entry.lease is lease]:
            self.forget(session_id)
        for session_id in [each for each, fetch in self._fetches.items() if fetch.lease is lease]:
            del self._fetches[session_id]

    # --- the server's side -------------------------------------------------------------------------------------------

    async def _track(self, server: Hashable) -> None:
        """Follow a server for as long as it has sessions."""
        pause = 0.0
        try:
            while self._topology.leads(server):
                began = self._clock()
                try:
                    await self._follow(server)
                except Exception as error:
                    # Whatever it is: without the cache all works as well.
                    self._tell(error)
                lasted = self._clock() - began
                pause = _PAUSES[0] if lasted > _PAUSES[1] else min(2 * pause or _PAUSES[0], _PAUSES[1])
                await asyncio.sleep(random.uniform(pause / 2, pause))
        finally:
            # Whoever looks for a session there later begins anew.
            self._leases.pop(server, None)

    async def _follow(self, server: Hashable) -> None:
        """Subscribe, and pass on what the server tells, as long as the connection lives."""
        connection = self._topology.connection(server)
        lease: Lease | None = None
        try:
            async with asyncio.timeout(_SUBSCRIBE_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
                await self._subscribe(connection)
                await self._topology.check(server)
            # What is asked for from now on is told of when it changes.
            lease = self._leases[server] = Lease(server, self._clock())
            self._warned = False
            await self._listen(connection, lease)
        finally:
            self._leases[server] = None
            if lease is not None:
                self._end(lease)
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    async def _subscribe(self, connection: AbstractConnection) -> None:
        async def ask(*command: str | int) -> Any:
            await connection.send_command(*command, check_health=False)
            return await connection.read_response(disable_decoding=True)

        # For entries to end in time; refused here rather than at every load. Another node's key it may be.
        with contextlib.suppress(AskError):
            await ask("PTTL", self._keyspace)
        own_id = await ask("CLIENT", "ID")
        await ask("CLIENT", "TRACKING", "ON", "REDIRECT", own_id, "BCAST", "PREFIX", self._keyspace)
        await ask("SUBSCRIBE", _CHANNEL)

    async def _listen(self, connection: AbstractConnection, lease: Lease) -> None:
        """Pass on what the server tells, and make sure that it could.

        A server tells of changes at the end of the turn in which they were made; a PONG goes out before, in the same
        turn even before that of an earlier change. But a PING that is sent after a PONG has come is answered in a later
        turn: its PONG comes after all that was told up to the turn of the PING before. So each PONG confirms what was
        done until the PING before it was sent.
        """
        sent, before, number, waits = lease.confirmed, lease.confirmed, 0, False
        while True:
            now = self._clock()
            if not waits and now >= sent + _HEARTBEAT:
                before, sent, waits = sent, now, True
                number += 1
                await connection.send_command("PING", number, check_health=False)
            due = sent + (STALENESS if waits else _HEARTBEAT)
            # Never without a moment to look: after a while in which the loop was busy the answer is there.
            told = await connection.read_response(disable_decoding=True, timeout=max(0.01, due - now))
            if told is None:
                if waits and self._clock() >= due:
                    raise TimeoutError("no PONG in time")
            elif told[0] == b"message":
                # A text is no word of the server: somebody has published it.
                if not isinstance(told[2], bytes):
                    self.invalidate(told[2])
            elif told[0] == b"pong" and waits and told[1] == b"%d" % number:
                await self._topology.check(lease.server)
                lease.confirmed, waits = before, False

    def _tell(self, error: Exception) -> None:
        """What the server does not allow, or does not know: once, until it works."""
        if (type(error) is ResponseError or isinstance(error, NoPermissionError)) and not self._warned:
            self._warned = True
            logger.warning("the near cache is off: the server does not allow tracking (%s)", type(error).__name__)
        else:
            logger.debug("the near cache is empty: %s", type(error).__name__)


def _cost(session_id: str, value: bytes) -> int:
    return len(session_id) + len(value) + _OVERHEAD


def topology_of(client: Redis | RedisCluster, nodes: ClusterNodes | None, keyspace: str) -> Topology:
    """Of the servers that a client knows."""
    if isinstance(client, RedisCluster):
        assert nodes is not None  # noqa: S101
        return _Primaries(client, nodes, keyspace)
    pool = client.connection_pool
    return _Primary(pool) if isinstance(pool, PrimaryPool) else _Server(pool)


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """Of a connection on which the server speaks first, which redis-py's public methods show with RESP2 alone."""
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
    """The one that the Sentinels name."""

    _pool: PrimaryPool

    def locate(self, session_id: str) -> Hashable | None:
        return cast("tuple[str, int] | None", self._pool.master_address)

    def leads(self, server: Any) -> bool:
        return bool(self._pool.master_address == server)

    async def check(self, server: Any) -> None:
        # Answers from memory ask nobody: that the primary is the newest is the heartbeat's to see to.
        await self._pool.confirm()
        if not self.leads(server):
            raise ConnectionError("another server is the primary")


class _Primaries:
    """Those of a cluster, by their names."""

    def __init__(self, client: RedisCluster, nodes: ClusterNodes, keyspace: str) -> None:
        self._client = client
        self._nodes = nodes
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
        # A node that was cut off from its cluster, and replaced, still answers PING, but no command that has a key.
        (reply,) = await self._nodes.ask(server, ("PTTL", self._keys[server]))
        if isinstance(reply, ResponseError):
            raise ConnectionError("the node does not have its sessions any more") from reply
