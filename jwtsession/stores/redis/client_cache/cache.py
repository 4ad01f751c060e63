"""`ClientCache`: keeps sessions' stored bytes in the worker's memory until the server says that they have changed."""

import math
import struct
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from ...._lru import ByteLRU
from .topology import Topology
from .tracking import STALENESS_SECONDS, Lease, Tracking

_OVERHEAD_BYTES = 190
"""The most memory of an entry in bytes, without its id and value. A test measures it."""

_HEADER = struct.Struct("dq")
"""What stands before a value in memory: its deadline, and the number of its lease. So an entry is one object, at which
Python's garbage collector need not look."""
_HEADER_BYTES = _HEADER.size
_unpack = _HEADER.unpack_from


class Fetch(NamedTuple):
    """A load of a session that has begun. The cache may keep its value if no change was reported since it began."""

    lease: Lease
    since: float


class Entry(NamedTuple):
    """What is kept of a session."""

    value: bytes
    deadline: float
    """By the cache's clock."""
    lease: Lease | None
    """None if it has ended."""


class ClientCache:
    """The values of the sessions that were read last.

    Args:
        limit: How many bytes of memory the values may take.
        keyspace: Prefix of the sessions' keys.
        topology: The servers.
        clock: Returns the time in seconds. It must not run backwards.
        listeners: Called with the ids of sessions that have changed; with None if any may have changed.
    """

    def __init__(
        self,
        limit: int,
        keyspace: str,
        topology: Topology,
        clock: Callable[[], float] = time.monotonic,
        listeners: Collection[Callable[[Sequence[str] | None], object]] = (),
    ) -> None:
        self._prefix = len(keyspace.encode())
        self._topology = topology
        self._clock = clock
        self._listeners = listeners
        self._entries: ByteLRU[str, bytes] = ByteLRU(limit, _cost)
        self._leases: dict[int, Lease] = {}
        self._fetches: dict[str, Fetch] = {}
        self.tracking = Tracking(keyspace, topology, invalidate=self.invalidate, end=self._end, clock=clock)

    def get(self, session_id: str) -> bytes | None:
        """Return the session's value if it is here and new enough. This does no I/O."""
        entry = self._entries.get(session_id)
        if entry is None:
            return None
        deadline, number = _unpack(entry)
        now = self._clock()
        if now >= deadline:
            # The server reports an expired key only when it finds the key, so check the time here.
            self.forget(session_id)
            return None
        lease = self._leases.get(number)
        if (
            lease is None
            or now - lease.confirmed > STALENESS_SECONDS
            or lease.server != self._topology.locate(session_id)
        ):
            return None
        return entry[_HEADER_BYTES:]

    def entry(self, session_id: str) -> Entry | None:
        """Return what is kept of a session, also if it may not be used any more."""
        entry = self._entries.get(session_id)
        if entry is None:
            return None
        deadline, number = _unpack(entry)
        return Entry(entry[_HEADER_BYTES:], deadline, self._leases.get(number))

    def fetch(self, session_id: str) -> Fetch | None:
        """Begin a load: the store calls this before it loads a session. None if the reply must not be kept."""
        server = self._topology.locate(session_id)
        lease = None if server is None else self.tracking.lease(server)
        if lease is None:
            return None
        # Share a load that has begun already: no change was reported since then.
        return self._fetches.setdefault(session_id, Fetch(lease, self._clock()))

    def fill(self, session_id: str, fetch: Fetch, value: bytes | None, left: Any) -> None:
        """Keep the value that a load has found.

        Args:
            session_id: The session.
            fetch: From `fetch`, before the load.
            value: The session's value.
            left: The milliseconds that the session has left: the reply to PTTL, or an error.
        """
        if self._fetches.get(session_id) is not fetch:
            entry = self.entry(session_id)
            if entry is not None and entry.value != value:
                # One of the two values is old. A caller that has read the new one must not read the old one later.
                self.forget(session_id)
            return
        self.forget(session_id)
        if value is None or not isinstance(left, int) or (left <= 0 and left != -1):
            return
        deadline, lease = math.inf if left == -1 else fetch.since + left / 1000, fetch.lease
        self._leases[lease.number] = lease
        self._entries.put(session_id, _HEADER.pack(deadline, lease.number) + value)

    def release(self, session_id: str, fetch: Fetch) -> None:
        """End a load: the store calls this after the load, also if the load failed."""
        if self._fetches.get(session_id) is fetch:
            del self._fetches[session_id]

    def forget(self, session_id: str) -> None:
        """Drop the session's value. A load that has begun is not kept either."""
        self._fetches.pop(session_id, None)
        self._entries.pop(session_id)

    def invalidate(self, keys: Sequence[bytes] | None) -> None:
        """Forget the sessions of keys that have changed. None means all keys."""
        if keys is None:
            self._fetches.clear()
            self._entries.clear()
            self._report(None)
            return
        changed = [key[self._prefix :].decode(errors="replace") for key in keys]
        for session_id in changed:
            self.forget(session_id)
        self._report(changed)

    def follow(self, session_id: str) -> None:
        """Follow the server that has the session, so that its changes are reported."""
        server = self._topology.locate(session_id)
        if server is not None:
            self.tracking.lease(server)

    async def close(self) -> None:
        """Stop following the servers, and empty the cache."""
        await self.tracking.close()

    def _end(self, lease: Lease) -> None:
        """Forget all sessions that were loaded under the lease."""
        self._leases.pop(lease.number, None)
        if not self._leases:
            self._entries.clear()
        # Else the values of this lease stay in memory until others take their place, but nothing returns them.
        for session_id in [each for each, fetch in self._fetches.items() if fetch.lease is lease]:
            del self._fetches[session_id]
        self._report(None)

    def _report(self, session_ids: Sequence[str] | None) -> None:
        for listener in [*self._listeners]:
            listener(session_ids)


def _cost(session_id: str, entry: bytes) -> int:
    return len(session_id) + len(entry) - _HEADER_BYTES + _OVERHEAD_BYTES
