"""Demands: what an endpoint requires of a genuine token."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from ..errors import ConfigurationError, InsufficientScopeError, JWTSessionError, StaleAuthenticationError
from ..settings import seconds
from ..tokens import VerifiedToken

Demand = Callable[[VerifiedToken], JWTSessionError | None]
"""Returns None for a token that meets the demand, and the request's error for another one."""


def scope_demand(scopes: Sequence[str]) -> Demand | None:
    """A demand that the token grants all these scopes (RFC 6750 section 3.1); None for an empty list."""
    if not scopes:
        return None

    def insufficient(token: VerifiedToken) -> JWTSessionError | None:
        # RFC 6749 section 3.3: only a space separates scopes.
        granted = {scope for scope in (token.scope or "").split(" ") if scope}
        return None if granted.issuperset(scopes) else InsufficientScopeError(scopes)

    return insufficient


def fresh_demand(max_age: int | timedelta, clock: Callable[[], float]) -> Demand:
    """A demand that the user signed in at most `max_age` ago (RFC 9470).

    Args:
        max_age: Seconds, or a `timedelta` of whole seconds.
        clock: Returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: `max_age` is not a whole number of seconds.
    """
    try:
        allowed = seconds(max_age)
    except ValueError as error:
        raise ConfigurationError(f"require_fresh: max_age: {error}") from None
    if type(allowed) is not int or allowed < 0:
        raise ConfigurationError("require_fresh: max_age: must be whole seconds, or a timedelta of them")

    def stale(token: VerifiedToken) -> JWTSessionError | None:
        fresh = token.auth_time is not None and clock() - token.auth_time <= allowed
        return None if fresh else StaleAuthenticationError(allowed)

    return stale


def both(one: Demand, other: Demand | None) -> Demand:
    """A demand that the token meets both demands. If it meets neither, the error is that of `other`."""
    return one if other is None else lambda token: other(token) or one(token)
