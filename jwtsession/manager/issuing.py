"""`IssuingSession`: signs the tokens of a request's new sessions, delivers them, and issues tickets."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Generic, cast, get_args

from .._ids import new_session_id
from .._tracebacks import scrub_traceback
from .._types import C, S, Transport
from ..errors import (
    AuthenticationError,
    CSRFError,
    InvalidArgumentError,
    InvalidProofError,
    SessionConflictError,
    TokenReusedError,
)
from ..models import Ticket, Token, TokenType
from ..sessions import TICKET_SECONDS, Login, NewSession, Record, new_ticket, origin_name, ticket_name
from ..tokens import VerifiedToken, inherited
from .editing import note_verb
from .possession import Possession
from .request import RequestSession, emit_refused


class IssuingSession(RequestSession[S, C], Generic[S, C]):
    """The session of one request, and what `SessionManager.create` and `regenerate` have in common."""

    __slots__ = ()

    @property
    def bound(self) -> bool:
        """Whether there is a session whose token is bound to a key: it is worth nothing without that key (DPoP)."""
        return self._record is not None and self._verified is not None and self._verified.jkt is not None

    @scrub_traceback
    async def ticket(self) -> Ticket:
        """Issue a ticket, which opens one WebSocket or event stream (`EventSource`) by `?ticket=` in its URL.

        A ticket can be used once, within 30 seconds, and before the token expires. The manager that a ticket gives has
        this session and these claims, and no token. If this request has an `Origin`, the ticket is no use to a page of
        another origin.

        Raises:
            SessionNotFoundError: There is no session.
            ExpiredTokenError: The token has expired since it was verified.
            InvalidArgumentError: The store has not the methods of `TicketStore`, or this service only verifies tokens.
            StoreUnavailableError: The store did not answer.
        """
        verified, _ = self._require_record()
        ttl = min(TICKET_SECONDS * 1000, self._ttl(verified))
        ticket = new_ticket()
        name = ticket_name(ticket)
        by_cookie = self._delivery is not None and self._delivery.by_cookie
        record = self._codec.encode_ticket(name, verified, origin_name(self._headers), by_cookie)
        await self._repository.tickets.add(name, record, ttl)
        return Ticket(ticket=ticket, expires_in=ttl // 1000)

    @scrub_traceback
    async def refresh(self) -> Token:
        """Replace the session's token now. The session, its id, its data and its absolute timeout stay.

        The new token gets to the client as the old one came from it, in the cookie or in the returned `Token`. If that
        answer is lost, the client calls again with the old token. The old token is good until the new one is used, and
        for the setting `rotation.grace` after that.

        Returns:
            The new token. If the request's token is bound to a key (DPoP), that token: it is never replaced.

        Raises:
            SessionNotFoundError: There is no session, or it is gone.
            SessionConflictError: The token was replaced before, and the client has used the new one.
            InvalidArgumentError: The setting `rotation.after` is not set, or the cookie can't be set: it would be too
                large, or the answer has started.
            ConfigurationError: The token would be in a cookie, and nothing puts it on the answer.
            ExpiredTokenError: The token has expired since it was verified.
            InvalidTokenError: `revoke_before()` has ended the token since it was verified.
            StoreUnavailableError: The store did not answer. The old token stays good.
        """
        verified, _ = self._require_record()
        rotation = self._repository.rotation
        if rotation is None:
            raise InvalidArgumentError("refresh() needs the setting rotation.after")
        self._ttl(verified)  # raises if the token has expired
        if verified.jkt is not None:
            return self._delivered(verified, None)
        now = rotation.now()
        at = rotation.time_of_issue(verified, now)
        # Sign the most likely generation before the store knows of it: if that fails, nothing has happened.
        signed = self._renewed(verified, (verified.gen or 0) + 1, at)
        try:
            generation, is_new = await rotation.refresh(verified, now)
        except TokenReusedError:
            # Nobody has presented the token now: it was good when this request or socket began. Its client has a newer
            # one. If another client goes on with this one, its next request is judged.
            raise SessionConflictError from None
        except AuthenticationError as error:
            self._forget(error)
            emit_refused(self, error)
            raise
        if is_new:
            self._lifecycle.emit(
                "rotated", verified.session_id, sub=verified.sub, actor=verified.actor, host=self._host
            )
        if signed[0].gen != generation:
            signed = self._renewed(verified, generation, at)
        self._verified, self._own_claims, cookie = signed
        return self._delivered(signed[0], cookie)

    def _renewed(self, verified: VerifiedToken, generation: int, at: float) -> tuple[VerifiedToken, C, bytes | None]:
        renewed, issued = self._codec.renew(verified, generation, at)
        by_cookie = self._delivery is not None and self._delivery.by_cookie
        return renewed, issued, self._cookie(renewed, issued) if by_cookie else None

    def _choose(
        self, transport: Transport | None, persistent: bool | None, allow_cross_site: bool
    ) -> tuple[str | None, bool]:
        """The key to which the token of a new session is bound, and whether it goes into the cookie.

        See `Possession.key_of_login` and `Delivery.choose`.
        """
        if transport is not None and transport not in get_args(Transport):
            raise InvalidArgumentError('transport: must be "cookie" or "bearer"')
        if not isinstance(persistent, bool | None) or not isinstance(allow_cross_site, bool):
            raise InvalidArgumentError("persistent, allow_cross_site: must be True or False")
        if transport == "cookie" and self._delivery is None:
            raise InvalidArgumentError('transport: "cookie" needs "cookie" in token_sources, and a request')
        try:
            key = None
            if self._possession is not None:
                key = self._possession.key_of_login(by_cookie=transport == "cookie")
            if key is not None or self._delivery is None:
                return key, False
            return None, self._delivery.choose(transport, allow_cross_site=allow_cross_site)
        except (CSRFError, InvalidProofError) as error:
            emit_refused(self, error)
            raise

    async def _use_proof(self, possession: Possession) -> None:
        """Note that the proof of a login was used: see `Possession.use`."""
        try:
            await possession.use()
        except InvalidProofError as error:
            emit_refused(self, error)
            raise

    def _cookie(self, verified: VerifiedToken, issued: C) -> bytes | None:
        """The cookie of a token that is about to be stored: see `Delivery.prepare`."""
        if self._delivery is None:
            return None
        return self._delivery.prepare(verified.token, self._expires_in(verified), issued.jwtsession_persistent)

    def _sign(
        self,
        claims: C | None,
        max_age: int | timedelta | None,
        *,
        sign_in: bool = True,
        persistent: bool | None = None,
        key: str | None = None,
        actor: str | None = None,
        until: float | None = None,
    ) -> tuple[VerifiedToken, C]:
        checked = self._repository.timeouts.checked
        signed = self._codec.encode(
            new_session_id(),
            claims,
            sign_in=sign_in,
            idle_timeout=checked(max_age),
            persistent=persistent,
            gen=None if self._repository.rotation is None else 0,
            jkt=key,
            actor=actor,
            until=until,
        )
        checked(signed[0].jwtsession_idle_timeout)
        return signed

    def _inherited(self, verified: VerifiedToken, claims: C | None) -> C:
        old = cast("C", self.claims)
        if claims is None or claims.exp in (None, old.exp):
            self._ttl(verified)  # raises if the token has expired: the new one would have the same `exp`
        return inherited(
            old, claims, verified.session_id, self._repository.timeouts.permitted(verified.jwtsession_idle_timeout)
        )

    async def _load(self, verified: VerifiedToken) -> Record[S]:
        with self._forgetting():
            return await self._repository.load(verified)

    @contextlib.contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Drop the session if the store says that it is gone."""
        try:
            yield
        except AuthenticationError as error:
            self._forget(error)
            raise

    def _new(self, verified: VerifiedToken, issued: C, record: Record[S]) -> NewSession[S]:
        client, agent = self._lifecycle.clients.describe(self._host, self._headers)
        login = Login(issued.auth_time or self._repository.timeouts.now(), client, agent, actor=verified.actor)
        return NewSession(verified, record, login, self._host, self)

    def _begin(self, verified: VerifiedToken, issued: C, record: Record[S], cookie: bytes | None) -> Token:
        """Make the new session, which is now stored, the manager's session, and deliver its token."""
        self._verified, self._own_claims, self._record, self._refusal = verified, issued, record, None
        note_verb(self)
        return self._delivered(verified, cookie)

    def _delivered(self, verified: VerifiedToken, cookie: bytes | None) -> Token:
        """Deliver a token, in the prepared cookie or in the returned answer."""
        expires_in = self._expires_in(verified)
        if self._delivery is not None:
            self._delivery.deliver(cookie)
        if cookie is None:
            kind: TokenType = "bearer" if verified.jkt is None else "DPoP"
            return Token(access_token=verified.token, token_type=kind, expires_in=expires_in)
        return Token(token_type="cookie", expires_in=expires_in)  # noqa: S106  # no password

    def _expires_in(self, verified: VerifiedToken) -> int | None:
        """Seconds until the token expires; None if it never does."""
        return None if verified.exp is None else int(verified.exp) - int(self._repository.timeouts.now())


def note_successor(manager: RequestSession[Any, Any], generation: int, at: float, *, rotated: bool) -> None:
    """Note that the request's answer has to take a new token to the client. It is signed when the answer starts.

    Args:
        manager: The request's manager.
        generation: The generation of the new token.
        at: The time of the new token's issue in seconds since the epoch.
        rotated: Whether this request began that generation.
    """
    assert manager._verified is not None  # noqa: S101
    manager._successor = manager._verified, generation, at
    if rotated:
        verified = manager._verified
        manager._lifecycle.emit(
            "rotated", verified.session_id, sub=verified.sub, actor=verified.actor, host=manager._host
        )


def has_successor(manager: RequestSession[Any, Any]) -> bool:
    """Whether the request's answer has to take a new token to the client."""
    return manager._successor is not None


async def issue_successor(manager: IssuingSession[Any, Any]) -> str | None:
    """Sign the new token that a request's answer has to take to the client, now that the answer starts.

    Returns:
        The token; None if it is in the cookie, or if there is none: not if the request has ended the session, or has
        got another token meanwhile. And not if another request has ended or moved the session, or has begun a later
        generation: its answer may have arrived already, and this token would take the place of the new one.

    Raises:
        InvalidArgumentError: The token can't be signed, or browsers would drop its cookie, because it is too large.
        StoreUnavailableError: The store did not answer.
    """
    successor, manager._successor = manager._successor, None
    rotation = manager._repository.rotation
    if successor is None or rotation is None or not await rotation.is_newest(successor[0].session_id, successor[1]):
        return None
    if manager._record is None or manager._verified is not successor[0]:
        return None
    renewed, issued = manager._codec.renew(*successor)
    if manager._delivery is None or not manager._delivery.by_cookie:
        return renewed.token
    manager._delivery.replace(renewed.token, manager._expires_in(renewed), issued.jwtsession_persistent)
    return None
