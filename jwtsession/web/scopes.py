"""Demands: what an endpoint asks of a token beside being genuine."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from ..errors import ConfigurationError, InsufficientScopeError, JWTSessionError, StaleAuthenticationError
from ..settings import seconds
from ..tokens import VerifiedToken

Demand = Callable[[VerifiedToken], JWTSessionError | None]
"""The error of a request whose token does not meet it, or None."""


def scope_demand(scopes: Sequence[str]) -> Demand | None:
    """The token permits these scopes (RFC 6750 section 3.1); None where there are none."""
    if not scopes:
        return None

    def insufficient(token: VerifiedToken) -> JWTSessionError | None:
        # RFC 6749 section 3.3: a space separates them, and nothing else does.
        granted = {scope for scope in (token.scope or "").split(" ") if scope}
        return None if granted.issuperset(scopes) else InsufficientScopeError(scopes)

    return insufficient


def fresh_demand(max_age: int | timedelta, clock: Callable[[], float]) -> Demand:
    """The user signed in at most so many seconds ago.

    Raises:
        ConfigurationError: `max_age` is no whole number of seconds.
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
    """The token meets both; the other one's error comes first."""
    return one if other is None else lambda token: other(token) or one(token)
