"""Tests of jwtsession.sessions.edits: what counts as a change in place, and what does not."""

import itertools
import json
import uuid
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_serializer, field_validator, model_validator

from jwtsession import Session, SessionCorruptError
from jwtsession.sessions import Edits, SessionSerializer
from tests.properties import exact

S = TypeVar("S", bound=Session)


class Item(BaseModel):
    name: str
    tags: set[str] = set()


class Shop(Session):
    user_id: int = 0
    items: list[Item] = []
    prices: dict[str, float] = {}
    seen: datetime | None = None
    note: str = Field(default="", alias="noteText")

    @computed_field
    def total(self) -> float:
        return sum(self.prices.values())


def loaded(model: type[S], stored: Any, **options: Any) -> tuple[S, Edits[S]]:
    """A session as a request loads it, and its edits."""
    serializer = SessionSerializer(model, **options)
    session, fitting = serializer.load(stored if isinstance(stored, bytes) else json.dumps(stored).encode())
    return session, Edits(serializer, session, fitting)


FORMS = [
    b'{"user_id":1,"items":[],"prices":{},"seen":null,"noteText":""}',
    b'{ "noteText": "", "user_id" : 1 }',
    b"{}",
    b'{"user_id":"1","total":3,"unknown":{"a":[1]},"jwt":"x"}',
    b'{"items":[{"name":"tea","tags":["b","a","b"],"more":1}],"prices":{"tea":1}}',
    b'{"seen":"2026-11-26T00:00:00+01:00"}',
    b'{"seen":1764115200,"seen":1764115201}',
    '{"noteText":"\\u00e9 é"}'.encode(),
]


@pytest.mark.parametrize("stored", FORMS)
@pytest.mark.parametrize("node", [False, True])
def test_a_session_that_was_only_read_is_not_changed(stored: bytes, node: bool) -> None:
    """Whoever wrote it, and in whatever form: this package, another version of the model, the Node original."""
    session, edits = loaded(Shop, stored, node_compatible=node)
    assert repr(session)
    assert isinstance([*session.items, *session.prices, session.total, session.note], list)
    assert session.model_dump()
    assert not edits.changed(session)


@pytest.mark.parametrize("stored", FORMS)
def test_every_change_is_seen(stored: bytes) -> None:
    """An assignment, a list, a dictionary, a model within a list and a set within that: each counts."""

    def assign(session: Shop) -> None:
        session.user_id += 1

    def append(session: Shop) -> None:
        session.items.append(Item(name="pot"))

    def put(session: Shop) -> None:
        session.prices["pot"] = 2

    def deep(session: Shop) -> None:
        session.items[:] = session.items or [Item(name="pot")]
        session.items[0].tags.add("new")

    def alias(session: Shop) -> None:
        session.note = "new"

    for change in (assign, append, put, deep, alias):
        session, edits = loaded(Shop, stored)
        change(session)
        assert edits.changed(session), change


def test_a_change_that_was_taken_back_is_none() -> None:
    """Only what would be stored counts, and not what happened meanwhile."""
    session, edits = loaded(Shop, {"user_id": 1})
    session.items.append(Item(name="pot"))
    session.items.pop()
    session.user_id = 1
    assert not edits.changed(session)


def test_another_order_of_a_dictionary_is_a_change() -> None:
    """JSON objects keep their order, so an application may want one."""
    session, edits = loaded(Shop, {"prices": {"a": 1, "b": 2}})
    session.prices["a"] = session.prices.pop("a")
    assert edits.changed(session)


def test_a_change_before_the_first_look_counts() -> None:
    """Another dependency may have changed the session before: what was loaded counts, in whatever form it was."""
    for stored in (b'{"user_id":1,"items":[],"prices":{},"seen":null,"noteText":""}', b'{"user_id": 1}'):
        serializer = SessionSerializer(Shop)
        session, fitting = serializer.load(stored)
        session.prices["pot"] = 2
        assert Edits(serializer, session, fitting).changed(session)


def test_a_migrated_session_is_not_changed() -> None:
    """The migration alone does not write: many requests at a time would get in each other's way."""

    def migrate(stored: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": stored["user"]["id"]}

    class Strict(Session):
        user_id: int

    session, edits = loaded(Strict, {"user": {"id": 7}}, migrate=migrate)
    assert session.user_id == 7
    assert not edits.changed(session)
    session.user_id = 8
    assert edits.changed(session)


def test_a_default_that_differs_each_time_is_no_change() -> None:
    """A field that the stored value lacks gets a random id or the time: that is not what the endpoint did."""
    counter = itertools.count()

    class Random(Session):
        id: str = Field(default_factory=lambda: uuid.uuid4().hex)
        number: int = Field(default_factory=lambda: next(counter))
        seen: datetime = Field(default_factory=lambda: datetime.now(UTC))
        count: int = 0

    session, edits = loaded(Random, {})
    assert not edits.changed(session)
    session.count = 1
    assert edits.changed(session)


def test_a_validator_that_normalises_changes_nothing() -> None:
    """The stored text is in capitals, the session's is not: reading it stores nothing."""

    class Mail(Session):
        address: str
        count: int = 0

        @field_validator("address")
        @classmethod
        def _lower(cls, value: str) -> str:
            return value.lower()

        @model_validator(mode="after")
        def _clamp(self) -> "Mail":
            self.count = min(self.count, 10)
            return self

    session, edits = loaded(Mail, {"address": "ANN@EXAMPLE.ORG", "count": 99})
    assert (session.address, session.count) == ("ann@example.org", 10)
    assert not edits.changed(session)
    session.count -= 1
    assert edits.changed(session)


def test_a_serializer_that_writes_differently_each_time_is_no_change() -> None:
    """A field that is encrypted with a nonce: what it holds counts."""
    nonces = itertools.count()

    class Secretive(Session):
        pin: str = ""

        @field_serializer("pin")
        def _hide(self, pin: str) -> str:
            return f"{next(nonces)}:{pin}"

        @field_validator("pin", mode="before")
        @classmethod
        def _show(cls, pin: str) -> str:
            return pin.partition(":")[2] or pin

    session, edits = loaded(Secretive, {"pin": "0:1234"})
    assert not edits.changed(session)
    session.pin = "4321"
    assert edits.changed(session)


def test_free_form_sessions() -> None:
    """Without a model the names and values that were added, changed or deleted count."""
    for change in (
        lambda session: setattr(session, "more", 1),
        lambda session: session.user.update(name="Bob"),
        lambda session: delattr(session, "user"),
    ):
        session, edits = loaded(Session, b'{ "user": {"name": "Ann"}, "x": 1.0 }')
        assert not edits.changed(session)
        change(session)
        assert edits.changed(session)


def test_what_is_not_stored_is_no_change() -> None:
    """Excluded fields, private attributes and computed fields have no place in the store."""

    class Partly(Session):
        model_config = ConfigDict(extra="ignore")
        kept: int = 0
        left_out: int = Field(default=0, exclude=True)
        _private: int = 0

    session, edits = loaded(Partly, {"kept": 1})
    session.left_out, session._private = 5, 5
    assert not edits.changed(session)


def test_a_value_without_a_json_form_is_a_change() -> None:
    """`update()` is then to say what is wrong, instead of a silent loss."""
    session, edits = loaded(Shop, {})
    session.note = object()  # type: ignore[assignment]
    assert edits.changed(session)


def test_after_a_verb_only_later_changes_count() -> None:
    """What the verb stored, or loaded again, is the new state to compare with."""
    session, edits = loaded(Shop, {})
    assert not edits.after_verb
    session.user_id = 5
    edits.verb_done(session)
    assert edits.after_verb
    assert not edits.changed(session)
    session.user_id = 6
    assert edits.changed(session)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@exact(400)
@given(st.dictionaries(st.text(min_size=1), values, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_any_free_form_json_is_unchanged_by_reading(data: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    """Whatever JSON another writer has stored, with escapes and spaces or without."""
    try:
        session, edits = loaded(Session, json.dumps(data, ensure_ascii=ascii_only, indent=indent).encode())
    except SessionCorruptError:  # surrogates, or names that no session can have
        return
    assert not edits.changed(session)
    session.added_by_the_endpoint = 1  # type: ignore[attr-defined]
    assert edits.changed(session)
