"""The claims of a new token that takes the place of an old one."""

from typing import Any

from .._types import C
from ..errors import InvalidArgumentError


def inherited(old: C, claims: C | None, idle_timeout: int | None) -> C:
    """The new token's claims: its absolute timeout and the time of its login are the old token's.

    Args:
        old: The old token's claims.
        claims: Those of the caller; None keeps the old ones.
        idle_timeout: Seconds that the old token's idle timeout permits today.

    Raises:
        InvalidArgumentError: The claims are of another type.
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
        # The claims that were read, handed back: those of the old token alone become new.
        kept |= {"jti": None, "iat": None}
        if claims.sub != old.sub and claims.auth_time == old.auth_time:
            kept["auth_time"] = None  # another user's sign-in
    if claims.auth_time is None and claims.sub == old.sub:
        kept["auth_time"] = old.auth_time
    return claims.model_copy(update=kept)
