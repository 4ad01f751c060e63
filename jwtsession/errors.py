"""The error tree: every exception that this package raises on purpose.

An error with an HTTP status is also a Starlette `HTTPException`, so FastAPI turns it into an answer without a handler.
`code` tells programs and logs what happened. The answer's body tells a client no more than the status does.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from starlette.exceptions import HTTPException

REALM = "session"
"""The realm of a challenge that has no error code: RFC 6750 section 3 requires at least one parameter."""


class JWTSessionError(Exception):
    """Base of all errors of this package."""

    code: str = "error"
    """What happened, for programs and logs. It never contains a token, a session's id or session data."""


class ConfigurationError(JWTSessionError, ValueError):
    """A setting, an argument or a route can't work. The provider raises this when it is made or started.

    Where an application did not start the provider itself, it is raised at the first request that asks the provider.
    """

    code = "configuration"


class NotStartedError(JWTSessionError, RuntimeError):
    """Somebody used the provider before its start or after its end: a mistake in the set-up. A client gets a 500.

    `FastAPI(lifespan=sessions.lifespan)` starts the provider; without an application `async with sessions:` does.
    """

    code = "not_started"


class InvalidArgumentError(JWTSessionError, ValueError):
    """The application gave a method data that can't be stored or signed: a mistake in the code. A client gets a 500.

    Examples: claims that set the reserved `jti`; a session that its own model would refuse when it reads it back.
    When this is raised, nothing has been stored.
    """

    code = "invalid_argument"


class _HTTPError(JWTSessionError, HTTPException):
    status: ClassVar[int]
    body: ClassVar[str]

    def __init__(self, code: str | None = None) -> None:
        self.code = code or self.code
        HTTPException.__init__(self, self.status, self.body, self._headers())

    def __str__(self) -> str:
        return f"{self.status} {self.body} ({self.code})"

    def __reduce__(self) -> tuple[type["_HTTPError"], tuple[Any, ...]]:
        return type(self), (self.code,)

    def _headers(self) -> dict[str, str]:
        return {"Cache-Control": "no-store"}


class AuthenticationError(_HTTPError):
    """401: the request has no usable session. The body is the same for every reason, so an attacker learns nothing."""

    code = "authentication"
    status = 401
    body = "Not authenticated"

    def _headers(self) -> dict[str, str]:
        # RFC 6750 section 3.1: the challenge has an error code only if the request had credentials.
        return super()._headers() | {"WWW-Authenticate": 'Bearer error="invalid_token"', "Vary": "Authorization"}


class MissingTokenError(AuthenticationError):
    """401: the request has no token in any of the places that the setting `token_sources` names."""

    code = "missing_token"

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"WWW-Authenticate": f'Bearer realm="{REALM}"'}


class InvalidTokenError(AuthenticationError):
    """401: the token is malformed, no trusted key signed it, or it is meant for another service. `code` says which."""

    code = "invalid_token"


class InvalidClientError(AuthenticationError):
    """401: a service's own credentials are missing or wrong (RFC 6749 section 5.2): see `client_credentials`."""

    code = "invalid_client"

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"WWW-Authenticate": f'Basic realm="{REALM}", charset="UTF-8"'}


class ExpiredTokenError(AuthenticationError):
    """401: a trusted key signed the token, but its `exp` has passed (the absolute timeout)."""

    code = "expired_token"


class SessionNotFoundError(AuthenticationError):
    """401: the session was destroyed, it has expired (the idle timeout), or it never existed."""

    code = "session_not_found"


class TokenReusedError(SessionNotFoundError):
    """401: the token was replaced, by `regenerate()` or by `rotation`, and its session lives: a theft, perhaps."""

    code = "token_reused"


class SessionCorruptError(AuthenticationError):
    """401: the application's model can't read the stored value. The store keeps it: another version may read it."""

    code = "session_corrupt"


class StaleAuthenticationError(AuthenticationError):
    """401: the session is valid, but the user signed in too long ago for this endpoint (RFC 9470).

    Args:
        max_age: Seconds that the endpoint allows since the sign-in.
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


class InvalidProofError(AuthenticationError):
    """401: the request's proof of possession is missing or wrong (DPoP, RFC 9449). `code` says which check failed.

    Args:
        code: The code. With `proof_key_mismatch` the challenge says that the token is the problem: it belongs to
            another key than the proof's (RFC 9449 figure 16).
        algorithms: What a proof may be signed with: the challenge names them (RFC 9449 section 7.1).
    """

    code = "invalid_proof"

    def __init__(self, code: str | None = None, algorithms: Sequence[str] = ()) -> None:
        self.algorithms = tuple(algorithms)
        super().__init__(code)

    def __reduce__(self) -> tuple[type[_HTTPError], tuple[Any, ...]]:
        return type(self), (self.code, self.algorithms)

    def _headers(self) -> dict[str, str]:
        error = "invalid_token" if self.code == "proof_key_mismatch" else "invalid_dpop_proof"
        return super()._headers() | self._challenge(error)

    def _challenge(self, error: str) -> dict[str, str]:
        algorithms = f', algs="{" ".join(self.algorithms)}"' if self.algorithms else ""
        return {"WWW-Authenticate": f'DPoP error="{error}"{algorithms}', "Vary": "Authorization, DPoP"}


class ProofNonceError(InvalidProofError):
    """401: the proof has no nonce of this service, or an old one (RFC 9449 section 9). The client tries once more.

    Args:
        algorithms: What a proof may be signed with.
        nonce: The nonce that the next proof needs: the header `DPoP-Nonce` has it.
    """

    code = "use_dpop_nonce"

    def __init__(self, algorithms: Sequence[str] = (), nonce: str = "") -> None:
        self.nonce = nonce
        super().__init__(None, algorithms)

    def __reduce__(self) -> tuple[type[_HTTPError], tuple[Any, ...]]:
        return type(self), (self.algorithms, self.nonce)

    def _headers(self) -> dict[str, str]:
        nonce = {"DPoP-Nonce": self.nonce} if self.nonce else {}
        return super()._headers() | self._challenge("use_dpop_nonce") | nonce


class LoginRequiredError(_HTTPError):
    """303: the page needs a session, so the browser is sent to the login page: see `redirect_to_login`.

    Args:
        location: The URL of the login page, with the parameter `next`.
    """

    code = "login_required"
    status = 303
    body = "Log in first"

    def __init__(self, location: str) -> None:
        self.location = location
        super().__init__()

    def __reduce__(self) -> tuple[type[_HTTPError], tuple[Any, ...]]:
        return type(self), (self.location,)

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"Location": self.location}


class InsufficientScopeError(_HTTPError):
    """403: the token's `scope` does not permit the request (RFC 6750 section 3.1).

    Args:
        scopes: The scopes that the endpoint requires.
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
    """403: the user already has `max_sessions` sessions, and the setting `too_many_sessions` is `refuse`."""

    code = "too_many_sessions"
    status = 403
    body = "Too many sessions"


class AmbiguousTokenError(_HTTPError):
    """400: the request has two different tokens (RFC 6750 section 2). The same token in two places is no error."""

    code = "ambiguous_token"
    status = 400
    body = "More than one token"

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"WWW-Authenticate": 'Bearer error="invalid_request"', "Vary": "Authorization"}


class CSRFError(_HTTPError):
    """403: the request came with a cookie, or asks for one, and another site may have made it (RFC 10017)."""

    code = "cross_site_request"
    status = 403
    body = "Cross-site request refused"


class SessionConflictError(_HTTPError):
    """409: another request changed the session after this one loaded it. Nothing was overwritten."""

    code = "session_conflict"
    status = 409
    body = "The session was changed by another request"


class SessionTooLargeError(_HTTPError):
    """413: the session's JSON is larger than 65,536 bytes. The stored session stays as it was."""

    code = "session_too_large"
    status = 413
    body = "The session is too large"


class StoreUnavailableError(_HTTPError):
    """503: the store did not answer in time, or answered with an error. `__cause__` is the error of redis-py.

    With `SessionVerifier`: the service that issued the token could not be asked.
    """

    code = "store_unavailable"
    status = 503
    body = "Sessions are unavailable"
    ended: int = 0
    """How many sessions `revoke_all` or `destroy_others` had ended before the failure. A second call ends the rest."""

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"Retry-After": "1"}
