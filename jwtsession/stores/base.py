"""The contract of every store, `SessionStore`, and of what some can do too, as `UserIndexStore` and `TicketStore`."""

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
"""Beginning of a user's name whose index has the older format. A store that never had that format finds nothing."""


class Entry(NamedTuple):
    """One session in a user's index."""

    order: int
    """Ascending: a session that is confirmed later sees all that were confirmed before."""
    data: bytes
    """What is kept of the login; a store does not look into it."""
    seen: float
    """When the session was last seen, in seconds since the epoch."""
    confirmed: bool = True
    """Whether the session has been stored. If it has, and is not there, it has ended."""


class IndexPage(NamedTuple):
    """Some entries of a user's index."""

    entries: dict[str, Entry]
    """By the sessions' ids, in their order. Some of the sessions may have ended."""
    cursor: int
    """The cursor of the next page; 0 if this is the last."""
    total: int
    """How many entries the index has, as far as is known: at least those of the page."""


class IndexAddition(NamedTuple):
    """What `UserIndexStore.index_add` did."""

    was_present: bool
    """Whether the session was in the index before."""
    is_present: bool
    """Whether it is in the index now."""
    total: int
    """How many entries the user's index has now."""
    sample: dict[str, Entry]
    """Some of the entries at random, without their data and order."""
    data: bytes = b""
    """What is kept of the login now."""


class SessionStore(Protocol):
    """Storage of sessions.

    Each method that changes one session is one atomic step. No method brings back a session that was destroyed or has
    expired; both are gone. Values are bytes, which a store does not look into. Times to live are milliseconds, at
    least 1.

    Every method raises `StoreUnavailableError` if the store did not answer: nobody knows then what it did. `load`,
    `update` and `compare_and_delete` raise `SessionCorruptError` if the key holds no string.
    """

    async def open(self) -> None:
        """Called when the application starts. Does not fail if a server is down."""
        ...

    async def close(self) -> None:
        """Called when the application stops: release what `open` took."""
        ...

    async def ping(self) -> bool:
        """Whether the store answers. Never raises."""
        ...

    async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
        """Store a new session for `ttl` milliseconds. False, with nothing changed, if the id has another value."""
        ...

    def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> Awaitable[bytes | None]:
        """Return the session's value; None if it is gone.

        Args:
            session_id: The session.
            ttl: Its new time to live in milliseconds; None leaves the time to live as it is.
            allow_cached: Whether a store may answer from its own memory a value that was true a moment ago. It may do
                so only without `ttl`.
        """
        ...

    async def update(self, session_id: str, expected: bytes, value: bytes, ttl: int, *, retry: bool = True) -> Outcome:
        """Replace the value and its time to live, if the value still is `expected`, byte for byte.

        If the value already is the new one, somebody else has written the same: that is a `CONFLICT`. It is `DONE` only
        if this very call has written before and its reply was lost, since nobody can tell then who wrote.

        Args:
            session_id: The session.
            expected: The value that was loaded.
            value: The new value.
            ttl: The new time to live in milliseconds.
            retry: Whether to write again after a lost reply; if not, a lost reply is a `StoreUnavailableError`. A
                connection that was dead before anything was written is no lost reply.
        """
        ...

    async def touch(self, session_id: str, ttl: int) -> bool:
        """Set the time to live to `ttl` milliseconds. False if the session is gone."""
        ...

    async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
        """Remove the session. False if it was gone already.

        Args:
            session_id: The session.
            wait_replicas: How many replicas must have removed it too; if fewer have, it is `StoreUnavailableError`.
        """
        ...

    async def compare_and_delete(self, session_id: str, expected: bytes) -> Outcome:
        """Remove the session, if its value still is `expected`, byte for byte: of several callers one wins."""
        ...

    async def remaining(self, session_ids: Sequence[str]) -> list[int]:
        """How many milliseconds each session has left; 0 if it is gone."""
        ...

    async def destroy_all(self, session_ids: Sequence[str]) -> list[bool]:
        """Remove many sessions; for each whether it was there."""
        ...


class UserIndexStore(Protocol):
    """Storage of each user's index of sessions. A store has these methods too if it is to serve `user_index=True`.

    Every method raises `StoreUnavailableError` if the store did not answer.
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

        Args:
            user: The user's name in the store.
            session_id: The session.
            data: What to keep of the login. If the session is there already, its data stays.
            seen: When it was last seen, in seconds since the epoch.
            ttl: The index lives for at least so many milliseconds from now.
            confirmed: Whether the session is stored. When it is confirmed it moves behind all others.
            only_if_present: Change nothing if the session is not there.
            sample: How many entries to return at random.
        """
        ...

    async def index_remove(self, user: str, session_ids: Sequence[str]) -> None:
        """Remove sessions from their user's index. It is no error if one is not there."""
        ...

    async def index_prune(self, user: str, entries: Mapping[str, Entry]) -> None:
        """Remove entries from their user's index, except those that were seen or confirmed since they were read."""
        ...

    async def index_page(self, user: str, cursor: int, limit: int) -> IndexPage:
        """About `limit` entries; the cursor of the first page is 0.

        An entry that is there from the first page to the last is on at least one of them, perhaps on two.
        """
        ...

    async def index_get(self, user: str, session_id: str) -> bytes | None:
        """What is kept of a session's login; None if the session is not in the user's index."""
        ...

    async def index_set(self, user: str, session_id: str, data: bytes) -> bool:
        """Replace what is kept of a session's login. False, and nothing is changed, if it is not in the index."""
        ...


class IndexedSessionStore(SessionStore, UserIndexStore, Protocol):
    """A store of sessions that keeps the users' indices too."""


def has_methods(store: object, contract: type) -> bool:
    """Whether the store has the methods of a protocol.

    The object is asked, not its class: a store that passes calls on by `__getattr__` has them too.

    Args:
        store: The store.
        contract: The protocol.
    """
    return all(callable(getattr(store, name, None)) for name in vars(contract) if not name.startswith("_"))


def has_user_index(store: SessionStore) -> TypeGuard[IndexedSessionStore]:
    """Whether the store has the methods of `UserIndexStore`: see `has_methods`."""
    return has_methods(store, UserIndexStore)


class TicketStore(Protocol):
    """Storage of tickets. A store has these methods too if `SessionManager.ticket()` is to work.

    Every method raises `StoreUnavailableError` if the store did not answer.
    """

    async def ticket_add(self, ticket: str, value: bytes, ttl: int) -> None:
        """Store a value for a ticket.

        Args:
            ticket: The ticket's name in the store.
            value: The value; a store does not look into it.
            ttl: How long to keep it, in milliseconds.
        """
        ...

    async def ticket_take(self, ticket: str) -> bytes | None:
        """Return a ticket's value and remove it, in one step: of several callers one gets it, and the others None."""
        ...


def has_tickets(store: object) -> TypeGuard[TicketStore]:
    """Whether the store has the methods of `TicketStore`: see `has_methods`."""
    return has_methods(store, TicketStore)


class CutoffStore(Protocol):
    """Storage of the time of `revoke_before()`. A store has these methods too if that setting is to work.

    Every method raises `StoreUnavailableError` if the store did not answer, or holds something that is no time.
    """

    async def not_before_set(self, time: float) -> float:
        """Keep a time, in seconds since the epoch, for ever, unless a later one is kept already.

        Returns:
            The time that is kept now.
        """
        ...

    async def not_before_get(self) -> float | None:
        """Return the time that is kept, in seconds since the epoch; None if there is none."""
        ...


def has_cutoff(store: object) -> TypeGuard[CutoffStore]:
    """Whether the store has the methods of `CutoffStore`: see `has_methods`."""
    return has_methods(store, CutoffStore)


class ReportsChanges(Protocol):
    """A store that learns of changes that others make to sessions, as the near cache does."""

    @property
    def listeners(self) -> set[Callable[[Sequence[str] | None], object]]:
        """Called with the ids of sessions that were written, deleted or have expired. None: any may have been."""
        ...

    def follow(self, session_id: str) -> None:
        """Report changes of this session from now on. This does no I/O; reports are lost while a server is down."""
        ...


def reports_changes(store: object) -> TypeGuard[ReportsChanges]:
    """Whether the store has the attributes of `ReportsChanges`. The object is asked, as in `has_methods`."""
    return callable(getattr(store, "follow", None)) and isinstance(getattr(store, "listeners", None), set)
