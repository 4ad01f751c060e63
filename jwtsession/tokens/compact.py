"""The strict reader of a token's compact form (RFC 7515 section 3.1) and of its JSON."""

import json
import math
import re
from typing import Any, NoReturn

from .. import _base64
from ..errors import InvalidTokenError
from .keys import KeyRing

MAX_TOKEN_CHARS = 8_192
"""A longer text is refused as a token."""

MAX_HEADER_CHARS = 1_024
"""The longest JOSE header, as base64url. It is short because the header is parsed before the signature is checked."""

# RFC 7515 section 3.1: the compact form, base64url without padding.
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

# RFC 8725 section 3: no key from the token, no compression, no nested token. RFC 7797 section 7: a JWT has no `b64`.
# RFC 7515 section 4.1.11: a reader that knows no critical extension refuses `crit`.
REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "zip", "cty", "crit", "b64"})
"""No token may have these headers. A proof of possession has `jwk` (RFC 9449 section 4.2), and none of the others."""


def signed_payload(token: str, keys: KeyRing, limit: int = MAX_TOKEN_CHARS, typ: str = "JWT") -> bytes:
    """Return the payload of a token, after checking its form and its signature (RFC 7515 section 5.2).

    Args:
        token: The text that the client sent.
        keys: The trusted keys; their algorithm is the only one that is accepted.
        limit: How many characters the token may have.
        typ: What the token's header must say that it is. "JWT" also accepts a header that does not say it.

    Raises:
        InvalidTokenError: The token has not the compact form, its header asks for an unsupported feature, or no
            trusted key signed it.
    """
    header, payload, signature = split(token, limit)
    if len(header) > MAX_HEADER_CHARS:
        raise InvalidTokenError("token_malformed")
    kid = _checked_kid(read_json(decode(header)), keys.algorithm, typ)
    if not keys.verify(kid, f"{header}.{payload}".encode(), decode(signature)):
        raise InvalidTokenError("token_signature")
    return decode(payload)


def payload_of(token: str) -> bytes:
    """Return the payload of a token that was verified before."""
    return decode(token.split(".")[1])


def split(token: str, limit: int) -> tuple[str, str, str]:
    """Return the three parts of a compact form: header, payload and signature, each as base64url.

    Args:
        token: The text that the client sent.
        limit: How many characters it may have.

    Raises:
        InvalidTokenError: The text has not the compact form, or is too long.
    """
    form = _COMPACT.fullmatch(token) if len(token) <= limit else None
    if form is None:
        raise InvalidTokenError("token_malformed")
    header, payload, signature = form.groups()
    return header, payload, signature


def kid_of(token: str) -> str | None:
    """Return the name of the key that the header of a token names. The token may be forged, but has the right form."""
    kid: str | None = read_json(decode(token.split(".")[0])).get("kid")
    return kid


def read_json(value: bytes) -> dict[str, Any]:
    """Read a JSON object: strict UTF-8, with unique members and finite numbers.

    Raises:
        InvalidTokenError: The bytes are no such object.
    """
    try:
        text = value.decode("utf-8").strip(" \t\n\r")  # the white space of JSON (RFC 8259 section 2)
        found, end = _json.raw_decode(text)
        if end != len(text):
            raise ValueError
        if "\\u" in text:
            # Refuse half of a surrogate pair here: it is no character, and encoding it later would fail.
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise InvalidTokenError("token_malformed") from None
    if not isinstance(found, dict):
        raise InvalidTokenError("token_malformed")
    return found


def decode(part: str) -> bytes:
    """Return the bytes of a part.

    Raises:
        InvalidTokenError: It is no base64url, or it is a second spelling of the same bytes.
    """
    try:
        return _base64.decode(part)
    except ValueError:
        raise InvalidTokenError("token_malformed") from None


def _checked_kid(header: dict[str, Any], algorithm: str, typ: str) -> str | None:
    if header.get("alg") != algorithm:
        raise InvalidTokenError("token_algorithm")
    if not REFUSED_HEADERS.isdisjoint(header):
        raise InvalidTokenError("token_header")
    kid = header.get("kid")
    if not _has_type(header, typ) or not isinstance(kid, str | None) or ("kid" in header and kid is None):
        raise InvalidTokenError("token_header")
    return kid


def _has_type(header: dict[str, Any], typ: str) -> bool:
    """Whether the header says that the token is of this type (RFC 8725 section 3.11)."""
    if typ == "JWT":
        return bool(header.get("typ", typ) == typ)
    given = header.get("typ")
    # RFC 7515 section 4.1.9: a media type, in any case, with or without "application/".
    return isinstance(given, str) and given.lower().removeprefix("application/") == typ


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
