"""`RequestSession`: what the token of one request proved, and the session that it named."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from ._types import C, S
from .errors import AuthenticationError, JWTSessionError, MissingTokenError, SessionNotFoundError
from .sessions import Former, Record, SessionLifecycle, SessionRepository, remembered
from .tokens import TokenCodec, VerifiedToken

E = TypeVar("E", bound=JWTSessionError)


class Components(NamedTuple, Generic[S, C]):
    """What the managers of one provider share."""

    codec: TokenCodec[C]
    repository: SessionRepository[S]
    lifecycle: SessionLifecycle[S]

    def __repr__(self) -> str:
        return "Components()"


NOT_CAPTURED: tuple[str | None, str | None] = (None, None)


class RequestSession(Generic[S, C]):
    """The session of one request, as it was loaded. `SessionManager` has the verbs that change it.

    Args:
        components: Of the provider.
        host: The client's address as the server saw it, for events.
        captured: The client's address and user agent for the user's index, with `capture_client`.
        verified: The request's token, if it is genuine, also where its session is gone.
        record: The session.
        refusal: Why there is no session.
        extended: This request counts as a use of the session already.
    """

    __slots__ = (
        "__weakref__",
        "_captured",
        "_codec",
        "_extended",
        "_former",
        "_host",
        "_lifecycle",
        "_loop",
        "_own_claims",
        "_record",
        "_refusal",
        "_repository",
        "_verified",
    )

    def __init__(
        self,
        components: Components[S, C],
        host: str | None = None,
        captured: tuple[str | None, str | None] = NOT_CAPTURED,
        verified: VerifiedToken | None = None,
        record: Record[S] | None = None,
        refusal: AuthenticationError | None = None,
        extended: bool = True,
    ) -> None:
        self._codec, self._repository, self._lifecycle = components
        self._host, self._captured = host, captured
        self._loop = asyncio.get_running_loop()
        self._former: Former = ()
        self._verified, self._record, self._refusal, self._extended = verified, record, refusal, extended
        self._own_claims: C | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'session' if self._record is not None else 'no session'})"

    @property
    def id(self) -> str | None:
        """The session's id, or None where there is no session."""
        return self._verified.session_id if self._record is not None and self._verified is not None else None

    @property
    def session(self) -> S | None:
        """The session's data, or None where there is no session. Changes in place are stored by `update()`."""
        return self._record.session if self._record is not None else None

    @property
    def claims(self) -> C | None:
        """The claims of the request's token, or of the one just created; None where there is no session."""
        if self._record is None or self._verified is None:
            return None
        if self._own_claims is None:  # made when somebody asks: many endpoints never do
            self._own_claims = self._codec.claims(self._verified)
        return self._own_claims

    @property
    def token(self) -> str | None:
        """The JWT itself, or None where there is no session."""
        return self._verified.token if self._record is not None and self._verified is not None else None

    @property
    def created(self) -> float | None:
        """When the user logged in, in seconds since the epoch; None where there is no session.

        The token's `auth_time`, which `regenerate()` keeps. Where it has none (a visitor's, another user's), its `iat`:
        when the session was created, or last regenerated.
        """
        if self._record is None or self._verified is None:
            return None
        return self._verified.iat if self._verified.auth_time is None else self._verified.auth_time

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
        if self._verified is None:
            self._refuse()

    async def extend(self) -> None:
        """Count the request as a use of the session after all, where `peek_session` did not.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        if self._extended or self._record is None or self._verified is None:
            return
        self._extended = True
        if self._repository.timeouts.is_due(self._verified):
            try:
                await self._repository.touch(self._verified.session_id, self._ttl(self._verified))
            except AuthenticationError as error:
                self._forget(error)  # `require()` tells
                return
        await self._lifecycle.note_use(self._verified)

    def _refuse(self) -> NoReturn:
        if isinstance(self._refusal, MissingTokenError):
            emit_refused(self, self._refusal)
        raise self._refusal or SessionNotFoundError()

    def _require_record(self) -> tuple[VerifiedToken, Record[S]]:
        if self._record is None or self._verified is None:
            raise SessionNotFoundError from self._refusal
        return self._verified, self._record

    def _ttl(self, verified: VerifiedToken) -> int:
        """Milliseconds that the session may live from now.

        Raises:
            ExpiredTokenError: The token has expired meanwhile.
        """
        return self._repository.timeouts.required_ttl(verified)

    def _forget(self, error: AuthenticationError) -> None:
        """Go on without the session, which is gone, and with the id alone, which may still be destroyed."""
        if self._record is not None:
            self._remember(self._record.session)
        self._record, self._own_claims, self._refusal = None, None, error

    def _remember(self, session: S) -> None:
        self._former = remembered(self._former, session, self._repository.serializer)


def emit_refused(manager: RequestSession[Any, Any], error: JWTSessionError) -> None:
    """Tell that a request was refused, with or without a session."""
    session_id = manager._verified.session_id if manager._verified is not None else None
    manager._lifecycle.emit("refused", session_id, error.code, manager._host)


def unmet(manager: RequestSession[Any, Any], demand: Callable[[VerifiedToken], E | None]) -> E | None:
    """What a demand says of the manager's token; None where there is no session, of which nothing can be demanded."""
    return demand(manager._verified) if manager._record is not None and manager._verified is not None else None


def replace_authentication(manager: RequestSession[S, C], again: RequestSession[S, C]) -> None:
    """Let a manager without a session go on with what another token of the same request proved."""
    manager._verified, manager._record, manager._refusal = again._verified, again._record, again._refusal
    manager._extended = again._extended
