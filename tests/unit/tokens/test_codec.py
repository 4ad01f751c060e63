"""Tests of jwtsession.tokens.codec: what the codec fills in, keeps and refuses. `tests/security` attacks it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from jwtsession import Claims, ExpiredTokenError, InvalidArgumentError, InvalidTokenError
from jwtsession._ids import is_session_id
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec
from tests.conftest import SECRET, Clock
from tests.security.forge import CLAIMS, signed

ID = "an-id-of-the-codecs-unit-tests"
NOW = int(Clock()())


class Tenant(BaseModel):
    name: str


class UserClaims(Claims):
    role: str = "user"
    since: datetime | None = None
    tenants: list[Tenant] = []


def codec(clock: Clock | None = None, model: type[Any] = UserClaims, **options: Any) -> TokenCodec[Any]:
    options = {"absolute_max_age": 100, "clock": clock or Clock()} | options
    return TokenCodec(KeyRing([KeySpec(None, SECRET)], "HS256"), model, **options)


def issued(made: TokenCodec[Any], **claims: Any) -> dict[str, Any]:
    """The claims of a new token, as it holds them."""
    verified, told = made.encode(ID, UserClaims(**claims))
    token = verified.token
    assert made.decode(token) == told
    return {name: value for name, value in told.model_dump().items() if value not in (None, [])}


def refusal(made: TokenCodec[Any], token: object) -> str:
    """The code of the error."""
    with pytest.raises((InvalidTokenError, ExpiredTokenError)) as caught:
        made.decode(token)
    return caught.value.code


@pytest.mark.parametrize(
    ("options", "claims", "expected"),
    [
        ({}, {}, {"iat": NOW, "exp": NOW + 100}),
        ({}, {"sub": "ann"}, {"sub": "ann", "iat": NOW, "exp": NOW + 100, "auth_time": NOW}),
        (
            {},
            {"acr": "aal2", "amr": ["pwd", "otp"]},
            {"acr": "aal2", "amr": ["pwd", "otp"], "iat": NOW, "exp": NOW + 100},
        ),
        ({}, {"sub": "ann", "auth_time": 5}, {"sub": "ann", "iat": NOW, "exp": NOW + 100, "auth_time": 5}),
        ({}, {"iat": NOW - 7, "nbf": NOW}, {"iat": NOW - 7, "nbf": NOW, "exp": NOW + 100}),
        ({}, {"exp": NOW + 99.5}, {"iat": NOW, "exp": NOW + 99.5}),
        ({}, {"exp": NOW + 100}, {"iat": NOW, "exp": NOW + 100}),
        ({}, {"exp": NOW + 101}, {"iat": NOW, "exp": NOW + 100}),
        ({"absolute_max_age": None}, {}, {"iat": NOW}),
        ({"absolute_max_age": None}, {"exp": NOW + 10_000}, {"iat": NOW, "exp": NOW + 10_000}),
        ({"issuer": "us", "audience": "app"}, {}, {"iss": "us", "aud": "app", "iat": NOW, "exp": NOW + 100}),
        (
            {"audience": "app"},
            {"iss": "them", "aud": ["app", "other"]},
            {"iss": "them", "aud": ["app", "other"], "iat": NOW, "exp": NOW + 100},
        ),
        ({}, {"scope": "a b", "tenant": "acme"}, {"scope": "a b", "tenant": "acme", "iat": NOW, "exp": NOW + 100}),
    ],
)
def test_what_is_left_out_is_filled_in(options: dict[str, Any], claims: dict[str, Any], expected: Any) -> None:
    """The id, times, issuer and audience; what the caller sets stays, but for an `exp` beyond the absolute timeout."""
    assert issued(codec(**options), **claims) == {"jti": ID, "role": "user"} | expected


def test_claims_come_back_typed() -> None:
    """Dates, lists and models in the caller's claims are what they were; a claim that is null stays null."""
    given = UserClaims(role="admin", since=datetime(2026, 1, 2, tzinfo=UTC), tenants=[Tenant(name="ä")], extra=None)
    verified, told = codec().encode(ID, given)
    token = verified.token
    found = codec().decode(token)
    assert found == told
    assert (found.role, found.since, found.tenants) == (given.role, given.since, given.tenants)
    assert found.model_extra == {"extra": None}


def test_a_fraction_of_a_second_is_no_future() -> None:
    """A token that is issued late in a second is good at once, and not good a moment longer."""
    clock = Clock(NOW + 0.9)
    token = codec(clock).encode(ID)[0].token
    assert codec(clock).decode(token).iat == NOW
    assert refusal(codec(Clock(NOW + 100)), token) == "expired_token"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        (UserClaims(jti=ID), "jti"),
        (UserClaims(act={"sub": "admin"}), "act is reserved: .* impersonate"),
        (UserClaims.model_construct(role="user", acr=5), "token_claims"),
        (UserClaims.model_construct(role="user", amr=["pwd", 5]), "token_claims"),
        (Claims(), "expected UserClaims, got Claims"),
        ({"role": "user"}, "expected UserClaims, got dict"),
        (UserClaims(exp=NOW), "exp"),
        (UserClaims(exp=float("inf")), "token_malformed"),
        (UserClaims(aud="nobody"), "token_audience"),
        (UserClaims(role="x" * 9000), "token_malformed"),
        (UserClaims(role="\ud800"), "JSON|refused"),
        (UserClaims(extra=object()), "JSON"),
        (UserClaims.model_construct(role=5), "token_claims"),
        (UserClaims(iat=NOW + 60), "iat"),
        (UserClaims(iat=NOW * 1000), "iat: .* not milliseconds"),
        (UserClaims(auth_time=NOW + 1), "auth_time: .* future"),
        (UserClaims(auth_time=NOW * 1000), "auth_time: .* not milliseconds"),
        (UserClaims(nbf=NOW + 100), "before it is valid: nbf"),
        (UserClaims(nbf=NOW * 1000), "before it is valid: nbf"),
        (UserClaims(auth_time=float("inf")), "token_malformed"),
    ],
)
def test_claims_that_make_no_good_token_are_refused(claims: Any, why: str) -> None:
    """The reserved `jti`, another model's claims, and all that `decode` would refuse: the message tells which."""
    with pytest.raises(InvalidArgumentError, match=why) as caught:
        codec().encode(ID, claims)
    assert "x" * 20 not in str(caught.value)


@pytest.mark.parametrize("name", ["exp", "nbf"])
def test_milliseconds_are_no_time(name: str) -> None:
    """Where no absolute timeout cuts it, an `exp` in milliseconds would be good for ever, and an `nbf` never."""
    claims: dict[str, Any] = {name: NOW * 1000}
    with pytest.raises(InvalidArgumentError, match=f"{name}: give seconds since the epoch, not milliseconds"):
        codec(absolute_max_age=None).encode(ID, UserClaims(**claims))


@pytest.mark.parametrize(
    ("at", "leeway", "code"),
    [
        (0, 0, None),
        (99, 0, None),
        (99.9, 0, None),
        (100, 0, "expired_token"),
        (109, 10, None),
        (110, 10, "expired_token"),
        (-1, 0, "token_not_yet_valid"),
        (-10, 10, None),
        (-11, 10, "token_not_yet_valid"),
    ],
)
def test_times_are_those_of_the_clock(at: float, leeway: int, code: str | None) -> None:
    """A token works from `nbf` to just before `exp`, and `leeway` seconds longer at both ends."""
    token = codec().encode(ID, UserClaims(nbf=NOW))[0].token
    reader = codec(Clock(NOW + at), leeway=leeway)
    if code is None:
        assert reader.decode(token).jti == ID
    else:
        assert refusal(reader, token) == code


@pytest.mark.parametrize(
    ("issuer", "reader", "code"),
    [
        ({"issuer": "us"}, {"issuer": "us"}, None),
        ({"issuer": "us"}, {}, None),
        ({"issuer": "them"}, {"issuer": "us"}, "token_issuer"),
        ({}, {"issuer": "us"}, "token_issuer"),
        ({"audience": "app"}, {"audience": "app"}, None),
        ({"audience": "app"}, {"audience": "other"}, "token_audience"),
        ({"audience": "app"}, {}, "token_audience"),
        ({}, {"audience": "app"}, "token_audience"),
        ({"absolute_max_age": None}, {}, "token_claims"),
        ({}, {"absolute_max_age": None}, None),
        ({}, {"clock": Clock(NOW - 1)}, "token_issued_in_future"),
    ],
)
def test_what_another_service_issued(issuer: dict[str, Any], reader: dict[str, Any], code: str | None) -> None:
    """Issuer and audience must be those that are configured, and `exp` must be there unless it may be missing."""
    token = codec(**issuer).encode(ID)[0].token
    if code is None:
        assert codec(**reader).decode(token).jti == ID
    else:
        assert refusal(codec(**reader), token) == code


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "token_malformed"),
        (5, "token_malformed"),
        (b"a.b.c", "token_malformed"),
        ("", "token_malformed"),
        ("a.b", "token_malformed"),
        ("a" * 8193, "token_malformed"),
        ("e30.e30.e30", "token_algorithm"),
        (codec().encode(ID)[0].token[:-4] + "AAAA", "token_signature"),
        (codec().encode(ID)[0].token + "=", "token_malformed"),
    ],
)
def test_what_is_no_token_is_refused_with_its_reason(token: object, code: str) -> None:
    """Every refusal has a machine's code, and none shows the token."""
    assert refusal(codec(), token) == code


def test_a_validator_that_raises_anything_is_a_refusal() -> None:
    """The caller's own claims model may fail in any way; a request's answer is 401 all the same."""

    class Strict(Claims):
        role: str

        @field_validator("role")
        @classmethod
        def known(cls, value: str) -> str:
            return {"user": "user"}[value]

    token = codec().encode(ID, UserClaims(role="admin"))[0].token
    assert refusal(codec(model=Strict), token) == "token_claims"


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ("a" * 22, True),
        ("A-_0" * 32, True),
        ("9b2e7d8c-3f41-4c7e-8a52-0d6f1b9c4e37", True),
        ("a" * 21, False),
        ("a" * 129, False),
        ("a" * 30 + "\n", False),
        ("../" * 10, False),
        ("ä" * 22, False),
        (None, False),
        (b"a" * 22, False),
    ],
)
def test_the_form_of_an_id(value: object, is_one: bool) -> None:
    """22 to 128 characters of base64url, as a UUID and our own are; nothing that could leave the keyspace."""
    assert is_session_id(value) is is_one


@pytest.mark.parametrize("value", [b"\xff", {"deep": [b"\xff"]}, object(), "\ud800"])
def test_claims_without_a_form_in_json_are_refused(value: Any) -> None:
    """Bytes that are no text, an object, half a character: each is the application's mistake, and told as one."""
    with pytest.raises(InvalidArgumentError):
        codec().encode(ID, UserClaims(x=value))


def test_a_renewed_token_has_all_claims_of_the_old_one_but_two() -> None:
    """Its number and its time: no other claim is filled in, rounded or moved, and the model need not know it."""
    clock = Clock()
    made = codec(clock)
    given = {
        "sub": "ann",
        "role": "admin",
        "exp": NOW + 90.5,
        "since": datetime(2026, 1, 2, tzinfo=UTC),
        "x": [1.5, None],
    }
    old, _ = made.encode(ID, UserClaims(**given), persistent=True, idle_timeout=7, gen=4, actor="admin")
    clock.advance(60)
    new, told = made.renew(old, 5, NOW + 42.9)
    assert new == made.verify(new.token)
    changed = {"gen": 5, "iat": NOW + 42}
    assert made.claims(new).model_dump() == told.model_dump() == made.claims(old).model_dump() | changed


def test_a_token_that_the_model_refuses_by_now_is_not_renewed() -> None:
    """The old one is refused too, when a worker that does not know it verifies it."""

    class Strict(UserClaims):
        @field_validator("role")
        @classmethod
        def _is_short(cls, value: str) -> str:
            if len(value) > 4:
                raise ValueError
            return value

    old, _ = codec().encode(ID, UserClaims(role="admin"))
    with pytest.raises(InvalidArgumentError, match="token_claims"):
        codec(model=Strict).renew(old, 1, NOW)


def test_a_verified_token_knows_the_level_and_the_actor() -> None:
    """`acr`, `amr` as a tuple, and who acts for the user; None for each that the token does not have."""
    made = codec()
    given = UserClaims(sub="ann", acr="aal2", amr=["pwd", "otp"])
    verified, told = made.encode(ID, given, sign_in=False, actor="support-7")
    assert made.verify(verified.token) == verified
    assert (verified.acr, verified.amr, verified.actor) == ("aal2", ("pwd", "otp"), "support-7")
    assert told.act == {"sub": "support-7"}
    assert told.auth_time is None
    plain = made.encode(ID, UserClaims(sub="ann"))[0]
    assert (plain.acr, plain.amr, plain.actor) == (None, None, None)
    assert made.encode(ID, UserClaims(amr=[]))[0].amr == ()


def test_an_act_of_another_issuer_may_say_more_of_the_actor() -> None:
    """RFC 8693 section 4.1: other claims identify the actor too; a token from an issuer with the same key has them."""
    token = signed(payload=CLAIMS | {"act": {"sub": "support-7", "iss": "https://staff.example"}})
    assert codec(absolute_max_age=10_000).verify(token).actor == "support-7"
