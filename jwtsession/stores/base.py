"""The contract of every store."""

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeGuard


class Outcome(enum.Enum):
    """What a compare-and-set or compare-and-delete did."""

    DONE = "done"
    """Applied."""
    GONE = "gone"
    """Not applied: there is no such session."""
    CONFLICT = "conflict"
    """Not applied: the value is not the expected one."""


FORMER = "former:"
"""Begins the name of a user whose index has the format of before. A store that never had that finds nothing there."""


class Entry(NamedTuple):
    """One session in a user's index."""

    order: int
    """Entries have ascending numbers: who is confirmed later sees all who were confirmed before."""
    data: bytes
    seen: float
    """When the session was last seen, in seconds since the epoch."""
    confirmed: bool = True
    """Whether the session has been stored. One that is not there has ended then."""


class IndexPage(NamedTuple):
    """Some entries of a user's index."""

    entries: dict[str, Entry]
    """By the sessions' ids, in their order. Some may have ended."""
    cursor: int
    """Of the next page; 0 where this is the last."""
    total: int
    """How many entries the index has, where that is known; at least those of the page."""


class IndexAddition(NamedTuple):
    """What `UserIndexStore.index_add` came to."""

    was_present: bool
    is_present: bool
    total: int
    """How many entries the user's index has now."""
    sample: dict[str, Entry]
    """Some of them at random, without their data and order."""


class SessionStore(Protocol):
    """Storage of sessions.

    Each method that changes one session is one atomic step, and none brings back what was destroyed or has expired.
    Values are bytes that a store does not look into. Times to live are milliseconds, at least 1.
    A session that has expired is gone, as one that was destroyed is.

    Every method raises `StoreUnavailableError` where the store did not answer: what happened is unknown then.
    `load`, `update` and `compare_and_delete` raise `SessionCorruptError` where the key holds no string.
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

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        """The session's value, or None where it is gone.

        Args:
            session_id: The session.
            ttl: Its new time to live in milliseconds; None leaves the time to live as it is.
            allow_cached: Without `ttl`, a store may answer from its own memory what was true a moment ago.
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

    async def compare_and_delete(self, session_id: str, expected: bytes) -> Outcome:
        """Remove the session, if its value still is `expected` to the byte: one caller wins."""
        ...

    async def remaining(self, session_ids: Sequence[str]) -> list[int]:
        """Milliseconds that each session has left; 0 where it is gone."""
        ...

    async def destroy_all(self, session_ids: Sequence[str]) -> list[bool]:
        """Remove many sessions; for each whether it was there."""
        ...


class UserIndexStore(Protocol):
    """Storage of each user's index of sessions; a store has it for `user_index=True`.

    Every method raises `StoreUnavailableError` where the store did not answer.
    """

    async def index_add(
        self,
        user: str,
        session_id: str,
        data: bytes,
        seen: float,
        ttl: int,
        *,
        confirmed: bool = True,
        only_if_present: bool = False,
        sample: int = 0,
    ) -> IndexAddition:
        """Put a session into its user's index, if it is not there, and note when it was last seen.

        The index lives for at least `ttl` from now.

        Args:
            user: The user's name in the store.
            session_id: The session.
            data: What is kept of it; what is there already stays.
            seen: When it was last seen, in seconds since the epoch.
            ttl: Milliseconds.
            confirmed: Whether the session is stored; it moves behind all others when it is confirmed.
            only_if_present: Put nothing in.
            sample: How many entries to read at random.
        """
        ...

    async def index_remove(self, user: str, session_ids: Sequence[str]) -> None:
        """Take sessions out of their user's index; those that are not there are no error."""
        ...

    async def index_prune(self, user: str, entries: Mapping[str, Entry]) -> None:
        """Take entries out of their user's index that were neither seen nor confirmed since they were read."""
        ...

    async def index_page(self, user: str, cursor: int, limit: int) -> IndexPage:
        """About `limit` entries; the cursor of the first page is 0.

        What is there from the first page to the last is on one of them, perhaps on two.
        """
        ...

    async def index_has(self, user: str, session_id: str) -> bool:
        """Whether a session is in the user's index."""
        ...


class IndexedSessionStore(SessionStore, UserIndexStore, Protocol):
    """A store of sessions that keeps the users' indices too."""


_INDEX_METHODS = [name for name in vars(UserIndexStore) if name.startswith("index_")]


def has_user_index(store: SessionStore) -> TypeGuard[IndexedSessionStore]:
    """Whether the store has the methods of `UserIndexStore`.

    The object is asked, not its class: a store that passes calls on by `__getattr__` has them too.
    """
    return all(callable(getattr(store, name, None)) for name in _INDEX_METHODS)
