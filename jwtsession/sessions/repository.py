"""`SessionRepository`: loads and stores typed sessions. It knows the model, the sealer and the store, and no token."""

import asyncio
from typing import Generic, NamedTuple

from .._types import S
from ..errors import SessionConflictError, SessionNotFoundError, StoreUnavailableError
from ..stores import Outcome, SessionStore
from .encryption import Sealer
from .serialization import SessionSerializer
from .timeouts import SessionToken, Timeouts

GIVEN_UP_SECONDS = 0.5
"""A login whose client has gone away waits so long for its session to end."""


class Record(NamedTuple, Generic[S]):
    """A session as it was loaded or stored."""

    session: S
    json: bytes
    """What the session was read from, with fields that its model does not know."""
    fitting: bytes
    """The JSON that fits the model: the same, or what `migrate` made of it."""
    stored: bytes
    """What stands in the store: the JSON, or its encrypted form."""

    def __repr__(self) -> str:
        return "Record()"


class SessionRepository(Generic[S]):
    """Stores the sessions of one provider.

    Args:
        serializer: Reads and writes the JSON of the model.
        sealer: Encrypts what is stored.
        store: Keeps the bytes.
        timeouts: Tells how long a session lives.
    """

    def __init__(
        self, serializer: SessionSerializer[S], sealer: Sealer, store: SessionStore, timeouts: Timeouts
    ) -> None:
        self.serializer = serializer
        self.timeouts = timeouts
        self._sealer = sealer
        self._store = store
        self._endings: set[asyncio.Future[bool]] = set()

    async def load(self, token: SessionToken, *, allow_cached: bool = False, extend: bool = True) -> Record[S]:
        """The session. Its time to live starts again if `touch_interval` has passed.

        Args:
            token: The session's.
            allow_cached: See `SessionStore.load`.
            extend: Whether this counts as a use of the session.

        Raises:
            SessionNotFoundError: There is none.
            SessionCorruptError: It can't be read.
            StoreUnavailableError: The store did not answer.
        """
        session_id, due = token.session_id, extend and self.timeouts.is_due(token)
        ttl = self.timeouts.ttl(token) if due else 0
        stored = await self._store.load(session_id, ttl if ttl > 0 else None, allow_cached=allow_cached)
        if stored is None:
            raise SessionNotFoundError
        record = self.decode(session_id, stored)
        if due:
            self.timeouts.extended(session_id)
        return record

    def decode(self, session_id: str, stored: bytes) -> Record[S]:
        """The session that the store holds in these bytes.

        Raises:
            SessionCorruptError: It can't be read.
        """
        json = self._sealer.open(session_id, stored)
        session, fitting = self.serializer.load(json)
        return Record(session, json, fitting, stored)

    def encode(self, session_id: str, session: S, old: Record[S] | None = None, *, detached: bool = False) -> Record[S]:
        """The session in the form in which it is stored, with those fields of the old one that the model does not know.

        Args:
            session_id: The session.
            session: Its data.
            old: What was loaded.
            detached: Hold another instance: what a caller gave to a verb may be anybody's, and be used again.

        Raises:
            InvalidArgumentError: It does not fit its model.
            SessionTooLargeError: It is too large.
        """
        json = self.serializer.dump(session, *((old.json, old.fitting) if old is not None else ()))
        if detached:
            session = self.serializer.detached(session, json)
        return Record(session, json, json, self._sealer.seal(session_id, json))

    async def create(self, token: SessionToken, record: Record[S]) -> int:
        """Store a new session; the milliseconds that it lives.

        Raises:
            StoreUnavailableError: The store did not answer, or the id is taken, which no chance explains.
        """
        ttl = max(1, self.timeouts.ttl(token))
        if not await self._store.create(token.session_id, record.stored, ttl):
            raise StoreUnavailableError("session_id_taken")
        self.timeouts.extended(token.session_id)
        return ttl

    async def update(self, session_id: str, old: Record[S], new: Record[S], ttl: int, *, retry: bool = True) -> None:
        """Replace what was loaded, if nobody else did.

        Args:
            session_id: The session.
            old: What was loaded.
            new: What to store.
            ttl: Milliseconds that it lives from now.
            retry: Write again where the reply was lost.

        Raises:
            SessionNotFoundError: It was destroyed or has expired. It is not brought back.
            SessionConflictError: Somebody else changed it.
            StoreUnavailableError: The store did not answer.
        """
        _check(await self._store.update(session_id, old.stored, new.stored, ttl, retry=retry))
        self.timeouts.extended(session_id)

    async def touch(self, session_id: str, ttl: int) -> None:
        """Start the session's time to live again, in milliseconds.

        Raises:
            SessionNotFoundError: It is gone.
            StoreUnavailableError: The store did not answer.
        """
        if not await self._store.touch(session_id, ttl):
            raise SessionNotFoundError
        self.timeouts.extended(session_id)

    async def take(self, session_id: str, old: Record[S]) -> None:
        """Remove the session, if it still is what was loaded: of several callers one succeeds.

        Raises:
            SessionNotFoundError: It is gone.
            SessionConflictError: Somebody else changed it. It stays.
            StoreUnavailableError: The store did not answer.
        """
        _check(await self._store.compare_and_delete(session_id, old.stored))

    async def delete(self, session_id: str, wait_replicas: int = 0) -> bool:
        """Remove the session; False where it is gone already. See `SessionStore.destroy`."""
        return await self._store.destroy(session_id, wait_replicas)

    async def delete_soon(self, session_id: str) -> None:
        """Remove the session whatever becomes of the caller, who does not wait for it for long."""
        ending = asyncio.ensure_future(self._store.destroy(session_id))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        ending.add_done_callback(lambda task: task.cancelled() or task.exception())  # the index goes on naming it
        await asyncio.wait([ending], timeout=GIVEN_UP_SECONDS)


def _check(outcome: Outcome) -> None:
    if outcome is Outcome.GONE:
        raise SessionNotFoundError
    if outcome is Outcome.CONFLICT:
        raise SessionConflictError
