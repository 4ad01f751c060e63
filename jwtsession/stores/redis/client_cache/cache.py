"""`ClientCache`: sessions' stored bytes in the worker's memory, as long as the server tells of no change to them."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ...._lru import ByteLRU
from .topology import Topology
from .tracking import STALENESS_SECONDS, Lease, Tracking

_OVERHEAD_BYTES = 320
"""What an entry takes beside its id and value, at most: a test measures it."""


class Fetch(NamedTuple):
    """A session that is being loaded. It may be kept if nobody told of a change since then."""

    lease: Lease
    since: float


class _Entry(NamedTuple):
    value: bytes
    deadline: float
    lease: Lease


class ClientCache:
    """The values of the sessions that were read last.

    Args:
        limit: How many bytes it may take.
        keyspace: Prefix of the keys.
        topology: The servers.
        clock: In seconds; must not run backwards.
    """

    def __init__(
        self, limit: int, keyspace: str, topology: Topology, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._prefix = len(keyspace.encode())
        self._topology = topology
        self._clock = clock
        self._entries: ByteLRU[_Entry] = ByteLRU(limit, _cost)
        self._fetches: dict[str, Fetch] = {}
        self.tracking = Tracking(keyspace, topology, invalidate=self.invalidate, end=self._end, clock=clock)

    def get(self, session_id: str) -> bytes | None:
        """The session's value, if it is here and new enough. Costs no I/O."""
        entry = self._entries.get(session_id)
        if entry is None:
            return None
        value, deadline, lease = entry
        now = self._clock()
        if now >= deadline:
            # The server tells that a key has expired only when it finds it.
            self.forget(session_id)
            return None
        if now - lease.confirmed > STALENESS_SECONDS or lease.server != self._topology.locate(session_id):
            return None
        return value

    def fetch(self, session_id: str) -> Fetch | None:
        """Must be called before a session is loaded; None where the reply can't be kept."""
        server = self._topology.locate(session_id)
        lease = None if server is None else self.tracking.lease(server)
        if lease is None:
            return None
        # A load that is under way already will do: nobody told of a change since it began.
        return self._fetches.setdefault(session_id, Fetch(lease, self._clock()))

    def fill(self, session_id: str, fetch: Fetch, value: bytes | None, left: Any) -> None:
        """Keep what a load has found.

        Args:
            session_id: The session.
            fetch: From `fetch`, before the load.
            value: The session's value.
            left: The milliseconds that it has left: the reply to PTTL, or an error.
        """
        if self._fetches.get(session_id) is not fetch:
            entry = self._entries.get(session_id)
            if entry is not None and entry.value != value:
                # One of the two is old, and a caller that has read the newer one must not read the older one later.
                self.forget(session_id)
            return
        self.forget(session_id)
        if value is None or not isinstance(left, int) or (left <= 0 and left != -1):
            return
        entry = _Entry(value, math.inf if left == -1 else fetch.since + left / 1000, fetch.lease)
        self._entries.put(session_id, entry)

    def release(self, session_id: str, fetch: Fetch) -> None:
        """Must be called when a load is over, however it went."""
        if self._fetches.get(session_id) is fetch:
            del self._fetches[session_id]

    def forget(self, session_id: str) -> None:
        """Drop what is kept of the session; what is being loaded now is not kept either."""
        self._fetches.pop(session_id, None)
        self._entries.pop(session_id)

    def invalidate(self, keys: Sequence[bytes] | None) -> None:
        """Forget the sessions of keys that have changed; None are all."""
        if keys is None:
            self._fetches.clear()
            self._entries.clear()
            return
        for key in keys:
            self.forget(key[self._prefix :].decode(errors="replace"))

    async def close(self) -> None:
        """Follow the servers no longer, and empty the cache."""
        await self.tracking.close()

    def _end(self, lease: Lease) -> None:
        """Forget all that was loaded under the lease."""
        for session_id in [each for each, entry in self._entries.items() if entry.lease is lease]:
            self.forget(session_id)
        for session_id in [each for each, fetch in self._fetches.items() if fetch.lease is lease]:
            del self._fetches[session_id]


def _cost(session_id: str, entry: _Entry) -> int:
    return len(session_id) + len(entry.value) + _OVERHEAD_BYTES
