"""The errors of requests that are not authenticated, or not well enough: 401."""

from collections.abc import Sequence
from typing import Any

from .base import HTTPError

REALM = "session"
"""The realm of a challenge that has no error code: RFC 6750 section 3 requires at least one parameter."""


class AuthenticationError(HTTPError):
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

    def __reduce__(self) -> tuple[type[HTTPError], tuple[Any, ...]]:
        return type(self), (self.max_age,)

    def _headers(self) -> dict[str, str]:
        challenge = f'Bearer error="insufficient_user_authentication", max_age="{self.max_age}"'
        return super()._headers() | {"WWW-Authenticate": challenge}


class InsufficientLevelError(AuthenticationError):
    """401: the session is valid, but the user did not sign in as strongly as this endpoint wants it (RFC 9470).

    Args:
        acr_values: The levels that the endpoint accepts.
    """

    code = "insufficient_level"

    def __init__(self, acr_values: Sequence[str] = ()) -> None:
        self.acr_values = tuple(acr_values)
        super().__init__()

    def __reduce__(self) -> tuple[type[HTTPError], tuple[Any, ...]]:
        return type(self), (self.acr_values,)

    def _headers(self) -> dict[str, str]:
        levels = f', acr_values="{" ".join(self.acr_values)}"' if self.acr_values else ""
        return super()._headers() | {"WWW-Authenticate": f'Bearer error="insufficient_user_authentication"{levels}'}
