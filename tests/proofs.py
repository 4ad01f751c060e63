"""Proofs of possession as clients make them (RFC 9449 section 4.2), right or wrong in one point."""

import base64
import hashlib
import json
from typing import Any

import jwt

from tests.conftest import Clock
from tests.keymaterial import jwk, private_key

PUBLIC_URL = "https://api.example.com"


def encoded(value: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def public_jwk(key: Any) -> dict[str, Any]:
    """The public half of a key, with the members that make it and no others."""
    found: dict[str, Any] = json.loads(jwk(key.public_key()))
    return {name: found[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in found}


def proof(
    url: str = PUBLIC_URL + "/me",
    method: str = "GET",
    *,
    token: str | None = None,
    algorithm: str = "ES256",
    key: Any = None,
    header: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
    **claims: Any,
) -> bytes:
    """A proof for a request.

    Args:
        url: The claim `htu`.
        method: The claim `htm`.
        token: The access token that the claim `ath` is for.
        algorithm: The signature algorithm.
        key: The private key; None takes one that is always the same.
        header: Members of the header in place of the right ones.
        without: Names of claims to leave out.
        **claims: Claims in place of the right ones.
    """
    key = private_key(algorithm) if key is None else key
    right = {"jti": "an-id-of-a-proof", "htm": method, "htu": url, "iat": Clock()()}
    if token is not None:
        right["ath"] = encoded(hashlib.sha256(token.encode()).digest())
    payload = {name: value for name, value in (right | claims).items() if name not in without}
    fields = {"typ": "dpop+jwt", "alg": algorithm, "jwk": public_jwk(key)} | (header or {})
    return signed(fields, payload, algorithm, key)


def signed(header: Any, payload: Any, algorithm: str = "ES256", key: Any = None) -> bytes:
    """A compact JWS of any header and payload, bytes or JSON, with a right signature."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    text = ".".join(map(encoded, parts)).encode()
    key = private_key(algorithm) if key is None else key
    return text + b"." + encoded(jwt.get_algorithm_by_name(algorithm).sign(text, key)).encode()
