"""`ECDSAVerifier` says of each signature what PyJWT says of it."""

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt import utils

from jwtsession.tokens.ecdsa import ECDSAVerifier
from tests.keymaterial import private_key

CURVES = ["ES256", "ES384", "ES512"]
TEXT = b"a text"


def verdicts(algorithm: str, signature: bytes, text: bytes = TEXT, number: int = 1) -> list[bool]:
    """What PyJWT says, and what we say."""
    theirs = jwt.get_algorithm_by_name(algorithm)
    key = private_key(algorithm, number).public_key()
    return [theirs.verify(text, key, signature), ECDSAVerifier(theirs.hash_alg()).verify(text, key, signature)]


def made(algorithm: str) -> bytes:
    signature: bytes = jwt.get_algorithm_by_name(algorithm).sign(TEXT, private_key(algorithm, 1))
    return signature


@pytest.mark.parametrize("algorithm", CURVES)
def test_a_good_signature_is_good_for_its_text_and_key(algorithm: str) -> None:
    """The signature of another text or by another key is refused."""
    signature = made(algorithm)
    assert verdicts(algorithm, signature) == [True, True]
    assert verdicts(algorithm, signature, b"another text") == [False, False]
    assert verdicts(algorithm, signature, number=2) == [False, False]


@pytest.mark.parametrize("algorithm", CURVES)
def test_another_form_is_refused(algorithm: str) -> None:
    """Both numbers have the full length: nothing shorter, longer, empty or zero is a signature, and DER is none."""
    signature = made(algorithm)
    half = len(signature) // 2
    for changed in (
        b"",
        signature[:-1],
        signature[1:],
        signature + b"\0",
        b"\0" + signature,
        b"\0" + signature[:half] + b"\0" + signature[half:],
        bytes(len(signature)),
        signature[:half] + bytes(half),
        bytes(half) + signature[half:],
        b"\xff" * len(signature),
        signature[half:] + signature[:half],
        utils.raw_to_der_signature(signature, private_key(algorithm).curve),
    ):
        assert verdicts(algorithm, changed) == [False, False]


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.sampled_from(CURVES), st.integers(0, 63), st.integers(1, 255))
def test_a_changed_byte_is_refused(algorithm: str, place: int, change: int) -> None:
    """A signature with one byte changed is none."""
    signature = bytearray(made(algorithm))
    signature[place] ^= change
    assert verdicts(algorithm, bytes(signature)) == [False, False]
