"""Tests of jwtsession.tokens.claims: what the application's model of the claims may do to registered claims."""

import time
from typing import Any
from uuid import UUID

import pytest
from pydantic import Field, field_validator

from jwtsession import Claims, ConfigurationError, InvalidArgumentError, InvalidTokenError
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec, inherited
from tests.conftest import SECRET

ID = "an-id-of-the-tests-of-claims"


def codec(model: type[Claims]) -> TokenCodec[Any]:
    return TokenCodec(KeyRing([KeySpec(None, SECRET)], "HS256"), model, clock=time.time)


@pytest.mark.parametrize("options", [{"alias": "uid"}, {"validation_alias": "uid"}, {"serialization_alias": "uid"}])
def test_a_registered_claim_has_no_alias(options: dict[str, Any]) -> None:
    """The package reads it by its own name: under another one the index and the limits would miss the user."""

    class Renamed(Claims):
        sub: str | None = Field(default=None, **options)

    with pytest.raises(ConfigurationError, match=r"Renamed\.sub: a registered claim"):
        codec(Renamed)


def test_no_other_field_has_a_registered_claims_name() -> None:
    """Two fields would write one claim."""

    class Doubled(Claims):
        user: str = Field(alias="sub")

    with pytest.raises(ConfigurationError, match=r"Doubled\.user"):
        codec(Doubled)


class Narrowing(Claims):
    """Takes a scope away as it reads."""

    @field_validator("scope")
    @classmethod
    def _narrow(cls, value: str | None) -> str | None:
        return "read" if value == "read admin" else value


def test_a_validator_can_refuse_a_registered_claim_and_not_change_it() -> None:
    """A change would have no effect on what the token permits, so the token is refused."""
    token = codec(Claims).encode(ID, Claims(scope="read admin"))[0].token
    with pytest.raises(InvalidTokenError) as refused:
        codec(Narrowing).verify(token)
    assert refused.value.code == "token_claims"
    with pytest.raises(InvalidArgumentError, match="token_claims"):
        codec(Narrowing).encode(ID, Narrowing.model_construct(scope="read admin"))


def test_a_registered_claim_may_have_a_type_that_writes_what_it_read() -> None:
    """A UUID, or a text that the validator brings into one form before it is signed."""

    class Typed(Claims):
        sub: UUID | None = None  # type: ignore[assignment]

        @field_validator("scope")
        @classmethod
        def _lower(cls, value: str | None) -> str | None:
            return None if value is None else value.lower()

    user = UUID("12345678-1234-5678-1234-567812345678")
    issued, claims = codec(Typed).encode(ID, Typed(sub=user, scope="READ"))
    assert (issued.sub, issued.scope) == (str(user), "read")
    assert codec(Typed).decode(issued.token) == claims


OLD = Claims(sub="ann", jti=ID, auth_time=5, acr="aal2", amr=["pwd", "otp"])


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (None, (5, "aal2", ["pwd", "otp"])),
        (Claims(sub="ann", scope="pay"), (5, "aal2", ["pwd", "otp"])),
        (Claims(sub="ann", acr="aal1"), (5, "aal1", ["pwd", "otp"])),
        (Claims(sub="ann", auth_time=7), (7, None, None)),
        (Claims(sub="bob"), (None, None, None)),
        (OLD.model_copy(update={"sub": "bob"}), (None, None, None)),
        (OLD.model_copy(update={"sub": "bob", "auth_time": 7, "amr": ["pwd"]}), (7, None, ["pwd"])),
        (OLD.model_copy(update={"scope": "pay"}), (5, "aal2", ["pwd", "otp"])),
    ],
)
def test_a_level_stays_with_its_sign_in(claims: Claims | None, expected: tuple[object, ...]) -> None:
    """New claims of the same user keep time, level and methods together; a newer sign-in and another user have none."""
    new = inherited(OLD, claims, ID, None)
    assert (new.auth_time, new.acr, new.amr) == expected
