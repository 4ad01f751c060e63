"""`ActingSession`: the methods that change who has signed in how, and who acts for whom."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, cast

from .._tracebacks import scrub_traceback
from .._types import C, MayImpersonate, S, Transport
from ..errors import AuthenticationError, ImpersonationError, InvalidArgumentError
from ..models import Session, Token
from ..observability import AuditTrail
from ..settings import seconds as whole_seconds
from ..tokens import impersonated, stepped_up
from .editing import has_edits
from .logins import LoginSession
from .request import emit_refused

IMPERSONATION_SECONDS = 3600
"""The longest time for which somebody may act for a user without asking again."""


class ActingSession(LoginSession[S, C], Generic[S, C]):
    """The session of one request, and the methods that change who has signed in how, and who acts for whom."""

    __slots__ = ()

    @scrub_traceback
    async def step_up(
        self,
        *,
        acr: str | None = None,
        amr: Sequence[str] = (),
        session: S | Mapping[str, Any] | None = None,
        claims: C | None = None,
    ) -> Token:
        """Move the session to a new id after the user has signed in again, or more strongly (RFC 9470).

        Check the password or the second factor before you call this. It is `regenerate()` with the time of now as
        `auth_time`. The absolute timeout stays.

        Args:
            acr: The level that the user has reached. None keeps the claims' own, or else the old token's.
            amr: The methods that the user has used, in place of the old ones. Empty keeps the claims' own, or else the
                old token's.
            session: The data that replaces the loaded data, as in `regenerate()`.
            claims: The new token's claims, of the same user. None keeps the old token's.

        Returns:
            The new token.

        Raises:
            InvalidArgumentError: The token has no `sub`, the claims have another one, `amr` is no list of texts, or as
                `regenerate()`.
            ImpersonationError: Somebody acts for the user.
            SessionNotFoundError: There is no session, it was destroyed, or another request moved it.
            SessionConflictError: Another request changed it after this one loaded it. It stays as it is.
            StoreUnavailableError: The store did not answer. The session may have ended.
        """
        verified, _ = self._require_record()
        self._refuse_actor(verified)
        now = int(self._repository.timeouts.now())
        stronger = stepped_up(cast("C", self.claims), claims, acr, amr, now)
        return await self._regenerate(session, stronger, reason="step_up")

    @scrub_traceback
    async def impersonate(
        self,
        sub: str,
        session: S | Mapping[str, Any],
        claims: C | None = None,
        *,
        seconds: int | timedelta = IMPERSONATION_SECONDS,
        transport: Transport | None = None,
    ) -> Token:
        """Store a session in which the request's user acts for another user, and return its token (RFC 8693).

        The token has the other user as `sub`, and the request's user as `act`. It has no `auth_time`, `acr` and `amr`,
        since the other user has not signed in. `manager.session` becomes the new session. The session that the request
        came with goes on, but a browser has only one cookie: if the new token is in it, the old token is gone there.

        Args:
            sub: The user for whom the request's user acts: `may_impersonate` must permit it.
            session: The data of the new session, as the other user's login would make it.
            claims: The token's other claims. None gives none: neither a scope nor anything of the request's token.
            seconds: After how long it ends, however much it is used: 1 to 3,600 seconds, or a `timedelta` of them.
            transport: `cookie` or `bearer`, as in `create()`. None: as the request's own token came.

        Returns:
            The token, as `create()` returns it.

        Raises:
            ImpersonationError: `may_impersonate` does not permit it or fails, it would be the request's user itself,
                the session has no `sub`, or somebody acts for the request's user already.
            InvalidArgumentError: The provider has no `may_impersonate`; `seconds` is too long; the claims are another
                user's, or tell of a sign-in; the request's own session has changes that are not stored; or as
                `create()`.
            SessionNotFoundError: There is no session, or it has ended or moved while `may_impersonate` was asked.
            InvalidTokenError: `revoke_before()` has ended the request's token since it was verified.
            SessionCorruptError: The stored value of the request's session can't be read any more.
            CSRFError: As in `create()`.
            InvalidProofError: As in `create()`.
            TooManySessionsError: As in `create()`.
            StoreUnavailableError: The store did not answer.
        """
        permits = self._components.may_impersonate
        if permits is None:
            raise InvalidArgumentError("impersonate() needs SessionProvider(may_impersonate=...): who may act for whom")
        lifetime = _lifetime(seconds)
        verified, old = self._require_record()
        self._refuse_actor(verified)
        if not isinstance(sub, str) or not sub:
            raise InvalidArgumentError("sub: must be a text that is not empty")
        if has_edits(self):
            raise InvalidArgumentError("impersonate: the session was changed in place: store that first, by update()")
        asked = impersonated(type(cast("C", self.claims)), claims, sub)
        admin = verified.sub
        if not admin or admin == sub or not await _is_permitted(permits, admin, sub):
            error = ImpersonationError()
            emit_refused(self, error)
            raise error
        # The answer may have taken a while, and somebody may have logged the request's user out meanwhile.
        await self._repository.load(verified, extend=False)
        if transport is None and self._delivery is not None:
            transport = "cookie" if self._delivery.by_cookie else "bearer"
        key, by_cookie = self._choose(transport, None, allow_cross_site=False)
        data = self._repository.serializer.to_session(session)
        until = int(self._repository.timeouts.now()) + lifetime
        new, issued = self._sign(asked, None, sign_in=False, key=key, actor=admin, until=until)
        if new.sub != sub:
            raise InvalidArgumentError("impersonate: the claims have another sub")
        cookie = self._cookie(new, issued) if by_cookie else None
        # A copy, even of the request's own instance: that one stays the data of the request's own session.
        record = self._repository.encode(new.session_id, data, detached=True)
        await self._repository.confirm(verified)
        if self._possession is not None:
            await self._use_proof(self._possession)
        await self._lifecycle.begin(self._new(new, issued, record), None)
        try:
            # Whoever ends the actor's sessions from now on finds this one in the actor's index.
            await self._repository.load(verified, extend=False)
        except AuthenticationError:
            await self._lifecycle.end(new.session_id, new.sub, "revoked", self._host, actor=admin)
            raise
        # The request's own socket shows the other user's session from now on, so it ends with that.
        self._lifecycle.watch.follow(verified.session_id, new, self)
        for former in (old.session, session):
            if isinstance(former, Session):
                self._remember(former)
        return self._begin(new, issued, record, cookie)


def _lifetime(given: int | timedelta) -> int:
    try:
        lifetime = whole_seconds(given)
    except ValueError:
        lifetime = None
    if type(lifetime) is not int or not 1 <= lifetime <= IMPERSONATION_SECONDS:
        raise InvalidArgumentError(
            f"impersonate: seconds: give whole seconds, or a timedelta of them, from 1 to {IMPERSONATION_SECONDS}"
        )
    return lifetime


async def _is_permitted(permits: MayImpersonate, admin: str, sub: str) -> bool:
    """Ask the application. Only `True` permits: neither an error nor another value does."""
    try:
        answer = permits(admin, sub)
        permitted: object = await answer if inspect.isawaitable(answer) else answer
    except Exception as error:
        AuditTrail.log(logging.WARNING, "may_impersonate failed, so it is refused: %s", type(error).__name__)
        return False
    if not isinstance(permitted, bool):
        what = type(permitted).__name__
        AuditTrail.log(logging.WARNING, "may_impersonate returned %s, not True or False, so it is refused", what)
    return permitted is True
