"""Public keys that clients send as JWK: which are read, and which are refused."""

import base64
import contextlib
import json
from typing import Any

import pytest

from jwtsession.tokens.jwk import public_members, thumbprint
from jwtsession.tokens.keys import PublicKeyReader
from tests.keymaterial import ASYMMETRIC, jwk, private_key, rsa_key
from tests.proofs import encoded, public_jwk

READER = PublicKeyReader(ASYMMETRIC)
EC, ED, RSA = (public_jwk(private_key(algorithm)) for algorithm in ("ES256", "EdDSA", "RS256"))
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1


def test_the_thumbprint_is_that_of_the_rfc() -> None:
    """RFC 7638 section 3.1 prints a key and its thumbprint; members that do not make the key do not count."""
    key = {
        "kty": "RSA",
        "n": (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n"
            "3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zg"
            "dAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFC"
            "ur-kEgU8awapJzKnqDKgw"
        ),
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert READER.read(key, "RS256").thumbprint == thumbprint(key)


def test_the_thumbprint_of_ed25519_is_that_of_the_rfc() -> None:
    """RFC 8037 appendix A.3 prints the thumbprint of its key."""
    key = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert READER.read(key, "EdDSA").thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_members_that_describe_a_key_may_stand_there(algorithm: str) -> None:
    """What WebCrypto and other libraries export beside the key is accepted, and does not change the thumbprint."""
    key = public_jwk(private_key(algorithm))
    described = key | {"kid": "a", "use": "sig", "alg": algorithm, "key_ops": ["verify"], "ext": True}
    assert READER.read(described, algorithm).thumbprint == thumbprint(key)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_private_key_is_refused(algorithm: str) -> None:
    """The whole private key is refused, and so is the public one with any single member of it."""
    key = private_key(algorithm)
    private: dict[str, Any] = json.loads(jwk(key)) | {"key_ops": ["verify"]}
    with pytest.raises(ValueError, match="no public key"):
        READER.read(private, algorithm)
    for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k"):
        with pytest.raises(ValueError, match="no public key"):
            READER.read(public_jwk(key) | {name: "AA"}, algorithm)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (None, "ES256"),
        ("{}", "ES256"),
        ([EC], "ES256"),
        ({}, "ES256"),
        ({"kty": "oct", "k": "AA"}, "ES256"),
        (EC, "EdDSA"),  # another type than the algorithm's
        (EC, "RS256"),
        (ED, "ES256"),
        (RSA, "ES256"),
        (RSA, "EdDSA"),
        (EC, "ES384"),  # another curve
        (public_jwk(private_key("ES384")), "ES256"),
        (public_jwk(private_key("ES256K")) | {"crv": "secp256k1"}, "ES256"),
        (EC | {"crv": "P-384"}, "ES256"),
        (EC | {"crv": "P-384"}, "ES384"),
        (public_jwk(private_key("ES256K")) | {"crv": "P-256"}, "ES256"),  # not on the curve
        (ED | {"crv": "Ed448"}, "EdDSA"),
        (public_jwk(private_key("Ed448")), "EdDSA"),
        (ED | {"crv": "X25519"}, "EdDSA"),
        (ED | {"y": ED["x"]}, "EdDSA"),  # a member of another type of key
        (EC | {"n": "AA"}, "ES256"),
        (EC | {"x5c": []}, "ES256"),
        (EC | {"unknown": 1}, "ES256"),
        *(({name: EC[name] for name in EC if name != left}, "ES256") for left in EC),
        *((EC | {name: 1}, "ES256") for name in EC),
        (EC | {"x": EC["x"][:-2]}, "ES256"),  # another length
        (EC | {"x": "AA" + EC["x"]}, "ES256"),
        (EC | {"x": EC["x"] + "="}, "ES256"),
        (EC | {"x": EC["x"][:-1] + "+"}, "ES256"),
        (EC | {"x": EC["y"], "y": EC["x"]}, "ES256"),
        (EC | {"x": encoded(bytes(32)), "y": encoded(bytes(32))}, "ES256"),
        (EC | {"x": encoded(P256.to_bytes(32))}, "ES256"),
        (EC | {"x": ""}, "ES256"),
        (ED | {"x": ED["x"][:-2]}, "EdDSA"),
        *((ED | {"x": encoded(y.to_bytes(32, "little"))}, "EdDSA") for y in (0, 1, 2**255 - 20, 2**255 - 19, 2**255)),
        (
            ED | {"x": encoded(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))},
            "EdDSA",
        ),
        (
            ED | {"x": encoded(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"))},
            "EdDSA",
        ),
        (public_jwk(rsa_key(1024)), "RS256"),  # too short
        (RSA | {"n": "AA" + RSA["n"][:-2]}, "RS256"),
        (RSA | {"n": encoded(b"\1" * 1025)}, "RS256"),  # slow on purpose
        (RSA | {"e": encoded(b"\1" * 5)}, "RS256"),
        (RSA | {"e": "AQ"}, "RS256"),
        (RSA | {"e": "Ag"}, "RS256"),
        (RSA | {"e": ""}, "RS256"),
        (RSA | {"n": ""}, "RS256"),
        (EC | {"use": "enc"}, "ES256"),  # not for this
        (EC | {"alg": "ES384"}, "ES256"),
        (EC | {"alg": None}, "ES256"),
        (EC | {"key_ops": ["sign"]}, "ES256"),
        (EC | {"key_ops": "verify"}, "ES256"),
        (EC | {"key_ops": []}, "ES256"),
        (EC | {"kid": 1}, "ES256"),
        (EC | {"crv": "P-256\u0000"}, "ES256"),
    ],
)
def test_what_is_no_public_key_for_the_algorithm_is_refused(key: object, algorithm: str) -> None:
    """A key of another type or curve, in another spelling, too weak, too slow or for another use raises ValueError."""
    with pytest.raises(ValueError, match="no public key"):
        READER.read(key, algorithm)


def test_a_point_has_one_form() -> None:
    """A coordinate plus the curve's prime is the same point for the library: the key would have a second thumbprint."""
    point = public_jwk(private_key("ES512"))
    for name in ("x", "y"):
        number = int.from_bytes(base64.urlsafe_b64decode(point[name])) + 2**521 - 1
        with pytest.raises(ValueError, match="no public key"):
            READER.read(point | {name: encoded(number.to_bytes(66))}, "ES512")
    x, y = 5, 0x459243B9AA581806FE913BCE99817ADE11CA503C64D9A3C533415C083248FBCC  # a point of P-256 that is small
    for number, is_read in ((x, True), (x + P256, False)):
        key = EC | {"x": encoded(number.to_bytes(32)), "y": encoded(y.to_bytes(32))}
        with contextlib.nullcontext() if is_read else pytest.raises(ValueError, match="no public key"):
            READER.read(key, "ES256")


def test_the_checks_come_before_the_library() -> None:
    """The members that go to the library are the public ones alone."""
    assert public_members(EC | {"kid": "a"}, "ES256") == EC
    assert public_members(RSA | {"use": "sig"}, "PS512") == RSA


def test_one_key_serves_the_algorithms_of_its_type() -> None:
    """An RSA key verifies by the algorithm that it was read for, and by no other."""
    signature = private_key("RS256")
    read = READER.read(RSA, "RS256")
    other = READER.read(RSA, "PS256")
    made = read.algorithm.sign(b"text", signature)
    assert read.verify(b"text", made)
    assert not other.verify(b"text", made)
    assert not read.verify(b"text", made[:-1])
