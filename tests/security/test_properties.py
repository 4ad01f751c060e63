"""Properties that hold for whatever input: of the decoder, and of the parser of stored values."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jwtsession import Claims, ExpiredTokenError, InvalidTokenError, Session, SessionCorruptError
from jwtsession._ids import is_session_id
from jwtsession.sessions.encryption import AESGCMSealer
from jwtsession.sessions.serialization import SessionSerializer
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec
from tests.conftest import SECRET, Clock
from tests.properties import exact
from tests.security.forge import CLAIMS, HEADER, ID, signed

pytestmark = pytest.mark.slow


class UserSession(Session):
    user_id: int
    cart: list[str] = []


def codec() -> TokenCodec[Claims]:
    ring = KeyRing([KeySpec(None, SECRET)], "HS256")
    return TokenCodec(ring, Claims, absolute_max_age=10_000, cache_bytes=10_000, clock=Clock())


CODEC = codec()
ENCRYPTION = AESGCMSealer(["VGhpcnR5LXR3byByYW5kb20tbG9va2luZyBieXRlcyE"], "sess:", "write")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from([*CLAIMS, "sub", "iss", "aud", "nbf", "scope", "auth_time", "acr", "amr", "act"]) | st.text()


def accepted(token: object) -> Claims | None:
    """The claims, or None for an answer that a decoder may give; anything else it raises is a failure."""
    with contextlib.suppress(InvalidTokenError, ExpiredTokenError):
        return CODEC.decode(token)
    return None


@exact(400)
@given(st.text() | st.binary() | st.none() | st.integers() | st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[\w-]*"))
def test_no_input_makes_the_decoder_raise_anything_else(token: object) -> None:
    """Any object, any text and anything in a token's form is refused and never more than that."""
    assert accepted(token) is None


@exact(400)
@given(st.integers(0, len(signed()) - 1), st.characters(), st.booleans())
def test_no_changed_character_is_accepted(position: int, character: str, insert: bool) -> None:
    """A good token with one character replaced or inserted is no token, whatever the character."""
    good = signed()
    changed = good[:position] + character + good[position + (not insert) :]
    assert changed == good or accepted(changed) is None


@exact(400)
@given(st.dictionaries(names, json_values, max_size=5))
@example({"exp": 1e308})
def test_what_is_accepted_keeps_the_rules(changes: dict[str, Any]) -> None:
    """Of signed payloads of any content, those that are accepted have an id, times and an audience that are allowed."""
    token = signed(payload=json.dumps(CLAIMS | changes, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    claims = accepted(token)
    if claims is not None:
        assert is_session_id(claims.jti)
        assert claims.aud is None
        assert claims.exp is not None
        assert claims.exp > Clock()()
        assert claims.nbf is None or claims.nbf <= Clock()()
        verified = CODEC.verify(token)
        assert (verified.acr, verified.amr) == (claims.acr, None if claims.amr is None else tuple(claims.amr))
        assert verified.actor == (None if claims.act is None else claims.act["sub"])


@exact(400)
@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "jwk"]) | st.text(), json_values, max_size=4))
def test_no_header_makes_the_decoder_raise_anything_else(changes: dict[str, Any]) -> None:
    """Signed headers of any content are accepted with the right algorithm alone."""
    header = HEADER | changes
    if accepted(signed(header=json.dumps(header).encode())) is not None:
        assert header["alg"] == "HS256"
        assert header["typ"] == "JWT"
        assert not {"crit", "jwk"} & set(header)


@exact(400)
@given(st.dictionaries(st.text(min_size=1).filter(lambda name: name.isidentifier()), json_values, max_size=4))
def test_claims_come_back_as_they_were(custom: dict[str, Any]) -> None:
    """Custom claims of any JSON that can be signed are read back equal; the others are refused when they are signed."""
    custom = {f"x_{name}": value for name, value in custom.items()}
    with contextlib.suppress(ValueError):
        verified, issued = codec().encode(ID, Claims(**custom))
        token = verified.token
        assert CODEC.decode(token) == issued
        assert json.loads(json.dumps(custom)).items() <= (issued.model_extra or {}).items()


@exact(400)
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_stored_bytes_make_the_parser_raise_anything_else(value: bytes) -> None:
    """Whatever stands in the store is a session or SessionCorruptError, sealed or not, for a model and without one."""
    for model in (UserSession, Session):
        for stored in (value, b"\x01" + value):
            with contextlib.suppress(SessionCorruptError):
                SessionSerializer(model).load(ENCRYPTION.open(ID, stored))


@exact(400)
@given(st.dictionaries(st.text(), json_values, max_size=5), st.lists(st.text()))
def test_unknown_fields_survive_a_change(fields: dict[str, Any], cart: list[str]) -> None:
    """A change of a known field keeps every other field of any JSON as it was."""
    stored = json.dumps(fields | {"user_id": 1}).encode()
    with contextlib.suppress(SessionCorruptError, ValueError):
        serializer = SessionSerializer(UserSession)
        session, fitting = serializer.load(stored)
        session.cart = cart
        changed = json.loads(serializer.dump(session, stored, fitting))
        expected = json.loads(stored) | {"cart": cart}
        assert json.dumps(changed, sort_keys=True) == json.dumps(expected, sort_keys=True)


@exact(400)
@given(st.binary(max_size=300))
def test_what_is_sealed_is_opened_for_its_own_session_alone(value: bytes) -> None:
    """Encryption is undone for the same id, and for no other."""
    sealed = ENCRYPTION.seal(ID, value)
    assert ENCRYPTION.open(ID, sealed) == value
    with contextlib.suppress(SessionCorruptError):
        ENCRYPTION.open(ID + "x", sealed)
        raise AssertionError
