"""`InspectableStore`: a store whose contents a test can read and write."""

from typing import NamedTuple

from ..stores import MemorySessionStore


class StoredSession(NamedTuple):
    """The content of an `InspectableStore` for one session."""

    value: bytes
    """The session's JSON, or its encrypted form."""
    expires: float
    """When the session expires, in seconds of the store's clock."""


class StoredGeneration(NamedTuple):
    """The content of an `InspectableStore` for the tokens of one session, if `rotation` replaces them."""

    number: int
    """The newest generation. It counts from 0."""
    used: int
    """When a token of it was first presented, in milliseconds since the epoch; 0 for not yet."""
    expires: float
    """Until when it is kept, in seconds of the store's clock."""


class InspectableStore(MemorySessionStore):
    """A `MemorySessionStore` for tests, which can see what is stored and replace it.

    Args:
        clock: Returns the time in seconds. It must not run backwards.
    """

    @property
    def contents(self) -> dict[str, StoredSession]:
        """A copy of all sessions that have not expired, by their ids. Reading it does not extend their time to live."""
        now = self._clock()
        stored = {session_id: StoredSession(*each) for session_id, each in self._sessions.items()}
        return {session_id: each for session_id, each in stored.items() if each.expires > now}

    @property
    def generations(self) -> dict[str, StoredGeneration]:
        """A copy of all newest generations of tokens that have not expired, by their sessions' ids."""
        now = self._clock()
        stored = {each: StoredGeneration(*newest, end) for each, (newest, _, end) in self._generations.items()}
        return {session_id: each for session_id, each in stored.items() if each.expires > now}

    def lose_generations(self) -> None:
        """Forget all generations, as a server does whose newest writes are lost by a failover."""
        self._generations.clear()

    def put(self, session_id: str, value: bytes, ttl: int | None = None) -> None:
        """Store any value: one that can't be read, or one that another version of the application has written.

        Args:
            session_id: The session.
            value: The bytes to store.
            ttl: The time to live in milliseconds. None keeps the time that the session has left.

        Raises:
            KeyError: There is no such session, and `ttl` is None.
        """
        if ttl is None:
            self._sessions[session_id] = (value, self.contents[session_id].expires)
        else:
            self._set(session_id, value, ttl)
