"""The checks of a token's claims: their types, the audience, and the times (RFC 7519)."""

import re
from collections.abc import Mapping
from typing import Any

from .._ids import is_session_id
from ..errors import ExpiredTokenError, InvalidArgumentError, InvalidTokenError
from .cache import VerifiedToken

# Every JSON reader reads integers up to this one exactly. It is also far beyond any date.
_MAX_NUMBER = 2**53

# RFC 7638 section 3: a SHA-256 as base64url.
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")

# A time this large is surely in milliseconds by mistake: in seconds it is the year 5138, in milliseconds 1973.
_MILLISECONDS = 10**11


def is_number(value: object) -> bool:
    """Whether the value is a number that every JSON reader reads exactly."""
    return type(value) in (int, float) and -_MAX_NUMBER <= value <= _MAX_NUMBER  # type: ignore[operator]


def check_claims(claims: Mapping[str, Any], *, issuer: str | None, audience: str | None, exp_required: bool) -> None:
    """Refuse claims of the wrong type (RFC 7519 section 4.1), and claims that are meant for another service.

    Args:
        claims: The claims of a token with a valid signature.
        issuer: The only `iss` that is accepted; None accepts any.
        audience: The value that `aud` must contain; None accepts only a token without `aud`.
        exp_required: Whether to refuse a token without `exp`.

    Raises:
        InvalidTokenError: A claim is wrong. `code` says which.
    """
    for name in ("exp", "nbf", "iat", "auth_time"):
        if name in claims and not is_number(claims[name]):
            raise InvalidTokenError("token_claims")
    idle = claims.get("jwtsession_idle_timeout", 1)
    if type(idle) is not int or not 0 < idle <= _MAX_NUMBER:
        raise InvalidTokenError("token_claims")
    if not isinstance(claims.get("jwtsession_persistent", True), bool):
        raise InvalidTokenError("token_claims")
    gen = claims.get("gen", 0)
    if type(gen) is not int or not 0 <= gen <= _MAX_NUMBER:
        raise InvalidTokenError("token_claims")
    if "cnf" in claims and not _is_key_binding(claims["cnf"]):
        raise InvalidTokenError("token_claims")
    for name in ("iss", "sub", "scope", "acr"):
        if name in claims and not isinstance(claims[name], str):
            raise InvalidTokenError("token_claims")
    if "amr" in claims and not _is_list_of_texts(claims["amr"]):
        raise InvalidTokenError("token_claims")
    if "act" in claims and not _is_actor(claims["act"]):
        raise InvalidTokenError("token_claims")
    if not is_session_id(claims.get("jti")):
        raise InvalidTokenError("token_claims")
    if exp_required and "exp" not in claims:
        raise InvalidTokenError("token_claims")
    if issuer is not None and claims.get("iss") != issuer:
        raise InvalidTokenError("token_issuer")
    if "aud" in claims or audience is not None:
        audiences = claims.get("aud")
        if isinstance(audiences, str):
            audiences = [audiences]
        if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
            raise InvalidTokenError("token_audience")
        if audience not in audiences:
            raise InvalidTokenError("token_audience")


def _is_key_binding(cnf: object) -> bool:
    """Whether it is the binding to a key that a proof can show (RFC 9449 section 6.1), and no other binding."""
    return (
        isinstance(cnf, dict)
        and cnf.keys() == {"jkt"}
        and isinstance(cnf["jkt"], str)
        and _THUMBPRINT.fullmatch(cnf["jkt"]) is not None
    )


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_actor(act: object) -> bool:
    """Whether it names one actor (RFC 8693 section 4.1), and no chain of actors."""
    return (
        isinstance(act, dict)
        and isinstance(act.get("sub"), str)
        and act["sub"] != ""
        and "act" not in act
        and not any(isinstance(each, dict | list) for each in act.values())
    )


def check_times(verified: VerifiedToken, now: float, leeway: float) -> None:
    """Refuse a genuine token that is not valid now.

    Args:
        verified: The token.
        now: The time in seconds since the epoch.
        leeway: By how many seconds clocks may differ.

    Raises:
        ExpiredTokenError: The token's `exp` has passed.
        InvalidTokenError: The token is not valid yet, or says that it was issued in the future.
    """
    if verified.exp is not None and now >= verified.exp + leeway:
        raise ExpiredTokenError
    if verified.nbf is not None and now < verified.nbf - leeway:
        raise InvalidTokenError("token_not_yet_valid")
    if verified.iat is not None and now < verified.iat - leeway:
        raise InvalidTokenError("token_issued_in_future")
    if verified.auth_time is not None and now < verified.auth_time - leeway:
        # Such a token would stay fresh until that time; with milliseconds by mistake, for ever.
        raise InvalidTokenError("token_authenticated_in_future")


def check_new_times(issued: VerifiedToken, now: float, leeway: float) -> None:
    """Refuse to issue a token that would never be valid, or valid for much longer than intended.

    Args:
        issued: The token.
        now: The time in seconds since the epoch.
        leeway: By how many seconds clocks may differ.

    Raises:
        InvalidArgumentError: A time is wrong. The message names the claim.
    """
    exp, nbf = issued.exp, issued.nbf
    if exp is not None and exp <= now:
        raise InvalidArgumentError("these claims make a token that has expired: exp")
    if nbf is not None and exp is not None and nbf >= exp:
        raise InvalidArgumentError("these claims make a token that expires before it is valid: nbf")
    for name, value in (("iat", issued.iat), ("auth_time", issued.auth_time)):
        if value is not None and value > now + leeway:
            raise InvalidArgumentError(
                f"{name}: lies in the future, by more than leeway: give seconds since the epoch, not milliseconds"
            )
    for name, value in (("exp", exp), ("nbf", nbf)):
        if value is not None and value >= _MILLISECONDS:
            raise InvalidArgumentError(f"{name}: give seconds since the epoch, not milliseconds")
