"""Tests of jwtsession.models."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, Field, computed_field, model_validator

from jwtsession import (
    Claims,
    ConfigurationError,
    InvalidArgumentError,
    Session,
    SessionCorruptError,
    SessionTooLargeError,
    Token,
)
from jwtsession.models import MAX_SESSION_BYTES, check_model, dump, load, to_model


class Address(BaseModel):
    city: str


class UserSession(Session):
    user_id: int
    since: datetime | None = None
    address: Address | None = None
    score: float | None = None
    tags: list[str] = []


def test_what_is_dumped_is_loaded() -> None:
    """Every type comes back as it was, by way of plain JSON."""
    session = UserSession(
        user_id=1,
        since=datetime(2026, 1, 2, tzinfo=UTC),
        address=Address(city="Łódź"),
        score=0.1,
        tags=["\u2028", "😀"],
    )
    value = dump(session)
    assert json.loads(value)["address"] == {"city": "Łódź"}
    assert load(UserSession, value) == session


def test_unknown_fields_are_kept_and_never_shown() -> None:
    """Fields of another version stay in the value through a change, in nested models too, and not in the model."""
    stored = b'{"user_id":1,"theirs":[1,{"a":null}],"address":{"city":"Rome","zip":"00100"}}'
    session = load(UserSession, stored)
    assert "theirs" not in session.model_dump()
    assert not hasattr(session, "theirs")
    session.user_id = 2
    assert session.address is not None
    session.address.city = "Paris"
    changed = json.loads(dump(session, stored))
    assert changed["theirs"] == [1, {"a": None}]
    assert changed["address"] == {"city": "Paris", "zip": "00100"}
    assert changed["user_id"] == 2


def test_models_in_a_dictionary_are_matched_by_their_keys() -> None:
    """Each keeps the fields that its own stored form had; one that was removed or added has none."""

    class Addresses(Session):
        by_number: dict[int, Address]

    stored = b'{"by_number":{"1":{"city":"Rome","zip":"00100"},"2":{"city":"Oslo","zip":"0001"}}}'
    session = load(Addresses, stored)
    del session.by_number[2]
    session.by_number[1].city = "Paris"
    session.by_number[3] = Address(city="Bern")
    changed = json.loads(dump(session, stored))["by_number"]
    assert changed == {"1": {"city": "Paris", "zip": "00100"}, "3": {"city": "Bern"}}


def test_a_replaced_nested_model_keeps_nothing_that_was_removed() -> None:
    """A field that is set to None does not come back from the old value."""
    stored = b'{"user_id":1,"address":{"city":"Rome","zip":"00100"}}'
    assert json.loads(dump(UserSession(user_id=1), stored))["address"] is None


def test_a_free_form_session_takes_and_loses_any_field() -> None:
    """Session itself holds what it is given; a field that is deleted is gone from the value."""
    stored = dump(Session(a=1, b={"c": [True]}))
    session = load(Session, stored)
    assert session.model_dump() == {"a": 1, "b": {"c": [True]}}
    del session.a  # type: ignore[attr-defined]
    session.d = "new"  # type: ignore[attr-defined]
    assert json.loads(dump(session, stored)) == {"b": {"c": [True]}, "d": "new"}


def test_stored_names_never_hide_methods() -> None:
    """A stored field named like a method is data, as the original's were not."""
    session = load(Session, b'{"model_dump":"x","copy":1}')
    assert session.model_dump() == {"model_dump": "x", "copy": 1}


def test_the_originals_bookkeeping_is_dropped() -> None:
    """The raw JWT and the claims that the original stores are no session data, and do not stay in the store."""
    stored = b'{"user_id":1,"jwt":"a.b.c","claims":{"jti":"x"},"other":2}'
    assert load(Session, stored).model_dump() == {"user_id": 1, "other": 2}
    assert json.loads(dump(load(UserSession, stored), stored)).keys() & {"jwt", "claims", "other"} == {"other"}
    assert load(Session, b'{"jwt":"a","claims":5}').model_dump() == {"jwt": "a", "claims": 5}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no json",
        b"[]",
        b'"text"',
        b"null",
        b"{}",
        b'{"user_id":"x"}',
        b'{"user_id":1',
        b'{"user_id":1}\xff',
        b'{"user_id":1,"x":"\\ud800"}',
        b"\x80\x04K\x01.",
        b"[" * 10_000,
        b'{"user_id":1,"tags":["' + b"x" * MAX_SESSION_BYTES + b'"]}',
    ],
    ids=range(13),
)
def test_what_can_not_be_read_is_corrupt(value: bytes) -> None:
    """Whatever stands in the store, the answer is SessionCorruptError, without its data in the traceback."""
    with pytest.raises(SessionCorruptError) as caught:
        load(UserSession, value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_migration_upgrades_what_does_not_fit() -> None:
    """The hook is asked for values that do not fit alone; what it can't do is corrupt."""
    asked: list[dict[str, Any]] = []

    def migrate(stored: dict[str, Any]) -> dict[str, Any]:
        asked.append(stored)
        return {"user_id": stored["uid"]}

    assert load(UserSession, b'{"user_id":1}', migrate).user_id == 1
    assert asked == []
    assert load(UserSession, b'{"uid":7}', migrate).user_id == 7
    for bad in (b"{}", b"[]", b'{"uid":"x"}', b"no json"):
        with pytest.raises(SessionCorruptError):
            load(UserSession, bad, migrate)


def test_a_change_in_place_that_does_not_fit_is_refused() -> None:
    """Pydantic does not validate assignments; what could not be read back is not stored, and its value not told."""
    session = UserSession(user_id=1)
    session.tags.append(5)  # type: ignore[arg-type]
    session.user_id = "canary"  # type: ignore[assignment]
    with pytest.raises(InvalidArgumentError, match="user_id") as caught:
        dump(session)
    assert "tags.0" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("value", [math.inf, math.nan, object(), "\ud800", b"\xff", {1, object()}])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    """Nothing turns into null or into something else in silence."""
    with pytest.raises(InvalidArgumentError):
        dump(Session(value=value))
    if isinstance(value, float):
        with pytest.raises(InvalidArgumentError):
            dump(UserSession(user_id=1, score=value))


def test_a_session_that_is_too_large_is_refused_to_the_byte() -> None:
    """The limit holds for the JSON with its unknown fields, in bytes."""
    room = MAX_SESSION_BYTES - len(dump(Session(x="")))
    assert len(dump(Session(x="a" * room))) == MAX_SESSION_BYTES
    with pytest.raises(SessionTooLargeError):
        dump(Session(x="a" * (room + 1)))
    with pytest.raises(SessionTooLargeError):
        dump(Session(x="ä" * room))
    with pytest.raises(SessionTooLargeError):
        dump(UserSession(user_id=1), b'{"theirs":"' + b"x" * (MAX_SESSION_BYTES - 20) + b'"}')


def test_aliases_are_stored_names() -> None:
    """A field is stored under its alias, which is how it is read."""

    class Aliased(Session):
        user_id: int = Field(alias="userId")

    check_model(Aliased)
    stored = dump(Aliased(userId=1), b'{"userId":0,"theirs":1}')
    assert json.loads(stored) == {"userId": 1, "theirs": 1}
    assert load(Aliased, stored).user_id == 1


def test_a_model_that_would_not_come_back_is_refused_at_start() -> None:
    """A field that is written under one name and read under another, or not written at all, is named."""

    class TwoNames(Session):
        user_id: int = Field(validation_alias="in", serialization_alias="out")

    class Hidden(Session):
        password: str = Field(exclude=True)

    class Path(Session):
        user_id: int = Field(validation_alias=AliasPath("user", "id"))

    for model in (TwoNames, Hidden, Path):
        with pytest.raises(ConfigurationError, match=model.__name__):
            check_model(model)

    class Readable(Session):
        model_config = {"validate_by_name": True}
        user_id: int = Field(validation_alias=AliasChoices("userId", "id"), serialization_alias="id")
        name: str = Field(validation_alias="userName")
        city: str = Field(validation_alias=AliasChoices("city", AliasPath("address", "city")))
        note: str = Field(default="", exclude=True)

    check_model(Readable)


def test_a_mapping_becomes_a_session_and_nothing_else_does() -> None:
    """to_model passes the model's instances, validates mappings, and refuses the rest."""
    session = UserSession(user_id=1)
    assert to_model(UserSession, session) is session
    assert to_model(UserSession, {"user_id": 1}) == session
    for bad in ({"user_id": "canary"}, Session(user_id=1), 5, None):
        with pytest.raises(InvalidArgumentError) as caught:
            to_model(UserSession, bad)  # type: ignore[type-var]
        assert "canary" not in str(caught.value)


def test_a_token_hides_itself_and_leaves_out_what_it_has_not() -> None:
    """The repr does not show the token; a token without exp has no expires_in in JSON."""
    token = Token(access_token="canary", expires_in=5)
    assert "canary" not in f"{token!r} {token}"
    assert token.model_dump() == {"access_token": "canary", "token_type": "bearer", "expires_in": 5}
    assert Token(access_token="x").model_dump() == {"access_token": "x", "token_type": "bearer"}


def test_claims_of_others_are_kept() -> None:
    """Claims that the model does not declare are there, for regenerate() to keep."""
    assert Claims.model_validate({"tenant": "acme"}).model_extra == {"tenant": "acme"}


class Cart(Session):
    prices: list[int] = []

    @computed_field
    @property
    def total(self) -> int:
        return sum(self.prices)


class Renamed(Session):
    name: str = Field(validation_alias=AliasChoices("old_name", "name"))


@pytest.mark.parametrize(
    ("model", "stored", "change", "expected"),
    [
        (Cart, b'{"prices":[1],"total":1}', {"prices": [1, 5]}, {"prices": [1, 5], "total": 6}),
        (Renamed, b'{"old_name":"ann"}', {"name": "bob"}, {"name": "bob"}),
    ],
)
def test_a_change_is_what_is_read_next(
    model: type[Session], stored: bytes, change: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A computed field is stored as it is now, and a field under an old name does not win over its new value."""
    session = load(model, stored)
    for name, value in change.items():
        setattr(session, name, value)
    value = dump(session, stored)
    assert json.loads(value) == expected
    assert load(model, value) == session


@pytest.mark.parametrize("error", [KeyError, TypeError, AttributeError])
def test_a_validator_that_raises_anything_is_corrupt(error: type[Exception]) -> None:
    """A model's own validator may meet data of another version and fail in any way: 401, not 500."""

    class Strict(Session):
        @model_validator(mode="before")
        @classmethod
        def upgrade(cls, data: Any) -> Any:
            raise error

    with pytest.raises(SessionCorruptError):
        load(Strict, b"{}")
