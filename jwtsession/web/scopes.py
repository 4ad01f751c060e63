"""Demands: what an endpoint requires of a genuine token."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta

from ..errors import (
    ConfigurationError,
    ImpersonationError,
    InsufficientLevelError,
    InsufficientScopeError,
    JWTSessionError,
    StaleAuthenticationError,
)
from ..settings import seconds
from ..tokens import VerifiedToken

_VALUE = re.compile(r"[!#-\[\]-~]+")
"""What a challenge may have between two spaces (RFC 9470 section 3): no space, no quote and no backslash."""

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
    """A demand that the user signed in at most `max_age` ago (RFC 9470), and that nobody acts for the user.

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
        if token.actor is not None:  # another sign-in would not help: it would be the actor's
            return ImpersonationError("impersonated")
        fresh = token.auth_time is not None and clock() - token.auth_time <= allowed
        return None if fresh else StaleAuthenticationError(allowed)

    return stale


def level_demand(acr_values: Sequence[str], amr: Sequence[str]) -> Demand:
    """A demand that the token's `acr` is one of these values, and that its `amr` has all of those (RFC 9470).

    Args:
        acr_values: The levels that are enough; none accepts any level.
        amr: The methods.

    Raises:
        ConfigurationError: There is neither, or a value can't stand in a challenge.
    """
    if isinstance(amr, str):
        raise ConfigurationError(f"require_level: amr: must be a list of texts, such as [{amr!r}]")
    methods = tuple(amr)
    if not acr_values and not methods:
        raise ConfigurationError('require_level: name a level, as in require_level("aal2"), or a method by amr')
    for value in (*acr_values, *methods):
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ConfigurationError(
                f"require_level: {value!r}: must be a text of printable ASCII characters, without space, quote or \\"
            )

    def insufficient(token: VerifiedToken) -> JWTSessionError | None:
        if (not acr_values or token.acr in acr_values) and set(token.amr or ()).issuperset(methods):
            return None
        if token.actor is not None:  # the actor can't step up
            return ImpersonationError("impersonated")
        return InsufficientLevelError(acr_values)

    return insufficient


def both(one: Demand | None, other: Demand | None) -> Demand | None:
    """A demand that the token meets both demands. If it meets neither, the error is that of `other`."""
    if one is None or other is None:
        return one or other
    return lambda token: other(token) or one(token)
