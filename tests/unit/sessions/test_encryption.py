"""`AESGCMSealer`: what was sealed opens for its session and its keys only."""

import base64
import os
import secrets
import traceback
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from jwtsession import ConfigurationError, SessionCorruptError, SessionProvider, SessionSettings
from jwtsession.sessions.encryption import AESGCMSealer, PlaintextSealer
from jwtsession.testing import AsyncSessionTester, InspectableStore
from tests.conftest import SECRET
from tests.properties import exact

ID = "0123456789abcdefghijkl"
VALUE = b'{"user_id": 1, "cart": ["tea", "milk"]}'


def new_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


KEY, OTHER = new_key(), new_key()


def encryption(*keys: str, keyspace: str = "sess:", mode: str = "require") -> AESGCMSealer:
    return AESGCMSealer(keys or (KEY,), keyspace, mode)


def refusal(sealer: AESGCMSealer, stored: bytes, session_id: str = ID) -> str:
    """The code of the error that this value is refused by."""
    with pytest.raises(SessionCorruptError) as refused:
        sealer.open(session_id, stored)
    # Neither the ciphertext nor the cipher's own error hangs on.
    assert refused.value.__cause__ is None
    return refused.value.code


@pytest.mark.parametrize("value", [b"", b"{}", VALUE, os.urandom(65_536)])
def test_what_was_sealed_opens(value: bytes) -> None:
    """Values of any size come back as they were, and nothing of them stands in what is stored."""
    sealed = encryption().seal(ID, value)
    assert encryption().open(ID, sealed) == value
    assert len(sealed) == len(value) + 33
    assert value[:8] == b"" or value[:8] not in sealed


def test_the_form_is_the_documented_one() -> None:
    """Mark, the key's name, a nonce of 96 bits, AES-256-GCM with the Redis key as associated data."""
    sealed = encryption().seal(ID, VALUE)
    mark, nonce, rest = sealed[:1], sealed[5:17], sealed[17:]
    assert mark == b"\x01"
    opened = AESGCM(base64.urlsafe_b64decode(KEY)).decrypt(nonce, rest, b"sess:" + ID.encode())
    assert opened == VALUE


@pytest.mark.slow
def test_no_nonce_is_ever_used_twice() -> None:
    """10,000 writes of one value to one key: 10,000 nonces and 10,000 different results."""
    sealer = encryption()
    sealed = {sealer.seal(ID, VALUE) for _ in range(10_000)}
    assert len({each[5:17] for each in sealed}) == 10_000
    assert len({each[17:] for each in sealed}) == 10_000
    # Random, not counted: every bit of the nonce is set in about half of them.
    for bit in range(96):
        ones = sum(int.from_bytes(each[5:17]) >> bit & 1 for each in sealed)
        assert 4_500 < ones < 5_500


def test_a_value_does_not_open_in_another_session_s_place() -> None:
    """Whoever can write to the store can't give one user another one's session."""
    sealed = encryption().seal(ID, VALUE)
    assert refusal(encryption(), sealed, ID[::-1]) == "session_tampered"
    assert refusal(encryption(), sealed, ID + "m") == "session_tampered"
    assert refusal(encryption(keyspace="other:"), sealed) == "session_tampered"


def test_a_change_of_any_bit_is_noticed() -> None:
    """Each bit of each byte, one at a time."""
    sealed = encryption().seal(ID, VALUE)
    codes = {
        position: {
            refusal(encryption(), sealed[:position] + bytes([sealed[position] ^ 1 << bit]) + sealed[position + 1 :])
            for bit in range(8)
        }
        for position in range(len(sealed))
    }
    assert codes.pop(0) == {"session_not_encrypted"}
    assert [codes.pop(position) for position in range(1, 5)] == [{"session_key_unknown"}] * 4
    assert set.union(*codes.values()) == {"session_tampered"}


@pytest.mark.parametrize("mode", ["read", "write", "require"])
def test_a_cut_value_is_noticed_at_every_length(mode: str) -> None:
    """From one byte less down to the mark alone, at either end, and with bytes added."""
    sealer, sealed = encryption(mode=mode), encryption().seal(ID, VALUE)
    for length in range(1, len(sealed)):
        assert refusal(sealer, sealed[:length]) in ("session_tampered", "session_key_unknown")
    assert refusal(sealer, sealed + b"\0") == "session_tampered"
    assert refusal(sealer, sealed + sealed) == "session_tampered"
    assert refusal(encryption(), b"") == "session_not_encrypted"
    for start in range(1, len(sealed)):
        assert refusal(encryption(), sealed[start:]).startswith("session_")


@exact(300)
@given(rest=st.binary(max_size=200), named=st.booleans())
def test_nothing_else_opens_and_nothing_else_is_raised(rest: bytes, named: bool) -> None:
    """Arbitrary bytes after the mark, also after a known key's name, are SessionCorruptError and nothing else."""
    name = encryption().seal(ID, VALUE)[1:5]
    for mode in ("read", "write", "require"):
        refusal(encryption(mode=mode), b"\x01" + (name if named else b"") + rest)


def test_the_first_key_seals_and_all_open() -> None:
    """Keys rotate: what an older key has sealed still opens, until that key is removed."""
    old = encryption(OTHER).seal(ID, VALUE)
    both = encryption(KEY, OTHER)
    assert both.open(ID, old) == VALUE
    new = both.seal(ID, VALUE)
    assert encryption(KEY).open(ID, new) == VALUE
    assert refusal(encryption(OTHER), new) == "session_key_unknown"
    assert refusal(encryption(KEY), old) == "session_key_unknown"


def test_a_known_name_on_another_key_s_value_does_not_open() -> None:
    """The name only finds the key; it is the tag that proves it."""
    ours, theirs = encryption(KEY).seal(ID, VALUE), encryption(OTHER).seal(ID, VALUE)
    assert refusal(encryption(KEY, OTHER), ours[:5] + theirs[5:]) == "session_tampered"


@pytest.mark.parametrize(
    ("mode", "seals", "takes_plain"), [("read", False, True), ("write", True, True), ("require", True, False)]
)
def test_the_modes(mode: str, seals: bool, takes_plain: bool) -> None:
    """What each mode writes and reads; all of them open what is sealed."""
    sealer = encryption(mode=mode)
    assert (sealer.seal(ID, VALUE) != VALUE) is seals
    assert sealer.open(ID, encryption().seal(ID, VALUE)) == VALUE
    if takes_plain:
        assert sealer.open(ID, VALUE) == VALUE
    else:
        assert refusal(sealer, VALUE) == "session_not_encrypted"


def test_without_keys_the_store_holds_the_json() -> None:
    """The default: no encryption, in either direction."""
    assert PlaintextSealer().seal(ID, VALUE) == VALUE
    assert PlaintextSealer().open(ID, VALUE) == VALUE


def test_the_keys_stand_in_no_repr() -> None:
    """Neither in that of the sealer nor in that of the settings."""
    made = SessionSettings(secret=SECRET, encryption={"keys": (KEY, OTHER)})
    shown = repr(
        [encryption(KEY, OTHER), vars(encryption(KEY, OTHER)), made, made.model_dump(), made.model_dump_json()]
    )
    assert "2 keys" in shown
    for key in (KEY, OTHER):
        assert key[:10] not in shown
        assert repr(base64.urlsafe_b64decode(key))[2:-1] not in shown


BAD_KEYS: dict[str, Any] = {
    "empty": "",
    "16 bytes": base64.urlsafe_b64encode(secrets.token_bytes(16)).decode(),
    "24 bytes": base64.urlsafe_b64encode(secrets.token_bytes(24)).decode(),
    "31 bytes": base64.urlsafe_b64encode(secrets.token_bytes(31)).decode(),
    "33 bytes": base64.urlsafe_b64encode(secrets.token_bytes(33)).decode(),
    "64 bytes": base64.urlsafe_b64encode(secrets.token_bytes(64)).decode(),
    "hexadecimal": secrets.token_hex(32),
    "32 characters": secrets.token_hex(16),
    "a character too few": new_key()[:42],
    "a blank inside": new_key()[:20] + " " + new_key()[20:],
    "another alphabet": "ä" * 43,
    "too much padding": new_key().rstrip("=") + "===",
    "no text": 5,
    "32 zero bytes": base64.urlsafe_b64encode(bytes(32)).decode(),
    "one byte 32 times": base64.urlsafe_b64encode(b"k" * 32).decode(),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_key_that_is_not_32_random_bytes_is_refused(name: str) -> None:
    """By its setting's name, wherever it stands in the list, and without being shown."""
    bad = BAD_KEYS[name]
    for keys in ([bad], [KEY, bad]):
        with pytest.raises(ConfigurationError, match=r"^encryption\.keys") as refused:
            SessionSettings(secret=SECRET, encryption={"keys": keys})
        told = "".join(traceback.format_exception(refused.value))
        assert KEY not in told
        assert not isinstance(bad, str) or not bad or bad[:10] not in told
        assert refused.value.__context__ is None


def test_keys_are_taken_with_and_without_padding() -> None:
    """43 characters or 44, as different tools write them: the same key."""
    for text in (KEY, KEY.rstrip("=")):
        made = SessionSettings(secret=SECRET, encryption={"keys": [text]})
        sealed = AESGCMSealer([key.get_secret_value() for key in made.encryption.keys], "sess:", "require").seal(
            ID, VALUE
        )
        assert encryption(KEY).open(ID, sealed) == VALUE


@pytest.mark.parametrize("mode", ["read", "write", "require"])
def test_a_mode_without_keys_is_refused(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for encryption and has lost the keys on the way must not store plain sessions in silence."""
    with pytest.raises(ConfigurationError, match=r"^encryption\.mode: needs encryption\.keys"):
        SessionSettings(secret=SECRET, encryption={"mode": mode})
    monkeypatch.setenv("JWTSESSION_ENCRYPTION_MODE", mode)
    with pytest.raises(ConfigurationError, match=r"^JWTSESSION_ENCRYPTION_MODE: needs encryption\.keys"):
        SessionSettings(secret=SECRET)


def test_an_unknown_mode_is_refused() -> None:
    """By its setting's name."""
    with pytest.raises(ConfigurationError, match=r"^encryption\.mode: "):
        SessionSettings(secret=SECRET, encryption={"keys": [KEY], "mode": "on"})


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list as JSON; one without brackets is an error of the package's own that shows nothing."""
    monkeypatch.setenv("JWTSESSION_ENCRYPTION_KEYS", f'["{KEY}", "{OTHER}"]')
    assert [key.get_secret_value() for key in SessionSettings(secret=SECRET).encryption.keys] == [KEY, OTHER]
    monkeypatch.setenv("JWTSESSION_ENCRYPTION_KEYS", KEY)
    with pytest.raises(ConfigurationError, match=r"^JWTSESSION_ENCRYPTION_KEYS: .*JSON") as refused:
        SessionSettings(secret=SECRET)
    assert KEY not in "".join(traceback.format_exception(refused.value))


@pytest.mark.anyio
async def test_the_provider_encrypts_by_default_where_there_are_keys() -> None:
    """Keys alone are enough: `require` is the default mode."""
    store = InspectableStore()
    async with AsyncSessionTester(SessionProvider(secret=SECRET, encryption={"keys": [KEY]}, store=store)) as tester:
        ann = await tester.login({"name": "ann"})
        assert b"ann" not in store.contents[ann.id].value
        store.put(ann.id, VALUE)
        with pytest.raises(SessionCorruptError):
            (await tester.manager(ann.token)).require()
