"""`SessionRepository`: loads and stores typed sessions. It knows the model, the sealer and the store, but no JWT."""

import asyncio
from typing import Generic, NamedTuple, Protocol

from .._types import S
from ..errors import SessionConflictError, SessionNotFoundError, StoreUnavailableError
from ..stores import Outcome, SessionStore
from .cutoff import Cutoff
from .encryption import Sealer
from .forwards import Forwards
from .rotation import Rotation
from .serialization import SessionSerializer
from .tickets import Tickets
from .timeouts import SessionToken, Timeouts

GIVEN_UP_SECONDS = 0.5
"""How long a login whose client has gone away waits for the removal of its session."""


class Record(NamedTuple, Generic[S]):
    """A session as it was loaded or stored."""

    session: S
    json: bytes
    """The session's JSON, with the fields that its model does not know."""
    fitting: bytes
    """JSON that fits the model: the same as `json`, or the result of `migrate`."""
    stored: bytes
    """The bytes in the store: `json`, or its encrypted form."""

    def __repr__(self) -> str:
        return "Record()"


class LoadCheck(Protocol):
    """Asks the store about a request's token, in the round trip that loads the session."""

    async def load(self, session_id: str, ttl: int | None) -> bytes | None:
        """Return the session's value, as `SessionStore.load` does without `allow_cached`.

        Raises:
            AuthenticationError: The token must not be used. Its session may live.
            StoreUnavailableError: The store did not answer.
        """
        ...


class SessionRepository(Generic[S]):
    """Stores the sessions of one provider.

    Args:
        serializer: Reads and writes the JSON of the model.
        sealer: Encrypts what is stored.
        store: Stores the bytes.
        timeouts: Computes how long a session lives.
        cutoff: Refuses old tokens of all users; None if the setting `revoke_before` is off.
        rotation: Replaces the sessions' tokens; None if none is replaced.
    """

    def __init__(
        self,
        serializer: SessionSerializer[S],
        sealer: Sealer,
        store: SessionStore,
        timeouts: Timeouts,
        cutoff: Cutoff | None = None,
        rotation: Rotation | None = None,
    ) -> None:
        self.serializer = serializer
        self.timeouts = timeouts
        self.cutoff = cutoff
        """Refuses old tokens of all users; None if the setting `revoke_before` is off."""
        self._sealer = sealer
        self._store = store
        self.tickets = Tickets(store, sealer)
        """The tickets of the provider's sessions."""
        self.rotation = rotation
        """The rotation of the sessions' tokens; None if none is replaced."""
        self.forwards = Forwards(store, sealer, timeouts.now)
        """Where the provider's sessions have moved to."""
        self._endings: set[asyncio.Future[bool]] = set()

    async def load(
        self, token: SessionToken, *, allow_cached: bool = False, extend: bool = True, check: LoadCheck | None = None
    ) -> Record[S]:
        """Load a session. This restarts its time to live if `touch_interval` has passed since the last restart.

        Args:
            token: The session's token.
            allow_cached: See `SessionStore.load`.
            extend: Whether this counts as a use of the session.
            check: What else to ask the store about the token, in the same round trip.

        Raises:
            InvalidTokenError: The token was issued up to the time of `revoke_before()`.
            SessionNotFoundError: There is no such session, or the check refuses the token.
            SessionCorruptError: The stored value can't be read.
            StoreUnavailableError: The store did not answer.
        """
        session_id, due = token.session_id, extend and self.timeouts.is_due(token)
        ttl = self.timeouts.ttl(token) if due else 0
        # Before the load: where many requests load at the same time, the two share a round trip.
        reading = None if self.cutoff is None else self.cutoff.begin(token)
        if check is None:
            stored = await self._store.load(session_id, ttl if ttl > 0 else None, allow_cached=allow_cached)
        else:
            stored = await check.load(session_id, ttl if ttl > 0 else None)
        if self.cutoff is not None and reading is not None:
            await self.cutoff.finish(token, reading)
        if stored is None:
            raise SessionNotFoundError
        record = self.decode(session_id, stored)
        if due:
            self.timeouts.extended(session_id)
        return record

    async def confirm(self, token: SessionToken) -> None:
        """Ask the store, if the setting `revoke_before` is on, whether a token may still be replaced by a new one.

        The new token must be signed before this call, and must not be given away before it returns: see
        `Cutoff.confirm`.

        Raises:
            InvalidTokenError: The token was issued up to the time of `revoke_before()`.
            StoreUnavailableError: The store did not answer.
        """
        if self.cutoff is not None:
            await self.cutoff.confirm(token)

    def decode(self, session_id: str, stored: bytes) -> Record[S]:
        """Decode the bytes that the store holds for a session.

        Raises:
            SessionCorruptError: They can't be read.
        """
        json = self._sealer.open(session_id, stored)
        session, fitting = self.serializer.load(json)
        return Record(session, json, fitting, stored)

    def encode(self, session_id: str, session: S, old: Record[S] | None = None, *, detached: bool = False) -> Record[S]:
        """Encode a session for the store, together with the loaded session's fields that the model does not know.

        Args:
            session_id: The session.
            session: The session's data.
            old: The session as it was loaded; None for a new session.
            detached: Put a copy into the record, because the caller's own instance may be used again elsewhere.

        Raises:
            InvalidArgumentError: The session does not fit its model.
            SessionTooLargeError: The session's JSON is larger than `MAX_SESSION_BYTES`.
        """
        json = self.serializer.dump(session, *((old.json, old.fitting) if old is not None else ()))
        if detached:
            session = self.serializer.detached(session, json)
        return Record(session, json, json, self._sealer.seal(session_id, json))

    async def create(self, token: SessionToken, record: Record[S]) -> int:
        """Store a new session.

        Returns:
            The session's time to live in milliseconds.

        Raises:
            StoreUnavailableError: The store did not answer, or another session has the id already, which can't happen
                by chance.
        """
        ttl = max(1, self.timeouts.ttl(token))
        if not await self._store.create(token.session_id, record.stored, ttl):
            raise StoreUnavailableError("session_id_taken")
        self.timeouts.extended(token.session_id)
        return ttl

    async def update(self, session_id: str, old: Record[S], new: Record[S], ttl: int, *, retry: bool = True) -> None:
        """Replace the loaded session, if nobody else has changed it.

        Args:
            session_id: The session.
            old: The session as it was loaded.
            new: The session to store.
            ttl: The session's new time to live in milliseconds.
            retry: Whether the store writes again if the reply was lost.

        Raises:
            SessionNotFoundError: The session was destroyed or has expired. It is not brought back.
            SessionConflictError: Another request changed the session.
            StoreUnavailableError: The store did not answer.
        """
        _check(await self._store.update(session_id, old.stored, new.stored, ttl, retry=retry))
        self.timeouts.extended(session_id)

    async def touch(self, session_id: str, ttl: int) -> None:
        """Restart the session's time to live.

        Args:
            session_id: The session.
            ttl: The new time to live in milliseconds.

        Raises:
            SessionNotFoundError: The session is gone.
            StoreUnavailableError: The store did not answer.
        """
        if not await self._store.touch(session_id, ttl):
            raise SessionNotFoundError
        self.timeouts.extended(session_id)

    async def take(self, session_id: str, old: Record[S]) -> None:
        """Remove the session, if nobody has changed it since it was loaded. Of several callers one succeeds.

        Raises:
            SessionNotFoundError: The session is gone.
            SessionConflictError: Another request changed the session. It stays.
            StoreUnavailableError: The store did not answer.
        """
        _check(await self._store.compare_and_delete(session_id, old.stored))

    async def delete(self, session_id: str, wait_replicas: int = 0) -> bool:
        """Remove the session. Return False if it was already gone. See `SessionStore.destroy`."""
        return await self._store.destroy(session_id, wait_replicas)

    async def delete_soon(self, session_id: str) -> None:
        """Remove the session in a task of its own, which goes on if the caller is cancelled.

        The caller waits for at most `GIVEN_UP_SECONDS`.
        """
        ending = asyncio.ensure_future(self._store.destroy(session_id))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        # `task.exception()` marks a failure as seen. The index still names the session then.
        ending.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait([ending], timeout=GIVEN_UP_SECONDS)


def _check(outcome: Outcome) -> None:
    if outcome is Outcome.GONE:
        raise SessionNotFoundError
    if outcome is Outcome.CONFLICT:
        raise SessionConflictError
