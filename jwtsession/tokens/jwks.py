"""Reads the public keys that another service publishes (RFC 7517 section 5)."""

import json
from typing import Any

from ..errors import ConfigurationError, InvalidTokenError
from .compact import read_json
from .jwk import public_members, thumbprint
from .keys import KeyRing, KeySpec

MAX_KEYS = 100
"""A set with more keys is refused."""

# RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1: what a private or a symmetric key has, and a public one has not.
_SECRET = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# The members that count. Others describe a key too, such as its certificate, and nobody here reads them.
_READ = frozenset({"kty", "kid", "use", "alg", "key_ops", "crv", "x", "y", "e", "n"})


def read_jwks(document: bytes, algorithm: str) -> KeyRing:
    """Return those keys of a set that verify signatures by one algorithm.

    Args:
        document: The set, as JSON.
        algorithm: The algorithm. A set may have keys for others; they are left out.

    Raises:
        ValueError: The set can't be used. The message says why, and shows no key.
    """
    try:
        keys = read_json(document).get("keys")
    except InvalidTokenError:
        raise ValueError("it is no JSON object") from None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise ValueError(f"it has no list of at most {MAX_KEYS} keys")
    specs: list[KeySpec] = []
    for key in keys:
        if isinstance(key, dict) and (key.get("kty") == "oct" or not _SECRET.isdisjoint(key)):
            # The whole set: whoever publishes such a key has given it away.
            raise ValueError("it has a private or a symmetric key, which must never be published")
        spec = _spec(key, algorithm)
        if spec is not None:
            specs.append(spec)
    if not specs:
        raise ValueError(f"it has no key for {algorithm}")
    try:
        return KeyRing(specs, algorithm)
    except ConfigurationError:
        raise ValueError("two of its keys have one name") from None


def _spec(key: Any, algorithm: str) -> KeySpec | None:
    """A key that can be used; None for a key of another kind, of another algorithm or with another purpose."""
    if not isinstance(key, dict):
        return None
    try:
        public = public_members({name: key[name] for name in _READ & key.keys()}, algorithm)
        spec = KeySpec(key.get("kid") or thumbprint(public), json.dumps(public), verify_only=True)
        KeyRing([spec], algorithm)
    except (ValueError, ConfigurationError):
        return None
    return spec
