"""Keys of every kind, as an application would configure them; each is made once."""

import functools
import json
from collections.abc import Iterable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

HMAC = ("HS256", "HS384", "HS512")
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
ALGORITHMS = (*HMAC, *ASYMMETRIC)


def by_algorithm(names: Iterable[str], *forms: str) -> list[Any]:
    """Parameters, each algorithm with each form: `slow` are those that differ from RS256 and PS256 in the hash alone.

    To read a private key of RSA takes long.
    """
    hashes = ("RS384", "RS512", "PS384", "PS512")
    return [
        pytest.param(name, *form, marks=[pytest.mark.slow] if name in hashes else [])
        for name in names
        for form in ([[each] for each in forms] or [[]])
    ]


_CURVES = {"ES256": ec.SECP256R1(), "ES256K": ec.SECP256K1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


_ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 2**384 - 1388124618062372383947042015309946732620727252194336364173,
    "ES512": 2**521 - 657877501894328237357444332315020117536923257219387276263472201219398408051703,
}
"""How many points the curves have (FIPS 186-5, SP 800-186 section 3.2.1)."""


def twin(algorithm: str, token: str) -> str:
    """The token with the other of its two valid ECDSA signatures: `(r, n - s)` for `(r, s)`."""
    signed, _, text = token.rpartition(".")
    signature = jwt.utils.base64url_decode(text)
    half = len(signature) // 2
    s = _ORDERS[algorithm] - int.from_bytes(signature[half:], "big")
    other = signature[:half] + s.to_bytes(half, "big")
    return f"{signed}.{jwt.utils.base64url_encode(other).decode()}"


@functools.cache
def private_key(kind: str, number: int = 1) -> Any:
    """The first, second, ... private key of an algorithm; all of RSA's are the same, for they take long to make."""
    if kind[:2] in ("RS", "PS"):
        return rsa_key(2048, number)
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    return ec.generate_private_key(_CURVES[kind])


@functools.cache
def rsa_key(bits: int, number: int = 1) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def pem(key: Any, encryption: KeySerializationEncryption | None = None) -> str:
    """A private key."""
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return text.decode()


def public_pem(key: Any) -> str:
    """Its public half."""
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def jwk(key: Any, **members: Any) -> str:
    """A key as JWK, with other members."""
    kind = {"RSA": "RS256", "Elliptic": "ES256", "EC": "ES256", "Ed": "EdDSA"}
    name = next(algorithm for start, algorithm in kind.items() if type(key).__name__.startswith(start))
    return json.dumps(jwt.get_algorithm_by_name(name).to_jwk(key, as_dict=True) | members)


def private_and_public(algorithm: str, form: str) -> tuple[str, str]:
    """Both halves of a key for the algorithm, as `pem` or `jwk`."""
    key = private_key(algorithm)
    return (pem(key), public_pem(key)) if form == "pem" else (jwk(key), jwk(key.public_key()))
