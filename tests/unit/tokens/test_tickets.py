"""Tests of jwtsession.tokens.tickets: what the store holds for a ticket."""

import base64
import json
import secrets
from typing import Any

import pytest

from jwtsession import Claims, ExpiredTokenError, InvalidArgumentError, InvalidTokenError
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec
from tests.conftest import SECRET, Clock
from tests.keymaterial import pem, private_key, public_pem

NAME = "a" * 64
OTHER = "b" * 64


def codec(clock: Clock, *specs: KeySpec, algorithm: str = "HS256", **options: Any) -> TokenCodec[Claims]:
    ring = KeyRing(specs or [KeySpec(None, SECRET)], algorithm)
    return TokenCodec(ring, Claims, absolute_max_age=1000, clock=clock, **options)


def new_id() -> str:
    """The id of a session."""
    return secrets.token_urlsafe(32)


def test_the_claims_come_back_and_no_token(clock: Clock) -> None:
    """All claims and the origin; what is verified is a ticket, and has no signature."""
    here = codec(clock)
    verified, issued = here.encode(new_id(), Claims(sub="ann", scope="a b"))
    stored = here.encode_ticket(NAME, verified, "origin", by_cookie=True)
    found, record = here.verify_ticket(NAME, stored)
    assert (record.origin, record.by_cookie) == ("origin", True)
    assert found[1:] == verified[1:]
    assert here.claims(found) == issued
    assert found.is_ticket
    assert not verified.is_ticket
    assert found.is_of_ticket(NAME)
    assert not found.is_of_ticket(OTHER)
    assert verified.token.rpartition(".")[2].encode() not in stored
    with pytest.raises(InvalidTokenError):
        here.verify(found.token)


def test_what_is_stored_is_no_token(clock: Clock) -> None:
    """Who reads the store can't send it as a token, though the same key signs both."""
    here = codec(clock)
    verified, _ = here.encode(new_id())
    with pytest.raises(InvalidTokenError):
        here.verify(here.encode_ticket(NAME, verified, None).decode())


def test_a_token_is_no_ticket(clock: Clock) -> None:
    """Who writes to the store can't put a token there, whatever its claims are."""
    here = codec(clock)
    inner, _ = here.encode(new_id())
    claims = Claims.model_validate(
        {"jwtsession_ticket": NAME, "origin": None, "cookie": False, "claims": inner.token.split(".")[1]}
    )
    verified, _ = here.encode(new_id(), claims)
    with pytest.raises(InvalidTokenError) as refused:
        here.verify_ticket(NAME, verified.token.encode())
    assert refused.value.code == "ticket_unknown"


def test_a_record_is_of_one_ticket_and_of_one_key(clock: Clock) -> None:
    """It can't be moved to another ticket, changed, or made by somebody without the key."""
    here, elsewhere = codec(clock), codec(clock, KeySpec(None, "another secret, and long enough as well: 0123456789"))
    verified, _ = here.encode(new_id(), Claims(sub="ann"))
    stored = here.encode_ticket(NAME, verified, None)
    header, payload, signature = stored.decode().split(".")
    changed = json.loads(base64.urlsafe_b64decode(payload + "==")) | {"origin": "x"}
    forged = (
        f"{header}.{base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip('=')}.{signature}".encode()
    )
    for name, value, code in (
        (OTHER, stored, "ticket_unknown"),
        (NAME, forged, "token_signature"),
        (NAME, elsewhere.encode_ticket(NAME, verified, None), "token_signature"),
        (NAME, b"", "token_malformed"),
        (NAME, b"\xff\x00", "token_malformed"),
    ):
        with pytest.raises(InvalidTokenError) as refused:
            here.verify_ticket(name, value)
        assert refused.value.code == code


def test_the_largest_token_has_a_ticket(clock: Clock) -> None:
    """Where the token is not too long, its ticket is not either."""
    here = codec(clock)
    verified, _ = here.encode(new_id(), Claims.model_validate({"text": "x" * 5800}))
    assert len(verified.token) > 7900
    assert here.verify_ticket(NAME, here.encode_ticket(NAME, verified, "o" * 64))[0].session_id == verified.session_id


def test_a_ticket_of_a_ticket_has_the_same_claims(clock: Clock) -> None:
    """A manager that came by a ticket may issue one."""
    here = codec(clock)
    verified, _ = here.encode(new_id(), Claims(sub="ann"))
    found, _ = here.verify_ticket(NAME, here.encode_ticket(NAME, verified, None))
    again, _ = here.verify_ticket(OTHER, here.encode_ticket(OTHER, found, None))
    assert again[1:] == verified[1:]


def test_the_claims_are_checked_again(clock: Clock) -> None:
    """Another service with the same key may have issued it, and the token's `exp` bounds it."""
    here = codec(clock)
    verified, _ = here.encode(new_id(), Claims())
    stored = here.encode_ticket(NAME, verified, None)
    with pytest.raises(InvalidTokenError) as refused:
        codec(clock, audience="another").verify_ticket(NAME, stored)
    assert refused.value.code == "token_audience"
    clock.advance(1000)
    with pytest.raises(ExpiredTokenError):
        here.verify_ticket(NAME, stored)


def test_a_service_that_only_verifies_redeems_and_does_not_issue(clock: Clock) -> None:
    """With an asymmetric algorithm the private key signs: a public key makes no ticket."""
    private = private_key("ES256")
    issuing = codec(clock, KeySpec("a", pem(private)), algorithm="ES256")
    verifying = codec(clock, KeySpec("a", public_pem(private)), algorithm="ES256")
    verified, _ = issuing.encode(new_id(), Claims(sub="ann"))
    found, _ = verifying.verify_ticket(NAME, issuing.encode_ticket(NAME, verified, None))
    assert found.sub == "ann"
    with pytest.raises(InvalidArgumentError, match="only verifies"):
        verifying.encode_ticket(NAME, verified, None)
