"""`InspectableStore`: a store whose contents a test can read and write."""

from typing import NamedTuple

from ..stores import MemorySessionStore


class StoredSession(NamedTuple):
    """What an `InspectableStore` holds of one session."""

    value: bytes
    """The session's JSON, or its encrypted form."""
    expires: float
    """When the session expires, in seconds of the store's clock."""


class InspectableStore(MemorySessionStore):
    """A `MemorySessionStore` for tests: they see what is stored, and can put anything in its place.

    Args:
        clock: The time in seconds; must not run backwards.
    """

    @property
    def contents(self) -> dict[str, StoredSession]:
        """A copy of all sessions that have not expired, by their ids. To look does not extend a time to live."""
        now = self._clock()
        stored = {session_id: StoredSession(*each) for session_id, each in self._sessions.items()}
        return {session_id: each for session_id, each in stored.items() if each.expires > now}

    def put(self, session_id: str, value: bytes, ttl: int | None = None) -> None:
        """Store a value, whatever is there: one that can't be read, or one of another version of the application.

        Args:
            session_id: The session.
            value: What is stored.
            ttl: Milliseconds. Without it the session keeps the time that it has left.

        Raises:
            KeyError: There is no such session, and no `ttl`.
        """
        if ttl is None:
            self._sessions[session_id] = (value, self.contents[session_id].expires)
        else:
            self._set(session_id, value, ttl)
