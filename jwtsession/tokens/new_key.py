"""`new_key()`: makes a key for an algorithm, for the command line and the test kit."""

import json
import secrets
from typing import Any

from .. import _base64
from ..errors import ConfigurationError

RSA_BITS = 3072
"""The size of a new RSA key: as strong as 128 bits (NIST SP 800-57 part 1, table 2)."""

_SECRET_BYTES = 64


def new_key(algorithm: str, kid: str, *, as_pem: bool = False) -> str:
    """Make a key that signs, as the setting `secret` takes it.

    Args:
        algorithm: The algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
        kid: The key's name.
        as_pem: Whether to return PEM (PKCS #8), which has no place for the name. Otherwise it is a JWK (RFC 7517).

    Returns:
        For HMAC a random text, and otherwise the private key.

    Raises:
        ConfigurationError: The algorithm needs the extra `crypto`.
    """
    if algorithm.startswith("HS"):
        return secrets.token_urlsafe(_SECRET_BYTES)
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise ConfigurationError(
            f"algorithm: {algorithm} needs the extra: pip install 'fastapi-jwtsession[crypto]'"
        ) from None
    key = _private(algorithm)
    if as_pem:
        pem: bytes = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem.decode()
    return json.dumps(_members(key) | {"alg": algorithm, "use": "sig", "kid": kid})


def _private(algorithm: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("ES"):
        curves: dict[str, ec.EllipticCurve] = {
            "ES256": ec.SECP256R1(),
            "ES384": ec.SECP384R1(),
            "ES512": ec.SECP521R1(),
        }
        return ec.generate_private_key(curves[algorithm])
    return rsa.generate_private_key(public_exponent=65_537, key_size=RSA_BITS)


def _members(key: Any) -> dict[str, str]:
    """The members that make a private key (RFC 7518 section 6, RFC 8037 section 2)."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPrivateKey):
        private, public = key.private_numbers(), key.private_numbers().public_numbers
        numbers = {"n": public.n, "e": public.e, "d": private.d, "p": private.p, "q": private.q}
        numbers |= {"dp": private.dmp1, "dq": private.dmq1, "qi": private.iqmp}
        return {"kty": "RSA"} | {name: _number(number) for name, number in numbers.items()}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        curve, size = key.curve.name, (key.key_size + 7) // 8
        point, secret = key.public_key().public_numbers(), key.private_numbers().private_value
        name = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[curve]
        numbers = {"x": point.x, "y": point.y, "d": secret}
        return {"kty": "EC", "crv": name} | {each: _number(number, size) for each, number in numbers.items()}
    raw = {"x": key.public_key().public_bytes_raw(), "d": key.private_bytes_raw()}
    return {"kty": "OKP", "crv": "Ed25519"} | {name: _base64.encode(value) for name, value in raw.items()}


def _number(value: int, size: int | None = None) -> str:
    return _base64.encode(value.to_bytes(size or (value.bit_length() + 7) // 8))
