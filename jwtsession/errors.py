"""The error tree: every exception that this package raises on purpose.

An error with an HTTP status is also Starlette's `HTTPException`, so that FastAPI answers it without a handler.
`code` tells programs and logs what happened; the body tells a client no more than the status does.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from starlette.exceptions import HTTPException

REALM = "session"
"""Of the challenge without an error: RFC 6750 section 3 wants one parameter at least."""


class JWTSessionError(Exception):
    """Base of all errors of this package."""

    code: str = "error"
    """What happened, for programs and logs. Never holds a token, an id or session data."""


class ConfigurationError(JWTSessionError, ValueError):
    """A setting or an argument of the provider can't work. Raised when it is made or started, never by a request."""

    code = "configuration"


class NotStartedError(JWTSessionError, RuntimeError):
    """The provider was asked before it was started, or after its end: a mistake in the set-up, a 500 for clients.

    `FastAPI(lifespan=sessions.lifespan)` starts it, or `async with sessions:` without an application.
    """

    code = "not_started"


class InvalidArgumentError(JWTSessionError, ValueError):
    """The application handed a verb something that it can't store or sign: a mistake in the code, a 500 for clients.

    Examples: claims that set the reserved `jti`, a session that its own model would refuse to read back.
    Nothing has been stored when it is raised.
    """

    code = "invalid_argument"


class _HTTPError(JWTSessionError, HTTPException):
    status: ClassVar[int]
    body: ClassVar[str]

    def __init__(self, code: str | None = None) -> None:
        if code is not None:
            self.code = code
        HTTPException.__init__(self, self.status, self.body, self._headers())

    def __str__(self) -> str:
        return f"{self.status} {self.body} ({self.code})"

    def __reduce__(self) -> tuple[type["_HTTPError"], tuple[Any, ...]]:
        return type(self), (self.code,)

    def _headers(self) -> dict[str, str]:
        return {"Cache-Control": "no-store"}


class AuthenticationError(_HTTPError):
    """401: the request has no usable session. One body for every reason, so that an attacker learns nothing."""

    code = "authentication"
    status = 401
    body = "Not authenticated"

    def _headers(self) -> dict[str, str]:
        # RFC 6750 section 3.1: an error code only where the request had credentials.
        return super()._headers() | {"WWW-Authenticate": 'Bearer error="invalid_token"', "Vary": "Authorization"}


class MissingTokenError(AuthenticationError):
    """401: no token in any of the places that `token_sources` names."""

    code = "missing_token"

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"WWW-Authenticate": f'Bearer realm="{REALM}"'}


class InvalidTokenError(AuthenticationError):
    """401: the token is malformed, not signed by a trusted key, or not meant for this service; see `code`."""

    code = "invalid_token"


class ExpiredTokenError(AuthenticationError):
    """401: the token is genuine, but its `exp` has passed (the absolute timeout)."""

    code = "expired_token"


class SessionNotFoundError(AuthenticationError):
    """401: the session was destroyed, or has expired (the idle timeout), or never was."""

    code = "session_not_found"


class SessionCorruptError(AuthenticationError):
    """401: the stored value can't be read as the application's model. The value is kept, for whoever can read it."""

    code = "session_corrupt"


class StaleAuthenticationError(AuthenticationError):
    """401: the session is good, but the user proved who they are too long ago for this endpoint (RFC 9470).

    Args:
        max_age: The seconds that the endpoint allows.
    """

    code = "insufficient_user_authentication"

    def __init__(self, max_age: int) -> None:
        self.max_age = max_age
        super().__init__()

    def __reduce__(self) -> tuple[type[_HTTPError], tuple[Any, ...]]:
        return type(self), (self.max_age,)

    def _headers(self) -> dict[str, str]:
        challenge = f'Bearer error="insufficient_user_authentication", max_age="{self.max_age}"'
        return super()._headers() | {"WWW-Authenticate": challenge}


class InsufficientScopeError(_HTTPError):
    """403: the token's `scope` does not permit this (RFC 6750 section 3.1).

    Args:
        scopes: What the endpoint demands.
    """

    code = "insufficient_scope"
    status = 403
    body = "Insufficient scope"

    def __init__(self, scopes: Sequence[str]) -> None:
        self.scopes = tuple(scopes)
        super().__init__()

    def __reduce__(self) -> tuple[type[_HTTPError], tuple[Any, ...]]:
        return type(self), (self.scopes,)

    def _headers(self) -> dict[str, str]:
        challenge = f'Bearer error="insufficient_scope", scope="{" ".join(self.scopes)}"'
        return super()._headers() | {"WWW-Authenticate": challenge, "Vary": "Authorization"}


class TooManySessionsError(_HTTPError):
    """403: the user has `max_sessions` sessions already, and `too_many_sessions` is `refuse`."""

    code = "too_many_sessions"
    status = 403
    body = "Too many sessions"


class AmbiguousTokenError(_HTTPError):
    """400: two different tokens in a request (RFC 6750 section 2). The same one in two places is one."""

    code = "ambiguous_token"
    status = 400
    body = "More than one token"

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"WWW-Authenticate": 'Bearer error="invalid_request"', "Vary": "Authorization"}


class SessionConflictError(_HTTPError):
    """409: somebody else changed the session since it was loaded. Nothing was overwritten."""

    code = "session_conflict"
    status = 409
    body = "The session was changed by another request"


class SessionTooLargeError(_HTTPError):
    """413: the session's JSON is larger than may be stored. What was stored before stays as it was."""

    code = "session_too_large"
    status = 413
    body = "The session is too large"


class StoreUnavailableError(_HTTPError):
    """503: the store did not answer in time, or refused to work. The cause stands in `__cause__`."""

    code = "store_unavailable"
    status = 503
    body = "Sessions are unavailable"
    ended: int = 0
    """Of `revoke_all` and `destroy_others`: how many sessions had ended by then. To call them again ends the rest."""

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"Retry-After": "1"}
