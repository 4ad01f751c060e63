"""`MemorySessionStore`: sessions in this process, for tests."""

import time
from collections.abc import Callable

from .base import Outcome


class MemorySessionStore:
    """A `SessionStore` in a dictionary: for tests, with a clock of your own. Not shared between workers.

    Args:
        clock: The time in seconds; must not run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sessions: dict[str, tuple[bytes, float]] = {}

    def __repr__(self) -> str:
        return f"MemorySessionStore({len(self._sessions)} sessions)"

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

    async def load(self, session_id: str, ttl: int | None = None) -> bytes | None:
        """See `SessionStore.load`."""
        value = self._get(session_id)
        if value is not None and ttl is not None:
            self._set(session_id, value, ttl)
        return value

    async def update(self, session_id: str, expected: bytes, value: bytes, ttl: int, *, once: bool = False) -> Outcome:
        """See `SessionStore.update`."""
        current = self._get(session_id)
        if current is None:
            return Outcome.GONE
        if current == expected:
            self._set(session_id, value, ttl)
            return Outcome.DONE
        return Outcome.SAME if current == value else Outcome.CONFLICT

    async def touch(self, session_id: str, ttl: int) -> bool:
        """See `SessionStore.touch`."""
        return await self.load(session_id, ttl) is not None

    async def destroy(self, session_id: str) -> bool:
        """See `SessionStore.destroy`."""
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

    def _get(self, session_id: str) -> bytes | None:
        value, expires = self._sessions.get(session_id, (None, 0.0))
        if value is not None and expires <= self._clock():
            del self._sessions[session_id]
            return None
        return value

    def _set(self, session_id: str, value: bytes, ttl: int) -> None:
        self._sessions[session_id] = (value, self._clock() + ttl / 1000)
