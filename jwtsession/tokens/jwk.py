"""What a public key looks like as JWK (RFC 7517), and its thumbprint (RFC 7638)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .. import _base64

KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""The key type (RFC 7517 section 4.1) that each family of algorithms needs, by the first two letters."""

# RFC 7518 section 3.4 and RFC 8037 section 3.1: the curve of each algorithm, and the bytes of a coordinate.
_CURVES = {"ES256": ("P-256", 32), "ES384": ("P-384", 48), "ES512": ("P-521", 66), "EdDSA": ("Ed25519", 32)}

# The prime of each curve (NIST SP 800-186 section 3.2.1): a coordinate is less than it. OpenSSL takes a larger one too.
_PRIMES = {
    "P-256": 2**256 - 2**224 + 2**192 + 2**96 - 1,
    "P-384": 2**384 - 2**128 - 2**96 + 2**32 - 1,
    "P-521": 2**521 - 1,
}

# RFC 7638 section 3.2 and RFC 8037 section 2: the members that make a public key, beside `kty`.
_MEMBERS = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("e", "n")}

# Members that only describe a public key (RFC 7517 section 4), and `ext`, which WebCrypto's export adds.
_DESCRIBING = frozenset({"kty", "kid", "use", "alg", "key_ops", "ext"})

# RFC 8032 section 5.1: the prime of Ed25519, and the y of its eight points of small order. By a key that is one of
# these points, everybody can sign.
_P25519 = 2**255 - 19
_SMALL_ORDER = {
    0,
    1,
    _P25519 - 1,
    2707385501144840649318225287225658788936804267575313519463743609750303402022,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
}


def public_members(jwk: object, algorithm: str) -> dict[str, str]:
    """Return the members that make a public key, after the checks of all members.

    Args:
        jwk: The key that a client sent. It has the members that make a public key of the algorithm. Beside them it may
            have only `kid`, `use`, `alg`, `key_ops` and `ext`: so it holds no private and no secret key.
        algorithm: The algorithm of the key (RFC 7518 section 3.1, RFC 8037 section 3.1).

    Raises:
        ValueError: The value is no such key. A caller still has to find out whether a point is on its curve.
    """
    kind = KEY_TYPES[algorithm[:2]]
    if not isinstance(jwk, dict) or jwk.get("kty") != kind or jwk.keys() - _DESCRIBING != {*_MEMBERS[kind]}:
        raise ValueError
    _check_use(jwk, algorithm)
    public = {name: jwk[name] for name in (*_MEMBERS[kind], "kty")}
    if not all(isinstance(value, str) for value in public.values()):
        raise ValueError
    numbers = {name: _base64.decode(public[name]) for name in _MEMBERS[kind] if name != "crv"}
    if kind == "RSA":
        _check_rsa(numbers["n"], numbers["e"])
        return public
    curve, size = _CURVES[algorithm]
    if public["crv"] != curve or any(len(number) != size for number in numbers.values()):
        raise ValueError
    if kind == "OKP":
        _check_ed25519(numbers["x"])
    elif any(int.from_bytes(number) >= _PRIMES[curve] for number in numbers.values()):
        raise ValueError  # a second form of the point, by which the key would have a second thumbprint
    return public


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the name of a public key (RFC 7638 section 3), by SHA-256."""
    required = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    text = json.dumps(required, sort_keys=True, separators=(",", ":"))
    return _base64.encode(hashlib.sha256(text.encode()).digest())


def _check_use(jwk: Mapping[str, Any], algorithm: str) -> None:
    """Raise if the key says that it is not for verifying signatures by this algorithm (RFC 7517 section 4)."""
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm or not isinstance(operations, list):
        raise ValueError
    if "verify" not in operations or not isinstance(jwk.get("kid", ""), str):
        raise ValueError


def _check_rsa(n: bytes, e: bytes) -> None:
    """Raise if the key is too short (RFC 7518 section 3.3), not in its one form (section 2), or slow on purpose."""
    if not n or not e or n[0] == 0 or e[0] == 0:
        raise ValueError
    if not 2048 <= int.from_bytes(n).bit_length() <= 8192 or len(e) > 4:
        raise ValueError


def _check_ed25519(x: bytes) -> None:
    """Raise if the point is not in its one form, or if everybody can sign by it."""
    y = int.from_bytes(x, "little") & (2**255 - 1)
    if y >= _P25519 or y in _SMALL_ORDER:
        raise ValueError
