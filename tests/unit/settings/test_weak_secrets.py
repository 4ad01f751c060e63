"""Tests of jwtsession.settings._weak_secrets: what is refused at the start, and that no random secret is."""

import base64
import re
import secrets
import string
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwtsession import ConfigurationError, EncryptionSettings, Key, SessionSettings
from jwtsession.settings._weak_secrets import _LISTED, weakness
from tests.properties import exact

LISTED = [line for line in _LISTED.read_text(encoding="utf-8").split("\n") if len(line.encode()) >= 32]
ROOT = Path(__file__).parents[3]

WEAK = [
    "passwordpasswordpasswordpassword",
    "password1password2password3password4",
    "Passw0rd!" * 5,
    "changeme-changeme-changeme-changeme-",
    "change-me-change-me-change-me-change-me",
    "YOUR_SECRET_KEY_HERE_YOUR_SECRET_KEY_HERE",
    "your-256-bit-secret-your-256-bit-secret",
    "my-super-secret-jwt-key-please-change-in-production!",
    "this is a very long secret key for testing purposes only",
    "<insert your random session secret here, of 32 characters>",
    "0123456789" * 5,
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "zyxwvutsrqponmlkjihgfedcba9876543210",
    "x" * 64,
    "xyxy" * 9,
    " " * 32,
    "!ChangeThisMercureHubJWTSecretKey!\n",
    " !changethismercurehubjwtsecretkey!\t\r\n",
    '"!ChangeThisMercureHubJWTSecretKey!"',
    "the new one, random, of 32 bytes or more",
    "of the admins, and a random one in your settings",
]


@pytest.mark.parametrize("weak", WEAK)
@pytest.mark.parametrize("named", [False, True])
def test_what_can_be_guessed_is_refused(weak: str, named: bool) -> None:
    """As `secret` and among `keys`: the message names the setting and the remedy, and does not show it."""
    options: dict[str, Any] = {}
    options |= {"keys": [Key(kid="a", secret=weak)]} if named else {"secret": weak}
    with pytest.raises(ConfigurationError, match=r"make one with python -c .*secrets\.token_urlsafe") as caught:
        SessionSettings(**options)
    assert str(caught.value).startswith("keys: 'a': " if named else "secret: ")
    assert weak.strip()[:12] not in str(caught.value) or not weak.strip()


@exact(400)
@given(
    st.sampled_from(LISTED), st.sampled_from([str, str.upper, str.lower, "{}\n".format, " {} ".format, "'{}'".format])
)
def test_a_listed_secret_is_refused_however_it_was_copied(listed: str, copied: Callable[[str], str]) -> None:
    """With a line's end, spaces or quotes around it, and in other letters."""
    assert weakness(copied(listed)) is not None


RANDOM: dict[str, Callable[[], str]] = {
    "token_urlsafe(24)": lambda: secrets.token_urlsafe(24),
    "token_urlsafe(32)": lambda: secrets.token_urlsafe(32),
    "token_urlsafe(64)": lambda: secrets.token_urlsafe(64),
    "token_hex(16)": lambda: secrets.token_hex(16),
    "token_hex(32)": lambda: secrets.token_hex(32),
    "openssl rand -base64 32": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    "uuid4": lambda: str(uuid.uuid4()),
    "32 digits": lambda: "".join(secrets.choice(string.digits) for _ in range(32)),
    "32 letters": lambda: "".join(secrets.choice(string.ascii_lowercase) for _ in range(32)),
    "a password generator's": lambda: "".join(secrets.choice(string.printable[:94]) for _ in range(32)),
    "with a name in front": lambda: f"production-session-secret-key-{secrets.token_hex(16)}",
}


@pytest.mark.parametrize("kind", RANDOM)
def test_a_random_secret_is_never_refused(kind: str) -> None:
    """Of whatever characters, from 128 bits on, and with words in front of it."""
    for _ in range(60):
        secret = RANDOM[kind]()
        assert weakness(secret) is None, secret


@exact(400)
@given(st.binary(min_size=32, max_size=32).filter(lambda key: len(set(key)) >= 24))
def test_random_bytes_are_never_refused_as_a_key_at_rest(key: bytes) -> None:
    """Whatever they look like, unless they are a text."""
    text = base64.urlsafe_b64encode(key).decode()
    if not key.isascii():
        assert EncryptionSettings(keys=(text,)).keys


@pytest.mark.parametrize(
    "weak", [b"changeme-changeme-changeme-chang", b"your encryption key of 32 bytes!", bytes(range(32))]
)
def test_a_placeholder_is_no_key_at_rest(weak: bytes) -> None:
    """A text of 32 bytes that somebody could guess is no better for being base64url."""
    with pytest.raises(ConfigurationError, match="keys: each must be 32 random bytes"):
        EncryptionSettings(keys=(base64.urlsafe_b64encode(weak).decode(),))


def test_no_secret_in_the_documentation_works() -> None:
    """Who copies an example's secret is told so at the start."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "example_app").rglob("*.py")]
    shown = {found for page in pages for found in re.findall(r"""secret(?:=|"\s*:\s*)"([^"]*)""", page.read_text())}
    assert shown
    for secret in shown:
        with pytest.raises(ConfigurationError, match="secret"):
            SessionSettings(secret=secret)
