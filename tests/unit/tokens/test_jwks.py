"""Tests of jwtsession.tokens.jwks: the keys that another service publishes."""

import json
from typing import Any

import pytest
from jwt import utils

from jwtsession.tokens import KeyRing, KeySpec, read_jwks
from jwtsession.tokens.jwks import MAX_KEYS
from tests.keymaterial import ASYMMETRIC, by_algorithm, pem, private_key

PRIVATE = {"d": "AAAA"}, {"k": "AAAA"}, {"p": "AAAA"}, {"oth": []}


def published(algorithm: str = "ES256", number: int = 1) -> dict[str, Any]:
    ring = KeyRing([KeySpec(f"k{number}", pem(private_key(algorithm, number)))], algorithm)
    (key,) = ring.jwks()["keys"]
    return dict(key)


def read(*keys: Any, algorithm: str = "ES256") -> KeyRing:
    return read_jwks(json.dumps({"keys": keys}).encode(), algorithm)


@pytest.mark.parametrize("algorithm", by_algorithm(ASYMMETRIC))
def test_the_keys_verify_and_sign_nothing(algorithm: str) -> None:
    """Each algorithm: a signature by the private key is good by the published one, which can't sign."""
    signer = KeyRing([KeySpec("k1", pem(private_key(algorithm, 1)))], algorithm)
    ring = read(published(algorithm), algorithm=algorithm)
    head, payload, signature = signer.sign({"sub": "ann"}).split(".")
    raw = utils.base64url_decode(signature)
    assert ring.verify("k1", f"{head}.{payload}".encode(), raw)
    assert not ring.verify("k1", f"{head}.{payload}x".encode(), raw)
    with pytest.raises(ValueError, match="no key can sign"):
        ring.sign({})


def test_other_keys_are_left_out() -> None:
    """Keys for other algorithms and purposes, unknown ones, and what is no key; certificates don't matter."""
    others = [
        published("EdDSA", 2),
        published("ES256", 3) | {"use": "enc"},
        published("ES256", 4) | {"alg": "ES384"},
        published("ES256", 5) | {"key_ops": ["sign"]},
        published("ES256", 6) | {"x": "AAAA"},
        published("ES256", 7) | {"kid": 5},
        {"kty": "unknown", "kid": "u"},
        None,
        [],
        "key",
    ]
    ring = read(*others, published() | {"x5c": ["MIIB"], "x5t": "AAAA"})
    assert ring.knows("k1")
    assert [key["kid"] for key in ring.jwks()["keys"]] == ["k1"]


def test_a_key_without_a_name_has_its_thumbprint() -> None:
    """As the issuer itself would name it."""
    key = published()
    del key["kid"]
    (named,) = read(key).jwks()["keys"]
    assert len(named["kid"]) == 43


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "no JSON object"),
        (b"[]", "no JSON object"),
        (b'{"keys": [], "keys": []}', "no JSON object"),
        (b"\xff", "no JSON object"),
        (b"{}", "no list"),
        (b'{"keys": {}}', "no list"),
        (b'{"keys": []}', "no key for ES256"),
        (json.dumps({"keys": [None] * (MAX_KEYS + 1)}).encode(), "no list of at most"),
        (json.dumps({"keys": [published(), published()]}).encode(), "two of its keys"),
        (json.dumps({"keys": [published(), {"kty": "oct", "kid": "s"}]}).encode(), "must never be published"),
        *(
            (json.dumps({"keys": [published(), published("ES256", 2) | each]}).encode(), "must never")
            for each in PRIVATE
        ),
    ],
)
def test_a_set_that_can_not_be_used(document: bytes, reason: str) -> None:
    """The message says why. One private or symmetric key spoils the whole set."""
    with pytest.raises(ValueError, match=reason):
        read_jwks(document, "ES256")
