"""The contract of every store."""

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Outcome(enum.Enum):
    """What a compare-and-set or compare-and-delete did."""

    DONE = "done"
    """Applied."""
    GONE = "gone"
    """Not applied: there is no such session."""
    CONFLICT = "conflict"
    """Not applied: the value is not the expected one."""


class Entry(NamedTuple):
    """One session in a user's index."""

    order: int
    """Entries have ascending numbers: who enters later sees all who entered before."""
    data: bytes
    seen: float
    """When the session was last seen, in seconds since the epoch."""


class SessionStore(Protocol):
    """Storage of sessions, and of each user's index of sessions.

    Each method that changes one session is one atomic step, and none brings back what was destroyed or has expired.
    Values are bytes that a store does not look into. Times to live are milliseconds, at least 1.
    A session that has expired is gone, as one that was destroyed is.

    Every method raises `StoreUnavailableError` where the store did not answer: what happened is unknown then.
    `load`, `update` and `claim` raise `SessionCorruptError` where the key holds no string.
    """

    async def open(self) -> None:
        """Get ready; called when the application starts. Does not fail because a server is down."""
        ...

    async def close(self) -> None:
        """Release what `open` took; called when the application stops."""
        ...

    async def ping(self) -> bool:
        """Whether the store answers. Never raises."""
        ...

    async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
        """Store a new session. False, with nothing changed, where the id is taken by another value."""
        ...

    async def load(self, session_id: str, ttl: int | None = None, *, near: bool = False) -> bytes | None:
        """The session's value, or None where it is gone. With `ttl` its time to live starts again.

        With `near`, and without `ttl`, a store may answer from memory of its own what was true a moment ago.
        """
        ...

    async def update(self, session_id: str, expected: bytes, value: bytes, ttl: int, *, retry: bool = True) -> Outcome:
        """Replace the value and its time to live, if the value still is `expected` to the byte.

        A value that already is the new one is somebody else's equal write, and `CONFLICT`. It is `DONE` only where this
        very call has written before, and its reply was lost: nobody can tell then. With `retry=False` a store does not
        write again after a lost reply, so that there it is `StoreUnavailableError`. A connection that was dead before
        anything was written is no lost reply.
        """
        ...

    async def touch(self, session_id: str, ttl: int) -> bool:
        """Start the time to live again. False where the session is gone."""
        ...

    async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
        """Remove the session. False where it is gone already.

        With `wait_replicas` only so many replicas that have it too make it a success; fewer are
        `StoreUnavailableError`.
        """
        ...

    async def claim(self, session_id: str, expected: bytes) -> Outcome:
        """Remove the session, if its value still is `expected` to the byte: one caller wins."""
        ...

    async def enter(
        self, user: str, session_id: str, data: bytes, seen: float, ttl: int, *, again: bool = False
    ) -> bool:
        """Put a session into its user's index, if it is not there, and note when it was last seen.

        The index lives for at least `ttl` from now. With `again` nothing is put in: False where it is not there.
        """
        ...

    async def leave(self, user: str, session_ids: Sequence[str]) -> None:
        """Take sessions out of their user's index; those that are not there are no error."""
        ...

    async def prune(self, user: str, entries: Mapping[str, Entry]) -> int:
        """Take entries out of their user's index that are still as they were read; how many others are left in it."""
        ...

    async def entries(self, user: str) -> dict[str, Entry]:
        """The user's index by the sessions' ids. Some may have ended."""
        ...

    async def remaining(self, session_ids: Sequence[str]) -> list[int]:
        """Milliseconds that each session has left; 0 where it is gone."""
        ...

    async def destroy_all(self, session_ids: Sequence[str]) -> list[bool]:
        """Remove many sessions; for each whether it was there."""
        ...
