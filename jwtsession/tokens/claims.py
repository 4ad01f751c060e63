"""The claims of new tokens: those that replace an old one, and those by which somebody acts for a user."""

from collections.abc import Iterable, Mapping
from typing import Any

from .._types import C
from ..errors import ConfigurationError, InvalidArgumentError
from ..models import Claims

REGISTERED = (
    "sub", "iss", "aud", "iat", "nbf", "exp", "jti", "auth_time", "jwtsession_idle_timeout", "jwtsession_persistent",
    "gen", "cnf", "scope", "acr", "amr", "act",
)  # fmt: skip
"""The claims that this package reads."""

_SIGN_IN = ("auth_time", "acr", "amr")
"""The claims that tell when and how the user signed in."""


def check_claims_model(model: type[Claims]) -> None:
    """Refuse a model in which a registered claim has another name, since the package reads it by its own.

    Raises:
        ConfigurationError: The message names the field.
    """
    for name, field in model.model_fields.items():
        for alias in (field.alias, field.validation_alias, field.serialization_alias):
            if alias not in (None, name) and (name in REGISTERED or alias in REGISTERED):
                raise ConfigurationError(
                    f"{model.__name__}.{name}: a registered claim can have no alias, and no other field its name"
                )


def changes_registered(claims: Claims, payload: Mapping[str, Any]) -> bool:
    """Whether a validator of the application has changed a registered claim.

    The payload decides who the user is, what the token permits and when it ends. A validator that means to change that
    would have no effect, so the token is refused instead.
    """
    held = claims.model_dump(mode="json", by_alias=True, warnings=False, include={*REGISTERED})
    return any(held.get(name) != payload.get(name) for name in REGISTERED)


def inherited(old: C, claims: C | None, session_id: str, idle_timeout: int | None) -> C:
    """Make the claims of a token that replaces an old one. They keep the old absolute timeout and sign-in.

    Args:
        old: The old token's claims.
        claims: The claims that the caller gave; None keeps the old claims.
        session_id: The old session's id.
        idle_timeout: The old token's own idle timeout in seconds, cut to today's limit; None if it has none.

    Raises:
        InvalidArgumentError: The claims are of another type than the old ones.
    """
    claims = _own(old, claims)
    kept: dict[str, Any] = {}
    if claims.exp is None:
        kept["exp"] = old.exp
    if claims.jwtsession_idle_timeout in (None, old.jwtsession_idle_timeout):
        kept["jwtsession_idle_timeout"] = idle_timeout
    if claims.jwtsession_persistent is None:
        kept["jwtsession_persistent"] = old.jwtsession_persistent
    if claims.jti == session_id:
        # The caller passed the claims of the old token, perhaps changed: the new token needs a new id and time.
        kept |= {"jti": None, "iat": None, "gen": None, "cnf": None, "act": None}
        if claims.sub != old.sub:  # the old sign-in is another user's
            kept |= {name: None for name in _SIGN_IN if getattr(claims, name) == getattr(old, name)}
    if claims.auth_time is None and claims.sub == old.sub:
        # A level belongs to its sign-in: claims with a new `auth_time` say themselves how strong that sign-in was.
        kept |= {name: getattr(old, name) for name in _SIGN_IN if getattr(claims, name) is None}
    return claims.model_copy(update=kept)


def stepped_up(old: C, claims: C | None, acr: str | None, amr: Iterable[str], now: int) -> C:
    """Make the claims of a user who has just signed in again, or more strongly.

    Args:
        old: The old token's claims.
        claims: The claims that the caller gave; None keeps the old claims.
        acr: The level; None keeps it.
        amr: The methods; empty keeps them.
        now: The time of the sign-in in seconds since the epoch.

    Raises:
        InvalidArgumentError: It is nobody, or another user, or `amr` is no list.
    """
    claims = _own(old, claims)
    if not old.sub:
        raise InvalidArgumentError("step_up needs a token with a sub: a visitor signs in by create()")
    if claims.sub != old.sub:
        raise InvalidArgumentError("step_up: the claims have another sub: another user signs in by create()")
    if isinstance(amr, str) or not isinstance(amr, Iterable):
        raise InvalidArgumentError("step_up: amr: must be a list of texts")
    level = claims.acr if acr is None else acr
    methods = [*amr] or claims.amr
    return claims.model_copy(
        update={
            "auth_time": now,
            "acr": old.acr if level is None else level,
            "amr": old.amr if methods is None else methods,
        }
    )


def impersonated(model: type[C], claims: C | None, sub: str) -> C:
    """Make the claims of a token by which somebody acts for a user.

    Args:
        model: The model of the claims.
        claims: The claims that the caller gave; None gives none but `sub`.
        sub: The user.

    Raises:
        InvalidArgumentError: The claims are no claims of this model, they are another user's, or tell of a sign-in.
    """
    if claims is None:
        try:
            return model(sub=sub)
        except ValueError:  # Pydantic's
            raise InvalidArgumentError(
                f"impersonate: {model.__name__} can't be made of a sub alone: give claims"
            ) from None
    if not isinstance(claims, model):
        raise InvalidArgumentError(f"expected {model.__name__}, got {type(claims).__name__}")
    if any(getattr(claims, name) is not None for name in _SIGN_IN):
        raise InvalidArgumentError("impersonate: auth_time, acr, amr: the user has not signed in")
    return claims.model_copy(update={"sub": sub}) if claims.sub is None else claims


def _own(old: C, claims: C | None) -> C:
    """The claims that the caller gave, or else the old ones."""
    claims = old if claims is None else claims
    if not isinstance(claims, type(old)):
        raise InvalidArgumentError(f"expected {type(old).__name__}, got {type(claims).__name__}")
    return claims
