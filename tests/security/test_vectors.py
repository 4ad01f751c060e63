"""Public test vectors for the reader of tokens: Wycheproof's JSON Web Signatures and the JOSE cookbook (RFC 7520)."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jwtsession import ConfigurationError, InvalidTokenError
from jwtsession.tokens import KeyRing, KeySpec
from jwtsession.tokens.compact import signed_payload

VECTORS = Path(__file__).parents[1] / "vectors"

# Vectors whose verdict is not ours, each with the reason. The list is exact: a vector that leaves it fails the test.
EMPTY = "an empty payload is a valid JWS, but no JWT: a JWT's payload is an object (RFC 7519 section 7.2)"
OTHER_ALGORITHM = "the token's algorithm is not the one that its key names, which is the one that is accepted"
NO_SUCH_ALGORITHM = "the key says ES521, which RFC 7518 does not have: the key is refused"
SPELLING = "a character that is not base64url is refused, not skipped (RFC 7515 section 2)"
IDENTICAL = "byte for byte the token of a valid vector: its padding is not in the published file"
DEVIATIONS = {
    259: EMPTY,
    264: EMPTY,
    268: EMPTY,
    272: EMPTY,
    320: EMPTY,
    325: EMPTY,
    346: OTHER_ALGORITHM,
    347: NO_SUCH_ALGORITHM,
    350: OTHER_ALGORITHM,
    351: NO_SUCH_ALGORITHM,
    367: IDENTICAL,
    370: IDENTICAL,
    372: SPELLING,
    373: SPELLING,
}


def ring_of(jwk: dict[str, Any], algorithm: str) -> KeyRing:
    """A ring of one key, made of a JWK. An HMAC key is any text, so one of bytes is put in from below."""
    if jwk["kty"] == "oct":
        ring = KeyRing([KeySpec(None, "stands in for the bytes of the vector's own key")], algorithm)
        ring._only = base64.urlsafe_b64decode(jwk["k"] + "==")
    else:
        ring = KeyRing([KeySpec(None, json.dumps(jwk))], algorithm)
    return ring


def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / "wycheproof_json_web_signature_test.json").read_text())[
        "testGroups"
    ]
    return found


def verdict(group: dict[str, Any], jws: Any) -> str:
    """`verified`, or why not."""
    jwk = group.get("public", group["private"])
    algorithm = jwk.get("alg") or {"RSA": "RS256", "EC": "ES256"}[jwk["kty"]]
    try:
        ring = ring_of(jwk, "ES512" if algorithm == "ES521" else algorithm)
    except ConfigurationError:
        return "key refused"
    if not isinstance(jws, str):
        return "no compact form"
    try:
        signed_payload(jws, ring)
    except InvalidTokenError as error:
        return error.code
    return "verified"


def scores() -> list[tuple[str, str, str, int]]:
    """Each group's comment, what the vector says, what the reader says, and how often."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for group in groups():
        for vector in group["tests"]:
            counted[(group["comment"], vector["result"], verdict(group, vector["jws"]))] += 1
    return sorted((*key, count) for key, count in counted.items())


def test_every_vector_gets_its_verdict_or_stands_in_the_list() -> None:
    """Invalid ones are refused and valid ones verify, but for exactly those that are listed with their reason."""
    deviating = {
        vector["tcId"]
        for group in groups()
        for vector in group["tests"]
        if (vector["result"] == "valid") != (verdict(group, vector["jws"]) == "verified")
    }
    assert deviating == set(DEVIATIONS)
    assert sum(row[3] for row in scores()) == 401


def test_what_is_accepted_against_the_verdict_is_a_valid_vectors_own_token() -> None:
    """The two that are called invalid and verify are the same text as one that is called valid."""
    vectors = [vector for group in groups() for vector in group["tests"]]
    valid = {vector["jws"] for vector in vectors if vector["result"] == "valid"}
    identical = [tc for tc, reason in DEVIATIONS.items() if reason is IDENTICAL]
    assert [vector["tcId"] for vector in vectors if vector["tcId"] in identical and vector["jws"] in valid] == identical


def cookbook(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / "jose-cookbook" / name).read_text())
    return found


@pytest.mark.parametrize(
    "name",
    [
        "jws/4_1.rsa_v15_signature.json",
        "jws/4_2.rsa-pss_signature.json",
        "jws/4_3.ecdsa_signature.json",
        "jws/4_4.hmac-sha2_integrity_protection.json",
        "curve25519/jws.json",
    ],
)
def test_the_cookbooks_signatures_verify(name: str) -> None:
    """Each compact signature of the cookbook is accepted with its key, and not with one bit changed."""
    vector = cookbook(name)
    jwk = {"use": "sig"} | vector["input"]["key"]
    ring = ring_of(jwk, vector["input"]["alg"])
    token = vector["output"]["compact"]
    assert signed_payload(token, ring).decode() == vector["input"]["payload"]
    header, payload, signature = token.split(".")
    changed = ("B" if signature[10] == "A" else "A").join([signature[:10], signature[11:]])
    with pytest.raises(InvalidTokenError):
        signed_payload(f"{header}.{payload}.{changed}", ring)


@pytest.mark.parametrize(
    "name",
    [
        "jws/4_5.signature_with_detached_content.json",
        "jws/4_6.protecting_specific_header_fields.json",
        "jws/4_7.protecting_content_only.json",
        "jws/4_8.multiple_signatures.json",
        "rfc7797/4.2.hmac-sha2_b64_false.json",
        "rfc7797/hmac-sha2_b64_false.json",
    ],
)
def test_what_is_no_token_is_refused(name: str) -> None:
    """Detached content, JSON serialisations and b64=false are no JWTs (RFC 7519 section 1, RFC 7797 section 7)."""
    vector = cookbook(name)
    key = vector["input"]["key"]
    jwk = cookbook("jwk/3_5.symmetric_key_mac_computation.json") if isinstance(key, list) else key
    ring = ring_of(jwk, "HS256")
    for form in vector["output"].values():
        with pytest.raises(InvalidTokenError):
            signed_payload(form if isinstance(form, str) else json.dumps(form), ring)


if __name__ == "__main__":
    for row in scores():
        print("{:20} {:8} {:18} {:4}".format(*row))
