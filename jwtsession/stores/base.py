"""The contract of every store."""

import enum
from typing import Protocol


class Outcome(enum.Enum):
    """What a compare-and-set or compare-and-delete did."""

    DONE = "done"
    """Applied."""
    SAME = "same"
    """Not applied: the value already is the new one. An earlier try of this call wrote it, or somebody else did."""
    GONE = "gone"
    """Not applied: there is no such session."""
    CONFLICT = "conflict"
    """Not applied: the value is not the expected one."""


class SessionStore(Protocol):
    """Storage of sessions. Each method is one atomic step, and none brings back what was destroyed or has expired.

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

    async def load(self, session_id: str, ttl: int | None = None) -> bytes | None:
        """The session's value, or None where it is gone. With `ttl` its time to live starts again."""
        ...

    async def update(self, session_id: str, expected: bytes, value: bytes, ttl: int, *, once: bool = False) -> Outcome:
        """Replace the value and its time to live, if the value still is `expected` to the byte.

        With `once` the store never tries again by itself, so that `SAME` means somebody else's equal write.
        """
        ...

    async def touch(self, session_id: str, ttl: int) -> bool:
        """Start the time to live again. False where the session is gone."""
        ...

    async def destroy(self, session_id: str) -> bool:
        """Remove the session. False where it is gone already."""
        ...

    async def claim(self, session_id: str, expected: bytes) -> Outcome:
        """Remove the session, if its value still is `expected` to the byte: one caller wins. Never `SAME`."""
        ...
