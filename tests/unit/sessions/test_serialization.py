"""Tests of jwtsession.sessions.serialization."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NotRequired, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    RootModel,
    computed_field,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

from jwtsession import (
    InvalidArgumentError,
    Session,
    SessionCorruptError,
    SessionTooLargeError,
)
from jwtsession.sessions.serialization import MAX_SESSION_BYTES, Migrate, SessionSerializer

S = TypeVar("S", bound=Session)


def load(model: type[S], value: bytes, migrate: Migrate | None = None) -> S:
    """What a request with this value gets."""
    return SessionSerializer(model, migrate).load(value)[0]


def dump(session: Session, stored: bytes | None = None) -> bytes:
    """What is stored for it, in the place of a value."""
    return SessionSerializer(type(session)).dump(session, stored)


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


def test_the_originals_bookkeeping_is_dropped_where_the_original_writes() -> None:
    """With `node_compatible` the raw JWT and the claims that it stores are no session data, and leave the store."""
    stored = b'{"user_id":1,"jwt":"a.b.c","claims":{"jti":"x"},"other":2}'
    free = SessionSerializer(Session, node_compatible=True)
    assert free.load(stored)[0].model_dump() == {"user_id": 1, "other": 2}
    typed = SessionSerializer(UserSession, node_compatible=True)
    assert json.loads(typed.dump(typed.load(stored)[0], stored)).keys() & {"jwt", "claims", "other"} == {"other"}
    assert free.load(b'{"jwt":"a","claims":5}')[0].model_dump() == {"jwt": "a", "claims": 5}


def test_jwt_and_claims_are_ordinary_names_elsewhere() -> None:
    """An OpenID client's fields `jwt` and `claims` come back, of free-form sessions, of open ones, and as unknown."""
    fields = {"jwt": "a.b.c", "claims": {"jti": "x", "sub": "y"}}

    class Open(Session, extra="allow"):
        pass

    for model in (Session, Open):
        assert load(model, dump(model(**fields))).model_dump() == fields
    assert json.loads(dump(UserSession(user_id=1), json.dumps(fields).encode())).items() >= fields.items()


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


def test_an_error_shows_no_key_of_a_dictionary() -> None:
    """Keys are data: whether the value does not fit or does not come back, a key is a star, and fields have names."""

    class Book(Session, extra="forbid"):
        by_mail: dict[str, Address] = {}
        cities: dict[str, Any] = {}

    session = Book(by_mail={"ann@example.org": Address(city="x")})
    session.by_mail["ann@example.org"].city = 5  # type: ignore[assignment]
    serializer = SessionSerializer(Book)
    wrong: dict[str, Callable[[], object]] = {
        r"by_mail\.\*\.city: string_type": lambda: serializer.dump(session),
        r"Book\.cities\.\*: a value of type set would be read back as one of type list: declare that type": lambda: (
            serializer.dump(Book(cities={"ann@example.org": {1}}))
        ),
        r"Book: \*: extra_forbidden": lambda: serializer.to_session({"ann@example.org": 1}),
    }
    for message, fail in wrong.items():
        with pytest.raises(InvalidArgumentError, match=message) as caught:
            fail()
        assert "ann@" not in str(caught.value)


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

    stored = dump(Aliased(userId=1), b'{"userId":0,"theirs":1}')
    assert json.loads(stored) == {"userId": 1, "theirs": 1}
    assert load(Aliased, stored).user_id == 1


def test_a_mapping_becomes_a_session_and_nothing_else_does() -> None:
    """Instances of the very model pass, mappings are validated, and the rest is refused, a subclass's instance too."""

    class Below(UserSession):
        level: int = 1

    serializer = SessionSerializer(UserSession)
    session = UserSession(user_id=1)
    assert serializer.to_session(session) is session
    assert serializer.to_session({"user_id": 1}) == session
    for bad in ({"user_id": "canary"}, Session(user_id=1), Below(user_id=1), 5, None):
        with pytest.raises(InvalidArgumentError) as caught:
            serializer.to_session(bad)  # type: ignore[arg-type]
        assert "canary" not in str(caught.value)


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
        (Cart, b'{"prices":[1],"total":1}', {"prices": [1, 5]}, {"prices": [1, 5]}),
        (Renamed, b'{"old_name":"ann"}', {"name": "bob"}, {"name": "bob"}),
    ],
)
def test_a_change_is_what_is_read_next(
    model: type[Session], stored: bytes, change: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A computed field is not stored, and a field under an old name does not win over its new value."""
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


# --- fields that the model does not know -----------------------------------------------------------------------------


class Guest(BaseModel):
    kind: Literal["guest"] = "guest"
    name: str = ""


class Member(BaseModel):
    kind: Literal["member"] = "member"
    user_id: int
    is_admin: bool = False


class Card(BaseModel):
    number: str
    note: str = ""


class Transfer(BaseModel):
    iban: str = ""
    note: str = ""


class WritesItself(BaseModel):
    fields: dict[str, int]

    @model_serializer
    def write(self) -> dict[str, int]:
        return self.fields

    @model_validator(mode="before")
    @classmethod
    def read(cls, data: Any) -> Any:
        return data if "fields" in data else {"fields": data}


class Everything(Session):
    who: Guest | Member = Guest()
    tagged: Annotated[Guest | Member, Field(discriminator="kind")] = Guest()
    paid_by: Card | Transfer | None = None
    root: RootModel[dict[str, int]] = RootModel[dict[str, int]]({})
    free: dict[str, Any] = {}
    own: WritesItself = WritesItself(fields={})
    typed: TypedDict("Typed", {"a": NotRequired[int], "b": NotRequired[int]}) = {}  # type: ignore[valid-type]
    opened: Session = Session()
    by_name: dict[str, Guest | Member] = {}


MEMBER = Member(user_id=1, is_admin=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Everything(who=MEMBER), Everything(who=Guest())),
        (Everything(tagged=MEMBER), Everything(tagged=Guest(name="x"))),
        (Everything(paid_by=Card(number="4111")), Everything(paid_by=Transfer())),
        (Everything(paid_by=Card(number="4111")), Everything()),
        (Everything(root=RootModel[dict[str, int]]({"a": 1, "b": 2})), Everything()),
        (Everything(free={"a": {"b": 1, "c": 2}}), Everything(free={"a": {"b": 1}})),
        (Everything(own=WritesItself(fields={"a": 1, "b": 2})), Everything(own=WritesItself(fields={"b": 3}))),
        (Everything(typed={"a": 1, "b": 2}), Everything(typed={"a": 1})),
        (Everything(opened=Session(a=1, b=2)), Everything(opened=Session(a=1))),
        (Everything(by_name={"ann": MEMBER}), Everything(by_name={"ann": Guest()})),
        (Everything(by_name={"ann": MEMBER}), Everything(by_name={"bob": Guest()})),
    ],
    ids=range(11),
)
def test_what_was_deleted_stays_deleted(before: Everything, after: Everything) -> None:
    """Another variant of a union, a key of any dictionary, what the model's own serializer writes: all are data."""
    stored = dump(before)
    changed = dump(after, stored)
    assert changed == dump(after)
    assert load(Everything, changed) == after


def test_unknown_fields_stay_beside_an_instance_of_the_same_class() -> None:
    """The same variant as before keeps what another version has written beside it, and another one does not."""
    stored = json.loads(dump(Everything(who=MEMBER, by_name={"ann": MEMBER, "bob": Guest()})))
    for place in (stored, stored["who"], *stored["by_name"].values(), stored["tagged"]):
        place["theirs"] = 1
    value = json.dumps(stored).encode()
    session = load(Everything, value)
    session.who = Member(user_id=2)
    session.by_name["ann"] = Guest()
    session.by_name["bob"].name = "Bob"  # type: ignore[union-attr]
    changed = json.loads(dump(session, value))
    assert changed["theirs"] == changed["tagged"]["theirs"] == 1
    assert changed["who"] == {"kind": "member", "user_id": 2, "is_admin": False, "theirs": 1}
    assert changed["by_name"] == {
        "ann": {"kind": "guest", "name": ""},
        "bob": {"kind": "guest", "name": "Bob", "theirs": 1},
    }


def test_the_class_that_counts_is_the_one_that_was_loaded() -> None:
    """A session that is changed in place from one variant to the other and given back keeps nothing of the first."""
    stored = b'{"who":{"kind":"member","user_id":1,"is_admin":true,"theirs":1}}'
    session = load(Everything, stored)
    session.who = Guest()
    assert json.loads(dump(session, stored))["who"] == {"kind": "guest", "name": ""}


def test_an_old_name_that_a_validator_reads_does_not_win() -> None:
    """What a model's own validator would take for the new value is left out; the fields beside it are kept."""

    class Upgraded(Session):
        name: str

        @model_validator(mode="before")
        @classmethod
        def rename(cls, data: dict[str, Any]) -> dict[str, Any]:
            return data | {"name": data["old_name"]} if "old_name" in data else data

    stored = b'{"a":1,"old_name":"ann","b":2,"c":3}'
    session = load(Upgraded, stored)
    session.name = "bob"
    changed = dump(session, stored)
    assert json.loads(changed) == {"name": "bob", "a": 1, "b": 2, "c": 3}
    assert load(Upgraded, changed) == session


@pytest.mark.parametrize(
    ("choices", "kept"),
    [(["city", AliasPath("address", "city")], True), ([AliasPath("address", "city"), "city"], False)],
)
def test_a_path_into_an_old_field_does_not_win(choices: list[str | AliasPath], kept: bool) -> None:
    """A field that held this one stays for the old version, unless it would be read before the new value."""

    class Flat(Session):
        city: str = Field(validation_alias=AliasChoices(*choices))

    stored = b'{"address":{"city":"Rome"}}'
    session = load(Flat, stored)
    session.city = "Oslo"
    changed = dump(session, stored)
    assert load(Flat, changed).city == "Oslo"
    assert ("address" in json.loads(changed)) is kept


def test_a_migrated_session_keeps_what_the_old_version_had() -> None:
    """On every level, and the hook is asked no second time for it."""
    asked = []

    class New(Session):
        user_id: int
        address: Address

    def migrate(stored: dict[str, Any]) -> dict[str, Any]:
        asked.append(stored)
        return stored | {"user_id": stored["uid"]}

    serializer = SessionSerializer(New, migrate)
    stored = b'{"uid":1,"address":{"city":"Rome","zip":"00100"}}'
    session, fitting = serializer.load(stored)
    session.address.city = "Oslo"
    assert json.loads(serializer.dump(session, stored, fitting)) == {
        "uid": 1,
        "user_id": 1,
        "address": {"city": "Oslo", "zip": "00100"},
    }
    assert len(asked) == 1


def test_a_validator_that_changes_its_mind_costs_no_unknown_field() -> None:
    """Where the stored session can't be read again at the time of the change, those of the first level are kept."""
    readable = True

    class Moody(Session):
        n: int = 0
        limit: int = 0

        @model_validator(mode="after")
        def check(self) -> "Moody":
            assert readable or self.n
            return self

    stored = b'{"n":0,"theirs":1}'
    session = load(Moody, stored)
    readable = False
    session.n = 1
    assert json.loads(dump(session, stored)) == {"n": 1, "limit": 0, "theirs": 1}


class Blob(Session):
    text: str = ""
    blob: bytes = b""


@pytest.mark.parametrize(
    ("data", "remedy", "not_this"),
    [({"text": "\ud800"}, "replace", "base64"), ({"blob": b"\xff"}, "ser_json_bytes='base64'", "surrogate")],
)
def test_what_is_no_utf_8_is_told_its_own_remedy(data: dict[str, Any], remedy: str, not_this: str) -> None:
    """Half of a surrogate pair in a text needs another one than bytes."""
    with pytest.raises(InvalidArgumentError, match=remedy) as caught:
        dump(Blob.model_construct(**data))
    assert not_this not in str(caught.value)
