"""The strict reader of a token's compact form (RFC 7515 section 3.1) and of the JSON in it."""

import json
import math
import re
from typing import Any, NoReturn

from .. import _base64
from ..errors import InvalidTokenError
from .keys import KeyRing

MAX_TOKEN_CHARS = 8_192
"""A longer text is no token."""

MAX_HEADER_CHARS = 1_024
"""Of the JOSE header as it stands in the token: it is parsed before the signature is checked, whoever sent it."""

# RFC 7515 section 3.1: the compact form, base64url without padding.
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

# RFC 8725 section 3: no key from the token, no compression, no nesting; RFC 7797: no JWT has b64; we know no `crit`.
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "zip", "cty", "crit", "b64"})


def signed_payload(token: str, keys: KeyRing) -> bytes:
    """The payload of a token of the right form that a trusted key has signed (RFC 7515 section 5.2).

    Args:
        token: What the client sent.
        keys: Of the only algorithm that is accepted.

    Raises:
        InvalidTokenError: It has not the compact form, its header asks for anything that is not supported, or no key
            has signed it.
    """
    form = _COMPACT.fullmatch(token) if len(token) <= MAX_TOKEN_CHARS else None
    if form is None:
        raise InvalidTokenError("token_malformed")
    header, payload, signature = form.groups()
    if len(header) > MAX_HEADER_CHARS:
        raise InvalidTokenError("token_malformed")
    kid = _checked_kid(read_json(_decode(header)), keys.algorithm)
    if not keys.verify(kid, f"{header}.{payload}".encode(), _decode(signature)):
        raise InvalidTokenError("token_signature")
    return _decode(payload)


def payload_of(token: str) -> bytes:
    """The payload of a token that was verified before."""
    return _decode(token.split(".")[1])


def read_json(value: bytes) -> dict[str, Any]:
    """A JSON object of strict UTF-8, with unique members and finite numbers.

    Raises:
        InvalidTokenError: It is anything else.
    """
    try:
        text = value.decode("utf-8")
        found = _json.decode(text)
        if "\\u" in text:
            # Half of a surrogate pair is no character: it would fail later, when somebody encodes it.
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise InvalidTokenError("token_malformed") from None
    if not isinstance(found, dict):
        raise InvalidTokenError("token_malformed")
    return found


def _decode(part: str) -> bytes:
    try:
        return _base64.decode(part)
    except ValueError:
        raise InvalidTokenError("token_malformed") from None


def _checked_kid(header: dict[str, Any], algorithm: str) -> str | None:
    if header.get("alg") != algorithm:
        raise InvalidTokenError("token_algorithm")
    if not _REFUSED_HEADERS.isdisjoint(header):
        raise InvalidTokenError("token_header")
    kid = header.get("kid")
    if header.get("typ", "JWT") != "JWT" or not isinstance(kid, str | None) or ("kid" in header and kid is None):
        raise InvalidTokenError("token_header")
    return kid


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_json = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse)
