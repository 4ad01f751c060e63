"""Tests of jwtsession._base64."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwtsession._base64 import decode, decode_pasted, encode
from tests.properties import exact


@exact(400)
@given(st.binary(max_size=80))
def test_what_is_encoded_is_decoded(value: bytes) -> None:
    """Any bytes; the text is base64url without padding."""
    text = encode(value)
    assert decode(text) == decode_pasted(text) == value
    assert text == base64.urlsafe_b64encode(value).decode().rstrip("=")


@pytest.mark.parametrize("text", ["YQ==", "YR", "YQ\n", " YQ", "Y", "+A", "/w", "é", "\ud800", "YQ=YQ", "Y Q"])
def test_a_second_spelling_is_refused(text: str) -> None:
    """Padding, unused bits, blanks, the other alphabet: nothing but the text that `encode` gives."""
    with pytest.raises(ValueError):  # noqa: PT011 - each has another reason
        decode(text)


@exact(400)
@given(st.text(max_size=12))
def test_no_text_is_decoded_that_is_not_encoded_again(text: str) -> None:
    """Whatever is accepted is the only spelling of its bytes; anything else is a ValueError."""
    try:
        value = decode(text)
    except ValueError:
        return
    assert encode(value) == text


@exact(400)
@given(st.binary(min_size=32, max_size=32))
def test_a_pasted_key_has_several_spellings(value: bytes) -> None:
    """As `openssl rand -base64 32` and Python's `secrets` write it, with padding and without."""
    for text in (base64.b64encode(value).decode(), base64.urlsafe_b64encode(value).decode()):
        assert decode_pasted(text) == decode_pasted(text.rstrip("=")) == value


@pytest.mark.parametrize("text", ["YQ===", "Y Q", "YQ\n", "Y", "ä" * 4, "YQ=YQ"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    """Nothing is skipped: a key with a mistake in it is another key."""
    with pytest.raises(ValueError):  # noqa: PT011 - each has another reason
        decode_pasted(text)
