"""`MemorySessionStore`: sessions in this process, for tests."""

import time
from collections.abc import Callable, Mapping, Sequence

from ..errors import StoreUnavailableError
from .base import Entry, Outcome


class MemorySessionStore:
    """A `SessionStore` in a dictionary: for tests, with a clock of your own. Not shared between workers.

    Args:
        clock: The time in seconds; must not run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sessions: dict[str, tuple[bytes, float]] = {}
        self._users: dict[str, tuple[dict[str, Entry], float]] = {}
        self._entered = 0

    def __repr__(self) -> str:
        return f"MemorySessionStore({len(self._sessions)} sessions)"

    @property
    def location(self) -> str:
        """Where the sessions are, for a log."""
        return "memory://"

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do: sessions stay for as long as the object does."""

    async def ping(self) -> bool:
        """Always true."""
        return True

    async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
        """See `SessionStore.create`."""
        current = self._get(session_id)
        if current is not None:
            return current == value
        self._set(session_id, value, ttl)
        return True

    async def load(self, session_id: str, ttl: int | None = None, *, near: bool = False) -> bytes | None:
        """See `SessionStore.load`."""
        value = self._get(session_id)
        if value is not None and ttl is not None:
            self._set(session_id, value, ttl)
        return value

    async def update(self, session_id: str, expected: bytes, value: bytes, ttl: int, *, retry: bool = True) -> Outcome:
        """See `SessionStore.update`."""
        current = self._get(session_id)
        if current is None:
            return Outcome.GONE
        if current == expected:
            self._set(session_id, value, ttl)
            return Outcome.DONE
        return Outcome.CONFLICT

    async def touch(self, session_id: str, ttl: int) -> bool:
        """See `SessionStore.touch`."""
        return await self.load(session_id, ttl) is not None

    async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
        """See `SessionStore.destroy`. There are no replicas."""
        if wait_replicas:
            raise StoreUnavailableError("destroy_not_confirmed")
        found = self._get(session_id) is not None
        self._sessions.pop(session_id, None)
        return found

    async def claim(self, session_id: str, expected: bytes) -> Outcome:
        """See `SessionStore.claim`."""
        current = self._get(session_id)
        if current is None:
            return Outcome.GONE
        if current != expected:
            return Outcome.CONFLICT
        del self._sessions[session_id]
        return Outcome.DONE

    async def enter(
        self, user: str, session_id: str, data: bytes, seen: float, ttl: int, *, again: bool = False
    ) -> bool:
        """See `SessionStore.enter`."""
        index, expires = self._index(user)
        if again and session_id not in index:
            return False
        self._entered += 1
        index[session_id] = index.get(session_id, Entry(self._entered, data, seen))._replace(seen=seen)
        self._users[user] = (index, max(expires, self._clock() + ttl / 1000))
        return True

    async def leave(self, user: str, session_ids: Sequence[str]) -> None:
        """See `SessionStore.leave`."""
        index, _ = self._index(user)
        for session_id in session_ids:
            index.pop(session_id, None)

    async def prune(self, user: str, entries: Mapping[str, Entry]) -> int:
        """See `SessionStore.prune`."""
        index, _ = self._index(user)
        for session_id, entry in entries.items():
            if index.get(session_id) == entry:
                del index[session_id]
        return len(index)

    async def entries(self, user: str) -> dict[str, Entry]:
        """See `SessionStore.entries`."""
        return dict(self._index(user)[0])

    async def remaining(self, session_ids: Sequence[str]) -> list[int]:
        """See `SessionStore.remaining`."""
        now = self._clock()
        return [round((self._sessions[each][1] - now) * 1000) if self._get(each) else 0 for each in session_ids]

    async def destroy_all(self, session_ids: Sequence[str]) -> list[bool]:
        """See `SessionStore.destroy_all`."""
        return [await self.destroy(session_id) for session_id in session_ids]

    def _index(self, user: str) -> tuple[dict[str, Entry], float]:
        index, expires = self._users.get(user, ({}, 0.0))
        return (index, expires) if expires > self._clock() else ({}, 0.0)

    def _get(self, session_id: str) -> bytes | None:
        value, expires = self._sessions.get(session_id, (None, 0.0))
        if value is not None and expires <= self._clock():
            del self._sessions[session_id]
            return None
        return value

    def _set(self, session_id: str, value: bytes, ttl: int) -> None:
        self._sessions[session_id] = (value, self._clock() + ttl / 1000)
