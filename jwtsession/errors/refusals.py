"""The errors of requests that are refused for another reason than authentication."""

from collections.abc import Sequence
from typing import Any

from .base import HTTPError


class LoginRequiredError(HTTPError):
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

    def __reduce__(self) -> tuple[type[HTTPError], tuple[Any, ...]]:
        return type(self), (self.location,)

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"Location": self.location}


class InsufficientScopeError(HTTPError):
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

    def __reduce__(self) -> tuple[type[HTTPError], tuple[Any, ...]]:
        return type(self), (self.scopes,)

    def _headers(self) -> dict[str, str]:
        challenge = f'Bearer error="insufficient_scope", scope="{" ".join(self.scopes)}"'
        return super()._headers() | {"WWW-Authenticate": challenge, "Vary": "Authorization"}


class ImpersonationError(HTTPError):
    """403: nobody may act for this user, or who acts for a user may not do this.

    The code is `impersonation_refused` where `impersonate()` is refused, and `impersonated` where somebody who acts for
    a user (the token's `act`, RFC 8693 section 4.1) asks for what only the user may do.
    """

    code = "impersonation_refused"
    status = 403
    body = "Not permitted"


class TooManySessionsError(HTTPError):
    """403: the user already has `max_sessions` sessions, and the setting `too_many_sessions` is `refuse`."""

    code = "too_many_sessions"
    status = 403
    body = "Too many sessions"


class AmbiguousTokenError(HTTPError):
    """400: the request has two different tokens (RFC 6750 section 2). The same token in two places is no error."""

    code = "ambiguous_token"
    status = 400
    body = "More than one token"

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"WWW-Authenticate": 'Bearer error="invalid_request"', "Vary": "Authorization"}


class CSRFError(HTTPError):
    """403: the request came with a cookie, or asks for one, and another site may have made it (RFC 10017)."""

    code = "cross_site_request"
    status = 403
    body = "Cross-site request refused"


class SessionConflictError(HTTPError):
    """409: another request changed the session after this one loaded it. Nothing was overwritten."""

    code = "session_conflict"
    status = 409
    body = "The session was changed by another request"


class SessionTooLargeError(HTTPError):
    """413: the session's JSON is larger than 65,536 bytes. The stored session stays as it was."""

    code = "session_too_large"
    status = 413
    body = "The session is too large"


class StoreUnavailableError(HTTPError):
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
