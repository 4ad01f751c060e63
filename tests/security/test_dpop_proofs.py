"""Proofs of possession that an attacker may send: changed ones, ones by weak keys, and anything at all."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jwtsession import InvalidProofError
from jwtsession.tokens import Proof, ProofVerifier
from tests.conftest import Clock
from tests.keymaterial import ASYMMETRIC, private_key, twin
from tests.proofs import PUBLIC_URL, encoded, proof, public_jwk, signed

pytestmark = pytest.mark.slow

# The same examples every time, but for the keys: a failure in one run is a failure in the next.
EXACT = settings(derandomize=True, deadline=None, max_examples=100)

TOKEN = "a-token"
VERIFIER = ProofVerifier(
    algorithms=("ES256", "EdDSA", "RS256"), max_age=60, leeway=5, public_url=PUBLIC_URL, nonces=None, clock=Clock()
)
GOOD = {algorithm: proof(algorithm=algorithm, token=TOKEN) for algorithm in ("ES256", "EdDSA", "RS256")}
LENGTH = min(map(len, GOOD.values()))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def accepted(*headers: bytes, method: str = "GET", path: str = "/me", token: str | None = TOKEN) -> Proof | None:
    """The proof, or None if it is refused; anything else that the verifier raises is a failure."""
    with contextlib.suppress(InvalidProofError):
        return VERIFIER.verify(headers, method, path, token)
    return None


@EXACT
@given(
    st.sampled_from(sorted(GOOD)), st.integers(0, LENGTH - 1), st.integers(0, 255), st.sampled_from(["put", "insert"])
)
def test_a_proof_with_another_byte_is_refused(algorithm: str, place: int, byte: int, how: str) -> None:
    """A good proof with one byte in place of another, or more, is refused: no byte is left out of the signature."""
    good = GOOD[algorithm]
    changed = good[:place] + bytes([byte]) + good[place + (how == "put") :]
    assert accepted(good)
    assert accepted(changed) is None or changed == good


@pytest.mark.parametrize("algorithm", sorted(GOOD))
def test_a_cut_proof_is_refused(algorithm: str) -> None:
    """No part of a good proof is a good proof."""
    good = GOOD[algorithm]
    assert not any(accepted(good[:end]) or accepted(good[-end:]) for end in range(1, len(good)))


@EXACT
@given(st.binary(max_size=300))
def test_no_input_makes_the_verifier_raise_anything_else(value: bytes) -> None:
    """Any bytes are refused and never more than that, alone and in each part of a proof."""
    assert accepted(value) is None
    parts = GOOD["ES256"].split(b".")
    for place in range(3):
        changed = [*parts]
        changed[place] = encoded(value).encode()
        assert accepted(b".".join(changed)) is None


@EXACT
@given(st.sampled_from(["typ", "alg", "jwk", "kid", "x5c", "crv", "kty", "x", "y", "d", "use", "key_ops"]), json_values)
@example("jwk", {})
@example("alg", {})
@example("x", "\ud800")
def test_any_json_in_a_header_is_refused_or_changes_nothing(name: str, value: Any) -> None:
    """With any JSON in its header a signed proof is refused, or it is of the key that it always was."""
    jwk = public_jwk(private_key("ES256"))
    for header in ({name: value}, {"jwk": jwk | {name: value}}):
        found = accepted(proof(token=TOKEN, header=header))
        known = accepted(GOOD["ES256"])
        assert known is not None
        assert found is None or found.jkt == known.jkt


@EXACT
@given(st.dictionaries(st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce", "exp"]), json_values))
def test_any_json_in_the_claims_is_refused_or_good(claims: dict[str, Any]) -> None:
    """A signed proof with any JSON in its claims is refused, unless what it changes is the `jti` or does not count."""
    if accepted(proof(token=TOKEN, **claims)):
        assert not {"htm", "htu", "ath"} & claims.keys()
        assert isinstance(claims.get("jti", "a"), str)


@EXACT
@given(st.text(), st.text())
def test_any_url_is_refused_or_the_request_s(htu: str, path: str) -> None:
    """Whatever the URL of a proof and the path of a request are, the verifier raises its own errors alone."""
    accepted(proof(PUBLIC_URL + "/" + htu, token=TOKEN), path="/" + path)
    accepted(proof(htu, token=TOKEN), path=path)


def test_each_proof_is_for_one_request() -> None:
    """A good proof is refused for another method, another path, another token, and beside a second proof."""
    good = GOOD["ES256"]
    assert accepted(good)
    for method in ("POST", "get", "Get", "", "GET "):
        assert not accepted(good, method=method)
    for path in ("/you", "/me/", "/ME", "//me", "", "/", "/me%00", "/m%65%2f"):
        assert not accepted(good, path=path)
    for token in ("another", "", TOKEN + " ", TOKEN.upper()):
        assert not accepted(good, token=token)
    assert not accepted(good, good)
    assert not accepted(good, b"")
    assert not accepted(b"", good)
    assert not accepted()


def test_the_query_does_not_make_a_second_proof() -> None:
    """Spellings of one URL give a proof one name: who sends it again with another query or case is found by it."""
    urls = [
        PUBLIC_URL + "/me",
        PUBLIC_URL + "/me?a=1",
        PUBLIC_URL + "/me#a",
        PUBLIC_URL + ":443/me",
        PUBLIC_URL.upper() + "/me",
        PUBLIC_URL + "/%6D%65",
        PUBLIC_URL + "/a/../me",
    ]
    spelled = [accepted(proof(url, token=TOKEN)) for url in urls]
    names = {each.name for each in spelled if each}
    assert len(names) == 1
    assert all(spelled)
    found = [accepted(GOOD["ES256"], path=path) for path in ("/me", "/%6d%65")]
    assert {each.name for each in found if each} == names
    assert all(found)


@pytest.mark.parametrize("path", ["/a/../me", "/a/%2E%2e/me", "/a/.%2e/me", "/./me", "/%2e/me", "/../me", "/me/."])
def test_a_proof_is_not_for_another_endpoint_by_dots(path: str) -> None:
    """Clients send no dot segments, and routers remove none: `/a/{rest:path}` would run with the proof for `/me`."""
    for url in (PUBLIC_URL + "/me", PUBLIC_URL + "/me/", PUBLIC_URL + path):
        assert not accepted(proof(url, token=TOKEN), path=path)


def test_both_signatures_of_a_proof_have_one_name() -> None:
    """ECDSA has a second signature for each, which everybody can compute: with it, the proof is still the same one."""
    good = GOOD["ES256"]
    other = twin("ES256", good.decode()).encode()
    assert other != good
    assert accepted(other) == accepted(good)


@pytest.mark.parametrize("claimed", ASYMMETRIC)
@pytest.mark.parametrize("made", ["ES256", "EdDSA", "RS256"])
def test_no_algorithm_takes_a_proof_of_another(claimed: str, made: str) -> None:
    """A proof that says another algorithm than the one that signed it is refused, with the key of either."""
    if claimed == made:
        return
    for jwk in (public_jwk(private_key(made)), public_jwk(private_key(claimed))):
        assert not accepted(proof(token=TOKEN, algorithm=made, header={"alg": claimed, "jwk": jwk}))


def test_the_public_key_is_no_hmac_secret() -> None:
    """HMAC by the public key, or by an `oct` key that the proof brings, is refused: so is a proof without signature."""
    payload = json.loads(json.dumps({"jti": "a", "htm": "GET", "htu": PUBLIC_URL + "/me", "iat": Clock()()}))
    secret = b"x" * 32
    for jwk in ({"kty": "oct", "k": encoded(secret)}, public_jwk(private_key("ES256"))):
        for algorithm in ("HS256", "none", "ES256"):
            header = {"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk}
            assert not accepted(signed(header, payload, "HS256", secret), token=None)
            assert not accepted(signed(header, payload, "HS256", secret).rpartition(b".")[0] + b".", token=None)


def test_a_key_by_which_everybody_can_sign_is_refused() -> None:
    """By an Ed25519 point of small order, one signature is good for every text: nobody proves anything by it."""
    identity = (1).to_bytes(32, "little")
    header = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": encoded(identity)}}
    payload = {"jti": "a", "htm": "GET", "htu": PUBLIC_URL + "/me", "iat": Clock()()}
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(payload).encode())}"
    with pytest.raises(InvalidProofError) as refused:
        VERIFIER.verify([f"{text}.{encoded(identity + bytes(32))}".encode()], "GET", "/me", None)
    assert refused.value.code == "proof_key"
