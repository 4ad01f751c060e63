"""The claims of a new token that replaces an old one."""

from typing import Any

from .._types import C
from ..errors import InvalidArgumentError


def inherited(old: C, claims: C | None, idle_timeout: int | None) -> C:
    """Make the claims of a token that replaces an old one. They keep the old absolute timeout and time of login.

    Args:
        old: The old token's claims.
        claims: The claims that the caller gave; None keeps the old claims.
        idle_timeout: The old token's own idle timeout in seconds, cut to today's limit; None if it has none.

    Raises:
        InvalidArgumentError: The claims are of another type than the old ones.
    """
    claims = old if claims is None else claims
    if not isinstance(claims, type(old)):
        raise InvalidArgumentError(f"expected {type(old).__name__}, got {type(claims).__name__}")
    kept: dict[str, Any] = {}
    if claims.exp is None:
        kept["exp"] = old.exp
    if claims.jwtsession_idle_timeout in (None, old.jwtsession_idle_timeout):
        kept["jwtsession_idle_timeout"] = idle_timeout
    if claims.jti == old.jti:
        # The caller passed the claims of the old token, perhaps changed: the new token needs a new id and time.
        kept |= {"jti": None, "iat": None}
        if claims.sub != old.sub and claims.auth_time == old.auth_time:
            kept["auth_time"] = None  # it is the sign-in of another user
    if claims.auth_time is None and claims.sub == old.sub:
        kept["auth_time"] = old.auth_time
    return claims.model_copy(update=kept)
