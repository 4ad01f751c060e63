"""`LoginSession`: the methods that begin, move and end one request's session."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Generic, cast

from .._tracebacks import scrub_traceback
from .._types import C, S, Transport
from ..errors import ImpersonationError, InvalidArgumentError, SessionNotFoundError
from ..models import Session, Token, take_state
from ..observability import EventReason
from ..sessions import Record, refuse_lost_changes
from ..tokens import VerifiedToken
from .editing import note_verb
from .merging import Merge, MergingSession
from .request import emit_refused


class LoginSession(MergingSession[S, C], Generic[S, C]):
    """The session of one request, and the methods that begin, move and end it."""

    __slots__ = ()

    @scrub_traceback
    async def create(
        self,
        session: S | Mapping[str, Any],
        claims: C | None = None,
        *,
        merge: Merge[S] | None = None,
        max_age: int | timedelta | None = None,
        transport: Transport | None = None,
        persistent: bool | None = None,
        allow_cross_site: bool = False,
    ) -> Token:
        """Store a new session under a new id and return its token: a login.

        The session that the request came with, if any, ends. `manager.session` becomes a new instance with a copy of
        the data, so the same object may be given to every login.

        Args:
            session: The data. A mapping is validated into the provider's model.
            claims: The token's other claims. `create` sets `jti`, and fills in `iss`, `aud`, `iat` and `exp`.
            merge: A function that gets the data of the session that the request came with, and the new session's. It
                changes the new one in place, or returns the data to store. It may be a coroutine function. It is not
                called if the request has no session. If another request changes the old session meanwhile, it is
                called again, with new instances. Of several logins at the same time one gets the data. If it raises,
                nothing has happened to either session.
            max_age: This session's own idle timeout, in seconds or as a `timedelta`, for its whole life: at most the
                setting `max_age_limit`, or `max_age` if that is not set. None: the setting `max_age`.
            transport: `cookie` puts the token into the cookie, `bearer` into the returned `Token`. None: as the client
                asks by its header `Session-Transport`, or else the first of `token_sources`. A token that is bound to
                a key (DPoP) is never in the cookie: `cookie` gives one that is not bound, None one that is.
            persistent: Whether the cookie outlives the browser's session ("remember me"). None: `cookie.persistent`.
            allow_cross_site: Whether to set the cookie if another site made the request: for the callback of another
                site's login, which checks its own `state`.

        Returns:
            The token. Its `access_token` is empty, and not in the answer, if the token is in the cookie.

        Raises:
            CSRFError: The token would be in a cookie, and another site may have made the request.
            InvalidProofError: The request's proof (DPoP) is wrong or was used, or it is required and not there.
            ConfigurationError: The token would be in a cookie, and nothing puts it on the answer.
            InvalidArgumentError: The session, the claims, `max_age` or the cookie can't be stored, signed or set.
            SessionTooLargeError: The session is larger than 65,536 bytes.
            SessionConflictError: With `merge`: other requests changed the old session during each of 32 attempts. It
                goes on.
            TooManySessionsError: The user has `max_sessions` sessions already, and `too_many_sessions` is `refuse`. The
                session that the request came with goes on.
            StoreUnavailableError: The store did not answer. If it fails only when the old session shall end, `create`
                succeeds and the log tells of the failure.
        """
        if merge is not None and not callable(merge):
            raise InvalidArgumentError("merge: must be a function of the old and the new session")
        key, by_cookie = self._choose(transport, persistent, allow_cross_site)
        data = self._repository.serializer.to_session(session)
        verified, issued = self._sign(claims, max_age, persistent=persistent if by_cookie else None, key=key)
        cookie = self._cookie(verified, issued) if by_cookie else None
        record = self._repository.encode(verified.session_id, data, detached=data is not self.session)
        if self._possession is not None:
            await self._use_proof(self._possession)
        new = self._new(verified, issued, record)
        if merge is None or self._record is None:
            await self._lifecycle.begin(new, self._verified)
        else:
            record = await self._begin_merged(new, merge)
        for former in (self.session, session):
            if isinstance(former, Session) and former is not record.session:
                self._remember(former)
        return self._begin(verified, issued, record, cookie)

    @scrub_traceback
    async def regenerate(
        self,
        session: S | Mapping[str, Any] | None = None,
        claims: C | None = None,
        *,
        max_age: int | timedelta | None = None,
    ) -> Token:
        """Move the session to a new id and end the old id: after a login or a change of privileges.

        The new token gets to the client as the old one came from it, in the cookie or in the returned `Token`.
        If two requests regenerate one session at the same time, one succeeds; the other gets `SessionNotFoundError`.
        `destroy()` by the old token ends the session under its new id; any other use of it is noticed: see `on_reuse`.

        Args:
            session: The data that replaces the loaded data. None moves `manager.session` with its changes in place.
            claims: The new token's claims. None keeps the old token's. If the new claims do not set `exp`, the old
                `exp` is kept. So are `auth_time`, `acr` and `amr` for the same user, unless the claims set `auth_time`.
                A visitor (no `sub`) who becomes a user counts as signed in now. A user who becomes another user does
                not, unless the claims set `auth_time`.
            max_age: Another idle timeout in seconds or as a `timedelta`, as in `create()`. None keeps the session's.

        Returns:
            The new token.

        Raises:
            SessionNotFoundError: There is no session, it was destroyed, or another request moved it.
            SessionConflictError: Another request changed it after this one loaded it. It stays as it is.
            InvalidArgumentError: The session or the claims can't be stored or signed, or `max_age` is too long.
            SessionTooLargeError: The session is larger than 65,536 bytes.
            ImpersonationError: Somebody acts for the user, and the claims are another user's or tell of a sign-in.
            TooManySessionsError: The session becomes another user's, who has `max_sessions` sessions already.
            ExpiredTokenError: The old token has expired since it was verified, and the claims set no other `exp`.
            InvalidTokenError: `revoke_before()` has ended the old token since it was verified.
            StoreUnavailableError: The store did not answer. The session may have ended.
        """
        return await self._regenerate(session, claims, max_age)

    async def _regenerate(
        self,
        session: S | Mapping[str, Any] | None,
        claims: C | None,
        max_age: int | timedelta | None = None,
        reason: EventReason | None = None,
    ) -> Token:
        """See `regenerate`. The reason is for the event."""
        verified, old = self._require_record()
        data = self._given(session, old)
        # Sign and encode before the move: if that fails, the old session must go on.
        claims = self._inherited(verified, claims)
        # Only a visitor signs in by this. A user who becomes another one has not signed in as that one.
        acts = verified.actor is not None
        moved, issued = self._sign(
            claims,
            max_age,
            sign_in=verified.sub is None,
            key=verified.jkt,
            actor=verified.actor,
            until=verified.exp if acts else None,
        )
        if acts and _sign_in(moved) != _sign_in(verified):
            self._refuse_actor(verified)
        cookie = self._cookie(moved, issued) if self._delivery is not None and self._delivery.by_cookie else None
        record = self._repository.encode(moved.session_id, data, old, detached=data is not old.session)
        with self._forgetting():
            await self._lifecycle.move(self._new(moved, issued, record)._replace(reason=reason), verified, old)
        token = self._begin(moved, issued, record, cookie)
        self._adopt(record, old, session)
        return token

    @scrub_traceback
    async def destroy(self, *, wait_replicas: int = 0) -> None:
        """End the session, also where `regenerate()` has moved it: no server accepts its token. A no-op if it is gone.

        Args:
            wait_replicas: How many replicas must confirm the end, so that a failover can't bring the session back.

        Raises:
            SessionNotFoundError: The request has no genuine token, so there is nothing to end.
            StoreUnavailableError: The store did not answer, or too few replicas confirmed in time. The session may
                still exist, or come back. It is safe to call `destroy` again.
        """
        if self._verified is None:
            self._emit_missing()
            raise SessionNotFoundError from self._refusal
        await self._lifecycle.end(
            self._verified.session_id,
            self._verified.sub,
            "logout",
            self._host,
            actor=self._verified.actor,
            wait_replicas=wait_replicas,
        )
        if self._delivery is not None:
            self._delivery.clear()
        self._forget(SessionNotFoundError())

    @scrub_traceback
    async def destroy_others(self) -> int:
        """End all other sessions of the user, and return how many ended.

        Raises:
            SessionNotFoundError: There is no session.
            InvalidArgumentError: The setting `user_index` is off, or the token has no `sub`.
            ImpersonationError: Somebody acts for the user.
            StoreUnavailableError: The store did not answer. Its `ended` counts those ended; call again for the rest.
        """
        verified, _ = self._require_record()
        self._refuse_actor(verified)
        if self._lifecycle.has_index and not verified.sub:
            raise InvalidArgumentError("destroy_others needs a token with a sub: give create() claims that have one")
        return await self._lifecycle.end_all(verified.sub or "", verified.session_id, "logout_others", self._host)

    def _refuse_actor(self, verified: VerifiedToken) -> None:
        """Refuse what only the user may do, if somebody acts for the user."""
        if verified.actor is not None:
            error = ImpersonationError("impersonated")
            emit_refused(self, error)
            raise error

    def _given(self, session: S | Mapping[str, Any] | None, old: Record[S]) -> S:
        """The session to store: what the caller gave, or `manager.session` with its changes in place."""
        if session is not None:
            return self._repository.serializer.to_session(session)
        refuse_lost_changes(self._former, old.session, self._repository.serializer)
        return old.session

    def _adopt(self, new: Record[S], old: Record[S], given: object = None) -> None:
        """Put the new data into the instance that the request's endpoints already hold, so that all see it."""
        if new.session is not old.session:
            take_state(old.session, new.session)
            if isinstance(given, Session):
                self._remember(cast("S", given))
        self._record = new._replace(session=old.session)
        note_verb(self)


def _sign_in(token: VerifiedToken) -> tuple[object, ...]:
    """Who has signed in, when and how: what nobody changes who acts for the user."""
    return token.sub, token.auth_time, token.acr, token.amr


def refuse_actor(manager: LoginSession[Any, Any]) -> None:
    """Refuse what only the user may do, if somebody acts for the user.

    Raises:
        ImpersonationError: Somebody does.
    """
    if manager._record is not None and manager._verified is not None:
        manager._refuse_actor(manager._verified)
