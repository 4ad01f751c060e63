"""`RequestSession`: the verified token of one request, and the session that the token names."""

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from .._ids import handle_of
from .._types import C, MayImpersonate, S
from ..errors import AuthenticationError, ExpiredTokenError, JWTSessionError, MissingTokenError, SessionNotFoundError
from ..observability import EventReason
from ..sessions import (
    Edits,
    Former,
    Record,
    Reuse,
    SessionLifecycle,
    SessionRepository,
    remembered,
    ticket_name,
)
from ..tokens import TokenCodec, VerifiedToken
from .delivery import Delivery
from .possession import Possession

if TYPE_CHECKING:
    from ..observability import Telemetry

E = TypeVar("E", bound=JWTSessionError)
RawHeaders = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, repr=False)
class Components(Generic[S, C]):
    """The parts that all managers of one provider share."""

    codec: TokenCodec[C]
    repository: SessionRepository[S]
    lifecycle: SessionLifecycle[S]
    reuse: Reuse
    telemetry: "Telemetry | None" = None
    may_impersonate: MayImpersonate | None = None


class RequestSession(Generic[S, C]):
    """The session of one request, as it was loaded. `SessionManager` adds the methods that change it.

    Args:
        components: The provider's shared parts.
        host: The client's address as the server saw it, for events.
        headers: The request's headers. ASGI promises lower-case names.
        verified: The request's token if it is genuine, even if its session is gone.
        record: The loaded session; None if there is none.
        refusal: The error that says why there is no session.
        extended: Whether this request already counts as a use of the session.
        delivery: Delivers tokens in the cookie; None if no cookie is a token source, or outside of a request.
        possession: The request's proof of its client's key; None if `dpop.mode` is `off`.
    """

    __slots__ = (
        "__weakref__",
        "_components",
        "_delivery",
        "_edits",
        "_extended",
        "_former",
        "_headers",
        "_host",
        "_loop",
        "_own_claims",
        "_possession",
        "_record",
        "_refusal",
        "_successor",
        "_verified",
    )

    def __init__(
        self,
        components: Components[S, C],
        host: str | None = None,
        headers: RawHeaders = (),
        verified: VerifiedToken | None = None,
        record: Record[S] | None = None,
        refusal: AuthenticationError | None = None,
        extended: bool = True,
        delivery: Delivery | None = None,
        possession: Possession | None = None,
    ) -> None:
        self._components = components  # in one attribute: every request makes a manager, and most use no more of it
        self._host, self._headers = host, headers
        self._loop = asyncio.get_running_loop()
        self._former: Former = ()
        self._verified, self._record = verified, record
        self._refusal, self._extended = refusal, extended
        self._delivery, self._possession = delivery, possession
        self._own_claims: C | None = None
        self._successor: tuple[VerifiedToken, int, float] | None = None
        self._edits: Edits[S] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'session' if self._record is not None else 'no session'})"

    @property
    def _codec(self) -> TokenCodec[C]:
        return self._components.codec

    @property
    def _repository(self) -> SessionRepository[S]:
        return self._components.repository

    @property
    def _lifecycle(self) -> SessionLifecycle[S]:
        return self._components.lifecycle

    @property
    def id(self) -> str | None:
        """The session's id; None if there is no session."""
        return self._verified.session_id if self._record is not None and self._verified is not None else None

    @property
    def handle(self) -> str | None:
        """The session's name for clients, pages and logs: see `SessionInfo.handle`. None if there is no session."""
        return None if (session_id := self.id) is None else handle_of(session_id)

    @property
    def session(self) -> S | None:
        """The session's data; None if there is no session. After you change it in place, `update()` stores it."""
        return self._record.session if self._record is not None else None

    @property
    def claims(self) -> C | None:
        """The claims of the request's token, or of the token just created; None if there is no session."""
        if self._record is None or self._verified is None:
            return None
        if self._own_claims is None:  # made at the first read: many endpoints never read the claims
            self._own_claims = self._codec.claims(self._verified)
        return self._own_claims

    @property
    def token(self) -> str | None:
        """The JWT itself; None if there is no session, or if the client sent a ticket, which stands for no token."""
        if self._record is None or self._verified is None or self._verified.is_ticket:
            return None
        return self._verified.token

    @property
    def created(self) -> float | None:
        """When the user logged in, in seconds since the epoch; None if there is no session.

        This is the token's `auth_time`, which `regenerate()` keeps. A token without `auth_time` (a visitor's, or one
        after a change of user) gives its `iat`: when the session was created or last regenerated, or its token last
        replaced (`rotation`).
        """
        if self._record is None or self._verified is None:
            return None
        return self._verified.iat if self._verified.auth_time is None else self._verified.auth_time

    @property
    def actor(self) -> str | None:
        """Who acts for the user, by `impersonate()`; None if the user does, or if there is no session."""
        return self._verified.actor if self._record is not None and self._verified is not None else None

    def require(self) -> S:
        """Return the session, or refuse the request.

        Returns:
            The session's data, as `session`.

        Raises:
            AuthenticationError: There is no session. The error's class and `code` say why.
        """
        if self._record is None:
            self._refuse()
        return self._record.session

    def require_token(self) -> None:
        """Refuse a request without a genuine token. The session itself may be gone or not be readable.

        Raises:
            AuthenticationError: The request has no genuine token. The error's class and `code` say why.
        """
        if self._verified is None:
            self._refuse()

    async def extend(self) -> None:
        """Count the request as a use of the session, if it only peeked at the session before (`peek_session`).

        If the session turns out to be gone, `require()` raises the error later.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        if self._extended or self._record is None or self._verified is None:
            return
        self._extended = True
        try:
            await self._lifecycle.extend(self._verified)
        except AuthenticationError as error:
            self._forget(error)
            emit_refused(self, error)

    def _refuse(self) -> NoReturn:
        self._emit_missing()
        # A new instance each time: an error that was raised refers to frames, and those to this manager.
        raise copy(self._refusal) if self._refusal is not None else SessionNotFoundError()

    def _require_record(self) -> tuple[VerifiedToken, Record[S]]:
        if self._record is None or self._verified is None:
            self._emit_missing()
            raise SessionNotFoundError from self._refusal
        return self._verified, self._record

    def _emit_missing(self) -> None:
        """Emit the event for a request without a token, now that it turns out to need one."""
        if isinstance(self._refusal, MissingTokenError):
            emit_refused(self, self._refusal)

    def _ttl(self, verified: VerifiedToken) -> int:
        """Milliseconds that the session may live from now.

        Raises:
            ExpiredTokenError: The token has expired since it was verified.
        """
        return self._repository.timeouts.required_ttl(verified)

    def _forget(self, error: AuthenticationError) -> None:
        """Drop the session, which is gone, but keep the token, so that `destroy()` still works."""
        if self._record is not None:
            self._remember(self._record.session)
        self._record, self._own_claims, self._refusal = None, None, error

    def _remember(self, session: S) -> None:
        self._former = remembered(self._former, session, self._repository.serializer)


def emit_refused(manager: RequestSession[Any, Any], error: JWTSessionError) -> None:
    """Emit the event `refused` for a request, with or without a session."""
    emit_refused_token(manager._lifecycle, error, manager._verified, manager._host)


def emit_refused_token(
    lifecycle: SessionLifecycle[Any], error: JWTSessionError, verified: VerifiedToken | None, host: str | None
) -> None:
    """Emit the event `refused` for a token; None for a request without a genuine one."""
    reason: EventReason | None = "expired" if isinstance(error, ExpiredTokenError) else None
    session_id, sub, actor = (None,) * 3 if verified is None else (verified.session_id, verified.sub, verified.actor)
    lifecycle.emit("refused", session_id, sub=sub, actor=actor, code=error.code, reason=reason, host=host)


def unmet(manager: RequestSession[Any, Any], demand: Callable[[VerifiedToken], E | None]) -> E | None:
    """The error of a demand that the manager's token does not meet; None if it does, or if there is no session."""
    return demand(manager._verified) if manager._record is not None and manager._verified is not None else None


def came_by(manager: RequestSession[Any, Any], token: object, source: str) -> bool:
    """Whether the manager was made from this token, or from this ticket if the source is `ticket`."""
    if source != "ticket":
        return manager.token == token
    return manager._verified is not None and manager._verified.is_of_ticket(ticket_name(token))


def counts_as_use(manager: RequestSession[Any, Any]) -> bool:
    """Whether the manager's request counts as a use of the session: not if it only peeked (`peek_session`)."""
    return manager._extended


def attach_answer(manager: RequestSession[Any, Any], scope: Any) -> None:
    """Let the manager find the request's answer: a middleware that makes a manager is outside of it."""
    for each in (manager._delivery, manager._possession):
        if each is not None:
            each.attach(scope)


def deliver_by(manager: RequestSession[Any, Any], delivery: Delivery | None, possession: Possession | None) -> None:
    """Give a manager another delivery and proof, for the same token."""
    manager._delivery, manager._possession = delivery, possession


def possession_of(manager: RequestSession[Any, Any]) -> Possession | None:
    """The proof of the manager's request; None if `dpop.mode` is `off`."""
    return manager._possession


def replace_authentication(manager: RequestSession[S, C], other: RequestSession[S, C]) -> None:
    """Give a manager without a session the token and the session of another manager of the same request."""
    manager._verified, manager._record, manager._refusal = other._verified, other._record, other._refusal
    manager._extended, manager._delivery, manager._possession = other._extended, other._delivery, other._possession
    manager._successor, other._successor = other._successor, None
