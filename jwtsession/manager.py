"""`SessionManager`: the verbs of one request's session. The only file that knows both tokens and stores."""

import asyncio
import contextlib
import inspect
import logging
import random
import secrets
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, Literal, NamedTuple, NoReturn, TypeVar, cast

from ._durations import seconds
from ._types import C, S
from .audit import AuditTrail, SessionEvent, client_address, hashed
from .encryption import Sealer
from .errors import (
    AuthenticationError,
    ExpiredTokenError,
    InvalidArgumentError,
    MissingTokenError,
    SessionConflictError,
    SessionNotFoundError,
    StoreUnavailableError,
    TooManySessionsError,
    discreet,
)
from .models import Session, Token, take_state
from .serialization import SessionSerializer
from .stores import Outcome, SessionStore
from .sync import SyncSessionManager
from .throttle import Throttle
from .tokens import TokenCodec, VerifiedToken
from .users import Login, UserIndex

T = TypeVar("T")

MUTATE_ATTEMPTS = 32
"""How often `mutate()` starts again because somebody else was faster."""

GIVEN_UP_SECONDS = 0.5
"""For which a login whose client has gone away waits until its session has ended."""


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


class Sessions(Generic[S, C]):
    """What all managers of one provider share: the codec, the store, the model and the times.

    Args:
        serializer: Reads and writes the JSON of the model.
        sealer: Encrypts what is stored.
        audit: Is told what happens.
        index: Of each user's sessions, where one is kept.
        max_age: Idle timeout in seconds of a session that has none of its own.
        max_age_limit: The longest idle timeout in seconds that a session may have of its own.
        touch_interval: Seconds between two extensions of a session's time to live by reads.
        clock: The time in seconds since the epoch.
    """

    def __init__(
        self,
        serializer: SessionSerializer[S],
        codec: TokenCodec[C],
        store: SessionStore,
        *,
        sealer: Sealer,
        audit: AuditTrail,
        index: UserIndex | None,
        max_age: int,
        max_age_limit: int,
        touch_interval: int,
        clock: Callable[[], float],
    ) -> None:
        self.serializer = serializer
        self.codec = codec
        self.store = store
        self.audit = audit
        self.index = index
        self._sealer = sealer
        self._max_age = max_age
        self._max_age_limit = max_age_limit
        # A quarter, so that a session that is read now and then does not end between two extensions.
        self.touches = Throttle(min(touch_interval, max_age / 4), clock)
        self._clock = clock
        self._warned = False
        self._endings: set[asyncio.Future[bool]] = set()

    async def read(
        self,
        session_id: str,
        exp: float | None,
        idle_timeout: int | None,
        *,
        allow_cached: bool = False,
        extend: bool = True,
    ) -> Record[S]:
        """The session, its time to live extended if `touch_interval` has passed.

        Args:
            session_id: The session.
            exp: When its token expires, in seconds since the epoch.
            idle_timeout: Seconds of the session's own idle timeout.
            allow_cached: See `SessionStore.load`.
            extend: Whether this use starts the time to live again.

        Raises:
            SessionNotFoundError: There is none.
            SessionCorruptError: It can't be read.
            StoreUnavailableError: The store did not answer.
        """
        due = extend and self.due(session_id, idle_timeout)
        ttl = self.ttl(exp, idle_timeout) if due else 0
        stored = await self.store.load(session_id, ttl if ttl > 0 else None, allow_cached=allow_cached)
        if stored is None:
            raise SessionNotFoundError
        record = self.record(session_id, stored)
        if due:
            self.touches.done(session_id)
        return record

    def record(self, session_id: str, stored: bytes) -> Record[S]:
        """The session that stands in the store.

        Raises:
            SessionCorruptError: It can't be read.
        """
        json = self._sealer.unseal(session_id, stored)
        session, fitting = self.serializer.load(json)
        return Record(session, json, fitting, stored)

    def new_record(
        self, session_id: str, session: S, old: Record[S] | None = None, *, detached: bool = False
    ) -> Record[S]:
        """The session in the form in which it is stored, with the unknown fields of the old one.

        With `detached` the record holds another instance: what was given to a verb may be anybody's, and be used again.

        Raises:
            InvalidArgumentError: It does not fit its model.
            SessionTooLargeError: It is too large.
        """
        json = self.serializer.dump(session, *((old.json, old.fitting) if old is not None else ()))
        if detached:
            session = self.serializer.detached(session, json)
        return Record(session, json, json, self._sealer.seal(session_id, json))

    def note_login_without_sub(self) -> None:
        """Warn, once, where an index is kept that can't have this session."""
        if self.index is not None and not self._warned:
            self._warned = True
            self.audit.log(
                logging.WARNING,
                "user_index: a session was created without a `sub`, so that list_sessions, revoke_all and max_sessions "
                "don't know it: pass the user to create(), as Claims(sub=...)",
            )

    async def end_later(self, session_id: str) -> None:
        """End a session whatever becomes of the caller, who does not wait for it for long."""
        ending = asyncio.ensure_future(self.store.destroy(session_id))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        ending.add_done_callback(lambda task: task.cancelled() or task.exception())  # the index goes on naming it
        await asyncio.wait([ending], timeout=GIVEN_UP_SECONDS)

    def now(self) -> float:
        """The time in seconds since the epoch."""
        return self._clock()

    def due(self, session_id: str, idle_timeout: int | None) -> bool:
        """Whether it is time to extend the session's time to live."""
        return self.touches.due(session_id, None if idle_timeout is None else idle_timeout / 4)

    def ttl(self, exp: float | None, idle_timeout: int | None) -> int:
        """Milliseconds that the session may live from now: its idle timeout, but never beyond the token's `exp`."""
        permitted = self.permitted(idle_timeout)
        seconds: float = self._max_age if permitted is None else permitted
        if exp is not None:
            seconds = min(seconds, exp - self._clock())
        return int(seconds * 1000)

    def permitted(self, idle_timeout: int | None) -> int | None:
        """A session's own idle timeout: the limit may have been lowered since its token was issued."""
        return None if idle_timeout is None else min(idle_timeout, self._max_age_limit)

    def check_idle_timeout(self, max_age: int | timedelta | None) -> int | None:
        """An idle timeout of one session, in seconds.

        Raises:
            InvalidArgumentError: It is no whole number of seconds, or more than the limit.
        """
        with contextlib.suppress(ValueError):
            given = seconds(max_age)
            if given is None or (type(given) is int and 1 <= given <= self._max_age_limit):
                return given
        raise InvalidArgumentError(
            f"max_age: give whole seconds, or a timedelta of them, from 1 to {self._max_age_limit}:"
            " the setting max_age_limit permits more"
        )


class SessionManager(Generic[S, C]):
    """The session of one request, and the verbs that change what is stored.

    One is made for each request; `Depends(sessions.get_manager)` and `request.state.<request_key>` give it.
    Reading `session` costs nothing; each verb is a round trip to the store.
    """

    __slots__ = (
        "__weakref__",
        "_captured",
        "_client",
        "_extended",
        "_former",
        "_loop",
        "_own_claims",
        "_record",
        "_refusal",
        "_sessions",
        "_token",
        "_token_id",
        "_verified",
    )

    def __init__(
        self,
        sessions: Sessions[S, C],
        client: str | None = None,
        captured: tuple[str | None, str | None] = (None, None),
    ) -> None:
        self._sessions = sessions
        self._client = client
        self._captured = captured
        self._loop = asyncio.get_running_loop()
        self._token_id: str | None = None  # of a genuine token, also where its session is gone
        self._record: Record[S] | None = None
        self._extended = True
        # Sessions of this request that are not its. Weakly: nobody can change one that nobody has.
        self._former: tuple[tuple[weakref.ref[S], dict[str, Any]], ...] = ()
        self._verified: VerifiedToken | None = None
        self._own_claims: C | None = None
        self._token: str | None = None
        self._refusal: AuthenticationError | None = None

    def __repr__(self) -> str:
        return f"SessionManager({'session' if self._record is not None else 'no session'})"

    @property
    def id(self) -> str | None:
        """The session's id, or None where there is no session."""
        return self._token_id if self._record is not None else None

    @property
    def session(self) -> S | None:
        """The session's data, or None where there is no session. Changes in place are stored by `update()`."""
        return self._record.session if self._record is not None else None

    @property
    def claims(self) -> C | None:
        """The claims of the request's token, or of the one just created; None where there is no session."""
        return self._claims if self._record is not None else None

    @property
    def token(self) -> str | None:
        """The JWT itself, or None where there is no session."""
        return self._token if self._record is not None else None

    @property
    def created(self) -> float | None:
        """When the user logged in, in seconds since the epoch; None where there is no session.

        The token's `auth_time`, which `regenerate()` keeps. Where it has none (a visitor's, another user's), its `iat`:
        when the session was created, or last regenerated.
        """
        if self._record is None or (held := self._held) is None:
            return None
        return held.iat if held.auth_time is None else held.auth_time

    @property
    def sync(self) -> "SyncSessionManager[S, C]":
        """The same verbs for `def` endpoints and other threads: each blocks until it is done."""
        return SyncSessionManager(self, self._loop)

    async def authenticate(self, token: object, extend: bool | Callable[[C], bool] = True) -> None:
        """Load the session that a token proves. The provider calls this once for each request.

        A token that proves nothing leaves the manager without a session; `require()` tells why.

        Args:
            token: What the request has in the token's place.
            extend: Whether this counts as a use of the session, which starts its idle timeout again; or the question,
                by the token's claims.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        try:
            verified = self._sessions.codec.verify(token)
            # From here on the token is genuine: it may destroy the session even where it can't be read.
            self._token_id = verified.session_id
            if not isinstance(extend, bool):
                extend = extend(self._sessions.codec.claims(verified))
            self._record = await self._sessions.read(
                verified.session_id, verified.exp, verified.jwtsession_idle_timeout, allow_cached=True, extend=extend
            )
        except AuthenticationError as error:
            self.refuse(error)
            return
        self._verified, self._token = verified, verified.token
        self._extended = extend
        if extend and self._sessions.index is not None:
            await self._seen()

    async def extend(self) -> None:
        """Count the request as a use of the session after all, where `authenticate` did not.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        if self._extended or self._record is None or self._token_id is None:
            return
        self._extended = True
        if self._sessions.due(self._token_id, self._life[1]):
            with contextlib.suppress(AuthenticationError):  # `require()` tells
                await self.touch()
        else:
            await self._seen()

    def refuse(self, error: AuthenticationError) -> None:
        """Remember why there is no session. No token at all is an event only where one is required."""
        # Without the frames that raised it: they hold the token, and this manager in a cycle.
        error.__context__ = None
        self._refusal = error.with_traceback(None)
        if not isinstance(error, MissingTokenError):
            self.tell_refused(error.code)

    def tell_refused(self, code: str) -> None:
        """Tell that the request was refused, with or without a session."""
        self._tell("refused", self._token_id, code)

    def require(self) -> S:
        """The session.

        Raises:
            AuthenticationError: There is none; its class and `code` tell why.
        """
        if self._record is None:
            self._refuse()
        return self._record.session

    def require_token(self) -> None:
        """Refuse a request that proves nothing. A session that is gone, or can't be read, is no reason to.

        Raises:
            AuthenticationError: It has no genuine token; class and `code` tell why.
        """
        if self._token_id is None:
            self._refuse()

    def _refuse(self) -> NoReturn:
        if isinstance(self._refusal, MissingTokenError):
            self.tell_refused(self._refusal.code)
        raise self._refusal or SessionNotFoundError()

    @discreet
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
        old, old_sub = self._token_id, self._sub()
        data = self._sessions.serializer.to_session(session)
        new_id, token, issued = self._sign(claims, max_age)
        if issued.sub is None:
            self._sessions.note_login_without_sub()
        new = self._sessions.new_record(new_id, data, detached=data is not self.session)
        async with self._unless_given_up(new_id, issued):
            await self._index_add(new_id, issued)
            evicted = await self._save_new(new_id, issued, new)
            self._become(new_id, token, issued)
            for former in (self.session, session):
                if isinstance(former, Session) and former is not new.session:
                    self._note(former)
            self._record = new
            self._tell("created", new_id)
            self._tell_destroyed(evicted or ())
            if old is not None:
                with self._afterwards():
                    if await self._sessions.store.destroy(old):
                        self._tell("destroyed", old)
                        await self._index_remove(old_sub, old)
        return self._answer(token, issued)

    @discreet
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
        session_id, old = self._present()
        data = self._given(session, old)
        new = self._sessions.new_record(session_id, data, old, detached=data is not old.session)
        self._check(await self._sessions.store.update(session_id, old.stored, new.stored, self._ttl()))
        self._adopt(new, old, session)
        self._sessions.touches.done(session_id)
        await self._seen()
        return old.session

    @discreet
    async def reload(self) -> S:
        """Load the session again, into the same instance; changes in place that were not stored are lost.

        Returns:
            `manager.session`.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed or has expired.
            SessionCorruptError: Somebody stored what can't be read.
            StoreUnavailableError: The store did not answer.
        """
        session_id, old = self._present()
        self._adopt(await self._read(session_id), old)
        return old.session

    @discreet
    async def touch(self) -> None:
        """Start the idle timeout again.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed or has expired.
            StoreUnavailableError: The store did not answer.
        """
        session_id, _ = self._present()
        if not await self._sessions.store.touch(session_id, self._ttl()):
            self._check(Outcome.GONE)
        self._sessions.touches.done(session_id)
        await self._seen()

    @discreet
    async def destroy(self, *, wait_replicas: int = 0) -> None:
        """End the session: its token is worth nothing from now on, everywhere. A no-op where it is gone already.

        Args:
            wait_replicas: How many replicas must have it too, so that a failover can't bring the session back.

        Raises:
            SessionNotFoundError: The request has no genuine token, so there is nothing to end.
            StoreUnavailableError: The store did not answer, or too few replicas did in time; the session may still be
                there, or come back. To destroy again is safe.
        """
        if self._token_id is None:
            raise SessionNotFoundError from self._refusal
        if await self._sessions.store.destroy(self._token_id, wait_replicas):
            self._tell("destroyed", self._token_id)
        await self._index_remove(self._sub(), self._token_id)
        self._forget(SessionNotFoundError())

    @discreet
    async def destroy_others(self) -> int:
        """End the user's other sessions; how many there were.

        Raises:
            SessionNotFoundError: There is no session.
            InvalidArgumentError: There is no `user_index`, or the token has no `sub`.
            StoreUnavailableError: The store did not answer. The error's `ended` tells how many have ended; to call it
                again goes on with the rest.
        """
        session_id, _ = self._present()
        sub = self._sub()
        if self._sessions.index is None:
            raise InvalidArgumentError("destroy_others needs user_index=True")
        if not sub:
            raise InvalidArgumentError("destroy_others needs a token with a sub: give create() claims that have one")
        return await self._sessions.index.revoke_all(sub, session_id, lambda each: self._tell("destroyed", each))

    @discreet
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
        session_id, old = self._present()
        data = self._given(session, old)
        # Signed and encoded first: what can't be stored must not cost the session that there is.
        claims = self._inherited(claims)
        old_sub = self._sub()
        # Another user's session is no sign-in of theirs: only a visitor's becomes one.
        new_id, token, issued = self._sign(claims, max_age, sign_in=old_sub is None)
        new = self._sessions.new_record(new_id, data, old, detached=data is not old.session)
        moved = issued.sub == old_sub
        async with self._unless_given_up(new_id, issued):
            await self._index_add(new_id, issued)
            if not moved:
                await self._check_limit(new_id, issued)  # before there is nothing to go back to
            outcome = await self._sessions.store.compare_and_delete(session_id, old.stored)
            if outcome is not Outcome.DONE:
                await self._index_remove(issued.sub, new_id)
            self._check(outcome)
            evicted = await self._save_new(new_id, issued, new, moved=moved)
            if evicted is None:
                # All of the user's sessions were ended meanwhile: this one too, which had no id just then.
                await self._sessions.store.destroy(new_id)
                self._tell("destroyed", session_id)
                self._check(Outcome.GONE)
            self._become(new_id, token, issued)
            self._adopt(new, old, session)
            self._tell("regenerated", session_id, hashed(new_id))
            self._tell_destroyed(evicted or ())
            with self._afterwards():
                await self._index_remove(old_sub, session_id)
        return self._answer(token, issued)

    @discreet
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
        session_id, shown = self._present()
        store = self._sessions.store
        for attempt in range(MUTATE_ATTEMPTS):
            # An instance of its own: what `change` has half done when it fails must not be stored by a later update().
            old = await self._read(session_id)
            returned = change(old.session)
            changed = await returned if inspect.isawaitable(returned) else returned
            data = old.session if changed is None else self._sessions.serializer.to_session(changed)
            own = data is old.session or data is shown.session
            new = self._sessions.new_record(session_id, data, old, detached=not own)
            outcome = await store.update(session_id, old.stored, new.stored, self._ttl(), retry=False)
            if outcome in (Outcome.DONE, Outcome.GONE):
                self._check(outcome)
                self._adopt(new, shown, changed)
                self._sessions.touches.done(session_id)
                await self._seen()
                return shown.session
            await asyncio.sleep(random.uniform(0, 0.001 * 2 ** min(attempt, 6)))
        raise SessionConflictError

    def _present(self) -> tuple[str, Record[S]]:
        if self._record is None or self._token_id is None:
            raise SessionNotFoundError from self._refusal
        return self._token_id, self._record

    def _given(self, session: S | Mapping[str, Any] | None, old: Record[S]) -> S:
        """What a verb was given to store, or the session with its changes in place."""
        if session is not None:
            return self._sessions.serializer.to_session(session)
        for reference, held in self._former:
            former = reference()
            if former is not None and self._sessions.serializer.changed_since(held, former, old.session):
                raise InvalidArgumentError(
                    "a session was changed after it had ended or had been given to a verb, and this would be lost: "
                    "change manager.session"
                )
        return old.session

    def _adopt(self, new: Record[S], old: Record[S], given: object = None) -> None:
        """Go on with a new state in the instance that the request has: nobody is left with one that is not stored."""
        if new.session is not old.session:
            take_state(old.session, new.session)
            if isinstance(given, Session):
                self._note(cast("S", given))
        self._record = new._replace(session=old.session)

    def _note(self, session: S) -> None:
        """Remember a session that is not the manager's, or no longer, so that no change to it is lost in silence."""
        others = (each for each in self._former if (one := each[0]()) is not None and one is not session)
        self._former = (*others, (weakref.ref(session), self._sessions.serializer.snapshot(session)))

    async def _read(self, session_id: str) -> Record[S]:
        try:
            return await self._sessions.read(session_id, *self._life)
        except AuthenticationError as error:
            self._forget(error)
            raise

    def _inherited(self, claims: C | None) -> C:
        """The new token's claims: its absolute timeout and the time of its login are the old token's."""
        old = cast("C", self._claims)
        claims = old if claims is None else claims
        if not isinstance(claims, type(old)):
            raise InvalidArgumentError(f"expected {type(old).__name__}, got {type(claims).__name__}")
        kept: dict[str, Any] = {}
        if claims.exp is None or claims.exp == old.exp:
            self._ttl()  # nothing is moved into a token that has expired
            kept["exp"] = old.exp
        if claims.jwtsession_idle_timeout in (None, old.jwtsession_idle_timeout):
            kept["jwtsession_idle_timeout"] = self._sessions.permitted(old.jwtsession_idle_timeout)
        if claims.jti == self._token_id:
            # The claims that were read, handed back: those of the old token alone become new.
            kept |= {"jti": None, "iat": None}
            if claims.sub != old.sub and claims.auth_time == old.auth_time:
                kept["auth_time"] = None  # another user's sign-in
        if claims.auth_time is None and claims.sub == old.sub:
            kept["auth_time"] = old.auth_time
        return claims.model_copy(update=kept)

    @property
    def _life(self) -> tuple[float | None, int | None]:
        """The session's `exp` and idle timeout."""
        held = self._held
        return (None, None) if held is None else (held.exp, held.jwtsession_idle_timeout)

    @property
    def _held(self) -> VerifiedToken | C | None:
        """The claims of the session's token that say when: the others need not be made for them."""
        return self._own_claims if self._verified is None else self._verified

    def _ttl(self) -> int:
        ttl = self._sessions.ttl(*self._life)
        if ttl <= 0:
            raise ExpiredTokenError
        return ttl

    def _check(self, outcome: Outcome) -> None:
        if outcome is Outcome.GONE:
            error = SessionNotFoundError()
            self._forget(error)
            raise error
        if outcome is Outcome.CONFLICT:
            raise SessionConflictError

    def _forget(self, error: AuthenticationError) -> None:
        if self._record is not None:
            self._note(self._record.session)
        self._record = self._verified = self._own_claims = self._token = None
        self._refusal = error

    def _sign(self, claims: C | None, max_age: int | timedelta | None, *, sign_in: bool = True) -> tuple[str, str, C]:
        new_id, idle = secrets.token_urlsafe(32), self._sessions.check_idle_timeout(max_age)
        verified, issued = self._sessions.codec.encode(new_id, claims, sign_in=sign_in, idle_timeout=idle)
        self._sessions.check_idle_timeout(issued.jwtsession_idle_timeout)
        return new_id, verified.token, issued

    def _sub(self) -> str | None:
        return self._claims.sub if self._claims is not None else None

    async def _index_add(self, session_id: str, claims: C) -> None:
        """Into the user's index, before the session is stored."""
        index = self._sessions.index
        if index is not None and claims.sub:
            ttl = self._sessions.ttl(claims.exp, claims.jwtsession_idle_timeout)
            await index.enter(claims.sub, session_id, self._login(claims), ttl)

    async def _check_limit(self, session_id: str, claims: C) -> None:
        if self._sessions.index is not None and claims.sub:
            await self._sessions.index.check_limit(claims.sub, session_id, self._token_id)

    async def _index_remove(self, sub: str | None, session_id: str) -> None:
        if self._sessions.index is not None and sub:
            await self._sessions.index.leave(sub, session_id)

    def _login(self, claims: C) -> Login:
        return Login(claims.auth_time or self._sessions.now(), *self._captured)

    @contextlib.asynccontextmanager
    async def _unless_given_up(self, session_id: str, claims: C) -> AsyncIterator[None]:
        """A login that is refused or fails, or whose client goes away, leaves no session: nobody gets its token.

        In a user's index it would count as one, and lock the user out.
        """
        try:
            try:
                yield
            except TooManySessionsError as error:
                # In this order: a crash in between leaves an entry without a session, never one without an entry.
                await self._sessions.store.destroy(session_id)
                await self._index_remove(claims.sub, session_id)
                self.tell_refused(error.code)
                raise
        except (asyncio.CancelledError, StoreUnavailableError) as error:
            # Its entry stays until it is read: who has no session there does not count.
            if self._sessions.index is not None and claims.sub and getattr(error, "code", "") != "session_id_taken":
                await self._sessions.end_later(session_id)
            raise

    @contextlib.contextmanager
    def _afterwards(self) -> Iterator[None]:
        """What follows a login that has succeeded: where the store does not answer just then, it has all the same."""
        try:
            yield
        except StoreUnavailableError:
            self._sessions.audit.log(
                logging.WARNING,
                "the store failed after a login had succeeded: the session before it may not have ended",
            )

    @property
    def _claims(self) -> C | None:
        """Made when somebody asks: many endpoints never do."""
        if self._own_claims is None and self._verified is not None:
            self._own_claims = self._sessions.codec.claims(self._verified)
        return self._own_claims

    async def _seen(self) -> None:
        index, session_id = self._sessions.index, self._token_id
        if index is None or session_id is None or not index.is_due(session_id):
            return
        claims = self._claims
        if claims is not None and claims.sub:
            login = Login(claims.auth_time or claims.iat or self._sessions.now())
            ttl = self._sessions.ttl(claims.exp, claims.jwtsession_idle_timeout)
            await index.seen(claims.sub, session_id, login, ttl)

    async def _save_new(
        self, new_id: str, issued: C, record: Record[S], *, moved: bool = False
    ) -> Sequence[str] | None:
        """Under the new id; the sessions that were ended for it. None: it was `moved`, and somebody ended it meanwhile.

        Raises:
            TooManySessionsError: It is one too many of the user's. It is stored, and to be ended.
        """
        ttl = max(1, self._sessions.ttl(issued.exp, issued.jwtsession_idle_timeout))
        if not await self._sessions.store.create(new_id, record.stored, ttl):
            # 256 random bits are taken: not by chance.
            raise StoreUnavailableError("session_id_taken")
        index = self._sessions.index
        if index is None or not issued.sub:
            return ()
        # Confirmed: whoever ended all of the user's sessions meanwhile did not find this one. A login goes on all the
        # same, and is in the index; what is an old session under a new id does not escape.
        login = self._login(issued)
        return await index.confirm(issued.sub, new_id, login, ttl, moved=moved, replaced=self._token_id)

    def _become(self, new_id: str, token: str, issued: C) -> None:
        self._token_id, self._token, self._own_claims, self._refusal = new_id, token, issued, None
        self._verified = None
        self._sessions.touches.done(new_id)

    def _tell_destroyed(self, session_ids: Sequence[str]) -> None:
        for each in session_ids:
            self._tell("destroyed", each)

    def _tell(
        self,
        name: Literal["created", "regenerated", "destroyed", "refused"],
        session_id: str | None,
        code: str | None = None,
    ) -> None:
        session = None if session_id is None else hashed(session_id)
        self._sessions.audit.tell(SessionEvent(name, session, code, client_address(self._client)))

    def _answer(self, token: str, issued: C) -> Token:
        expires_in = None if issued.exp is None else int(issued.exp) - int(self._sessions.now())
        return Token(access_token=token, expires_in=expires_in)
