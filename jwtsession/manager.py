"""`SessionManager`: the verbs of one request's session."""

import asyncio
import contextlib
import inspect
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Generic, cast

from ._claims import inherited
from ._ids import new_session_id
from ._request import RequestSession
from ._tracebacks import scrub_traceback
from ._types import C, S
from .errors import AuthenticationError, InvalidArgumentError, SessionConflictError, SessionNotFoundError
from .models import Session, Token, take_state
from .sessions import Login, NewSession, Record, refuse_lost_changes
from .sync import SyncSessionManager
from .tokens import VerifiedToken

MUTATE_ATTEMPTS = 32
"""`mutate()` starts again at most so often because somebody else was faster."""


class SessionManager(RequestSession[S, C], Generic[S, C]):
    """The session of one request, and the verbs that change what is stored.

    One is made for each request: `Depends(sessions.get_manager)` and `request.state.<request_key>` give it.
    Reading `session` costs nothing. `update`, `reload`, `touch` and `destroy` are one round trip to the store each;
    `create` and `regenerate` are one or two, `mutate` at least two, and each has some more where an index of users is
    kept.
    """

    __slots__ = ()

    @property
    def sync(self) -> "SyncSessionManager[S, C]":
        """The same verbs for `def` endpoints and other threads: each blocks until it is done."""
        return SyncSessionManager(self, self._loop)

    @scrub_traceback
    async def create(
        self, session: S | Mapping[str, Any], claims: C | None = None, *, max_age: int | timedelta | None = None
    ) -> Token:
        """Store a new session under a new id and return its token: a login.

        A session that the request came with ends. `manager.session` is a new instance, with the state of the one that
        was given: a constant may be given to every login.

        Args:
            session: The data. A mapping is validated into the provider's model.
            claims: What the token carries besides `jti`; the codec fills in `iss`, `aud`, `iat` and `exp`.
            max_age: This session's own idle timeout, in seconds or as a `timedelta`, for as long as it lives. Up to
                the setting `max_age`, or up to `max_age_limit` where that is set.

        Raises:
            InvalidArgumentError: The session or the claims can't be stored or signed, or `max_age` is too long.
            SessionTooLargeError: The session is too large.
            StoreUnavailableError: The store did not answer. Where it fails only as the session before is to end, the
                login has succeeded, and the log says so.
        """
        data = self._repository.serializer.to_session(session)
        verified, issued = self._sign(claims, max_age)
        record = self._repository.encode(verified.session_id, data, detached=data is not self.session)
        await self._lifecycle.begin(self._new(verified, issued, record), self._verified)
        for former in (self.session, session):
            if isinstance(former, Session) and former is not record.session:
                self._remember(former)
        return self._begin(verified, issued, record)

    @scrub_traceback
    async def update(self, session: S | Mapping[str, Any] | None = None) -> S:
        """Store the changed session and start its idle timeout again.

        Args:
            session: What to store instead of what was loaded; None stores the loaded one with its changes in place.

        Returns:
            `manager.session`, the same instance as before, with the state of the one that was given.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed or has expired. It is not brought back.
            SessionConflictError: Somebody else changed it since it was loaded. Nothing is overwritten.
            InvalidArgumentError: The session does not fit its model.
            SessionTooLargeError: The session is too large.
            StoreUnavailableError: The store did not answer.
        """
        verified, old = self._require_record()
        data = self._given(session, old)
        new = self._repository.encode(verified.session_id, data, old, detached=data is not old.session)
        ttl = self._ttl(verified)
        with self._forgetting():
            await self._repository.update(verified.session_id, old, new, ttl)
        self._adopt(new, old, session)
        await self._lifecycle.note_use(verified)
        return old.session

    @scrub_traceback
    async def reload(self) -> S:
        """Load the session again, into the same instance; changes in place that were not stored are lost.

        Returns:
            `manager.session`.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed or has expired.
            SessionCorruptError: Somebody stored what can't be read.
            StoreUnavailableError: The store did not answer.
        """
        verified, old = self._require_record()
        self._adopt(await self._load(verified), old)
        return old.session

    @scrub_traceback
    async def touch(self) -> None:
        """Start the idle timeout again.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed or has expired.
            StoreUnavailableError: The store did not answer.
        """
        verified, _ = self._require_record()
        ttl = self._ttl(verified)
        with self._forgetting():
            await self._repository.touch(verified.session_id, ttl)
        await self._lifecycle.note_use(verified)

    @scrub_traceback
    async def destroy(self, *, wait_replicas: int = 0) -> None:
        """End the session: its token is worth nothing from now on, everywhere. A no-op where it is gone already.

        Args:
            wait_replicas: How many replicas must have it too, so that a failover can't bring the session back.

        Raises:
            SessionNotFoundError: The request has no genuine token, so there is nothing to end.
            StoreUnavailableError: The store did not answer, or too few replicas did in time; the session may still be
                there, or come back. To destroy again is safe.
        """
        if self._verified is None:
            raise SessionNotFoundError from self._refusal
        await self._lifecycle.end(self._verified.session_id, self._verified.sub, self._host, wait_replicas)
        self._forget(SessionNotFoundError())

    @scrub_traceback
    async def destroy_others(self) -> int:
        """End the user's other sessions; how many there were.

        Raises:
            SessionNotFoundError: There is no session.
            InvalidArgumentError: There is no `user_index`, or the token has no `sub`.
            StoreUnavailableError: The store did not answer. The error's `ended` tells how many have ended; to call it
                again goes on with the rest.
        """
        verified, _ = self._require_record()
        if self._lifecycle.has_index and not verified.sub:
            raise InvalidArgumentError("destroy_others needs a token with a sub: give create() claims that have one")
        return await self._lifecycle.end_all(verified.sub or "", verified.session_id, self._host)

    @scrub_traceback
    async def regenerate(
        self,
        session: S | Mapping[str, Any] | None = None,
        claims: C | None = None,
        *,
        max_age: int | timedelta | None = None,
    ) -> Token:
        """Move the session to a new id and end the old one: after a login or a change of privilege.

        Of two that do so at the same time one wins; the other is told that the session is gone.

        Args:
            session: What to store instead of what was loaded; None moves the loaded one with its changes in place.
            claims: The new token's claims; None keeps the old token's. Where the new ones set none, `exp` is kept, and
                so is `auth_time` for the same user. A visitor (no `sub`) who becomes a user has signed in now; a user
                who becomes another one has not, and is fresh only where the claims set `auth_time`.
            max_age: Another idle timeout, as that of `create()`; None keeps the session's own.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed, or somebody else moved it.
            SessionConflictError: Somebody else changed it since it was loaded. It stays as it is.
            InvalidArgumentError: The session or the claims can't be stored or signed.
            SessionTooLargeError: The session is too large.
            StoreUnavailableError: The store did not answer; the session may have ended.
        """
        verified, old = self._require_record()
        data = self._given(session, old)
        # Signed and encoded first: what can't be stored must not cost the session that there is.
        claims = self._inherited(verified, claims)
        # Another user's session is no sign-in of theirs: only a visitor's becomes one.
        moved, issued = self._sign(claims, max_age, sign_in=verified.sub is None)
        record = self._repository.encode(moved.session_id, data, old, detached=data is not old.session)
        with self._forgetting():
            await self._lifecycle.move(self._new(moved, issued, record), verified, old)
        token = self._begin(moved, issued, record)
        self._adopt(record, old, session)
        return token

    @scrub_traceback
    async def mutate(self, change: Callable[[S], S | Awaitable[S | None] | None]) -> S:
        """Apply a function to the freshest state and store the result; start again where somebody else was faster.

        Args:
            change: Changes the session that it is given in place, or returns another one. Called once for each attempt,
                each time with a session that was just loaded.

        Returns:
            `manager.session`, the same instance as before, which holds the result. Where `change` raises, or nothing
            could be stored, it is as it was, changes in place that were not stored included.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed or has expired.
            SessionConflictError: Somebody else was faster, time after time.
            InvalidArgumentError: The changed session does not fit its model.
            SessionTooLargeError: The changed session is too large.
            StoreUnavailableError: The store did not answer: whether the change was applied is not known.
        """
        verified, shown = self._require_record()
        for attempt in range(MUTATE_ATTEMPTS):
            # An instance of its own: what `change` has half done when it fails must not be stored by a later update().
            old = await self._load(verified)
            returned = change(old.session)
            changed = await returned if inspect.isawaitable(returned) else returned
            data = old.session if changed is None else self._repository.serializer.to_session(changed)
            own = data is old.session or data is shown.session
            new = self._repository.encode(verified.session_id, data, old, detached=not own)
            ttl = self._ttl(verified)
            try:
                with self._forgetting():
                    await self._repository.update(verified.session_id, old, new, ttl, retry=False)
            except SessionConflictError:
                await asyncio.sleep(random.uniform(0, 0.001 * 2 ** min(attempt, 6)))
                continue
            self._adopt(new, shown, changed)
            await self._lifecycle.note_use(verified)
            return shown.session
        raise SessionConflictError

    def _given(self, session: S | Mapping[str, Any] | None, old: Record[S]) -> S:
        """What a verb was given to store, or the session with its changes in place."""
        if session is not None:
            return self._repository.serializer.to_session(session)
        refuse_lost_changes(self._former, old.session, self._repository.serializer)
        return old.session

    def _adopt(self, new: Record[S], old: Record[S], given: object = None) -> None:
        """Go on with a new state in the instance that the request has: nobody is left with one that is not stored."""
        if new.session is not old.session:
            take_state(old.session, new.session)
            if isinstance(given, Session):
                self._remember(cast("S", given))
        self._record = new._replace(session=old.session)

    async def _load(self, verified: VerifiedToken) -> Record[S]:
        with self._forgetting():
            return await self._repository.load(verified)

    @contextlib.contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Go on without the session where it turns out to be gone."""
        try:
            yield
        except AuthenticationError as error:
            self._forget(error)
            raise

    def _sign(
        self, claims: C | None, max_age: int | timedelta | None, *, sign_in: bool = True
    ) -> tuple[VerifiedToken, C]:
        checked = self._repository.timeouts.checked
        signed = self._codec.encode(new_session_id(), claims, sign_in=sign_in, idle_timeout=checked(max_age))
        checked(signed[0].jwtsession_idle_timeout)
        return signed

    def _inherited(self, verified: VerifiedToken, claims: C | None) -> C:
        old = cast("C", self.claims)
        if claims is None or claims.exp in (None, old.exp):
            self._ttl(verified)  # nothing is moved into a token that has expired
        return inherited(old, claims, self._repository.timeouts.permitted(verified.jwtsession_idle_timeout))

    def _new(self, verified: VerifiedToken, issued: C, record: Record[S]) -> NewSession[S]:
        login = Login(issued.auth_time or self._repository.timeouts.now(), *self._captured)
        return NewSession(verified, record, login, self._host)

    def _begin(self, verified: VerifiedToken, issued: C, record: Record[S]) -> Token:
        """Go on with the new session, which is stored."""
        self._verified, self._own_claims, self._record, self._refusal = verified, issued, record, None
        expires_in = None if verified.exp is None else int(verified.exp) - int(self._repository.timeouts.now())
        return Token(access_token=verified.token, expires_in=expires_in)
