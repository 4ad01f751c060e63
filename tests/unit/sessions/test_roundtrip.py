"""Tests of jwtsession.sessions.roundtrip: what does not come back as it was put is refused."""

import dataclasses
import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from functools import cached_property
from pathlib import Path as FilePath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    Json,
    PlainSerializer,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    computed_field,
    field_serializer,
    model_serializer,
)
from pydantic_core import core_schema
from typing_extensions import TypedDict

from jwtsession import Claims, ConfigurationError, InvalidArgumentError, MemorySessionStore, Session, SessionProvider
from jwtsession.sessions.roundtrip import check_model
from jwtsession.sessions.serialization import SessionSerializer
from tests.conftest import SECRET

kind = TypeVar("kind")


def stored_and_read(session: Session) -> Any:
    """The session after a trip through the store."""
    serializer = SessionSerializer(type(session))
    return serializer.load(serializer.dump(session))[0]


def holding(annotation: Any, value: Any, **config: Any) -> Session:
    """A session with one field, nested as deep as a model in a model, and a value that nobody has validated."""

    class Inner(BaseModel):
        model_config = ConfigDict(**config)
        value: annotation

    class Outer(Session):
        inner: Inner

    return Outer.model_construct(inner=Inner.model_construct(value=value))


# --- at start --------------------------------------------------------------------------------------------------------


def test_a_model_that_would_not_come_back_is_refused_at_start() -> None:
    """A field that is written under one name and read under another, or not written at all, is named."""

    class TwoNames(Session):
        user_id: int = Field(validation_alias="in", serialization_alias="out")

    class Hidden(Session):
        password: str = Field(exclude=True)

    class Path(Session):
        user_id: int = Field(validation_alias=AliasPath("user", "id"))

    class Unread(Session):
        model_config = {"validate_by_alias": False, "validate_by_name": True}
        user_id: int = Field(alias="userId")

    for model in (TwoNames, Hidden, Path, Unread):
        with pytest.raises(ConfigurationError, match=model.__name__):
            check_model(model)

    class Readable(Session):
        model_config = {"validate_by_name": True}
        user_id: int = Field(validation_alias=AliasChoices("userId", "id"), serialization_alias="id")
        name: str = Field(validation_alias="userName")
        city: str = Field(validation_alias=AliasChoices("city", AliasPath("address", "city")))
        note: str = Field(default="", exclude=True)

    check_model(Readable)

    class Older(Session):
        model_config = {"populate_by_name": True}
        user_id: int = Field(alias="userId", serialization_alias="user_id")

    check_model(Older)


class Nested(BaseModel):
    zip_code: str = Field(default="", validation_alias="zip", serialization_alias="zipCode")


@pydantic.dataclasses.dataclass
class NestedDataclass:
    zip_code: str = Field(default="", validation_alias="zip", serialization_alias="zipCode")


class NestedDict(TypedDict):
    nested: NotRequired[Nested]


class NestedTuple(NamedTuple):
    nested: Nested


@dataclasses.dataclass
class Plain:
    nested: list[Nested]


class Tree(BaseModel):
    children: "list[Tree]" = []
    nested: Nested | None = None


class Box(BaseModel, Generic[kind]):
    content: kind


PLACES: dict[str, Callable[[Any], Any]] = {
    "itself": lambda each: each,
    "optional": lambda each: each | None,
    "list": lambda each: list[each],
    "tuple": lambda each: tuple[int, each],
    "dict": lambda each: dict[str, list[each]],
    "annotated": lambda each: Annotated[each, Field(description="x")],
    "generic": lambda each: Box[each],
    "root": lambda each: RootModel[list[each]],
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize(
    ("annotation", "remedy"),
    [
        (Nested, "zip_code is stored as 'zipCode'"),
        (NestedDataclass, "zip_code is stored as 'zipCode'"),
        (NestedDict, "zip_code is stored as 'zipCode'"),
        (NestedTuple, "zip_code is stored as 'zipCode'"),
        (Plain, "zip_code is stored as 'zipCode'"),
        (Tree, "zip_code is stored as 'zipCode'"),
        (SecretStr, r"repr=False"),
        (SecretBytes, r"repr=False"),
        (Secret[int], r"repr=False"),
    ],
)
def test_what_can_be_known_at_start_is_refused_at_start(
    annotation: Any, remedy: str, place: Callable[[Any], Any]
) -> None:
    """A nested alias that is not read, and a secret, which is stored as asterisks, wherever they stand in the model."""

    class Bad(Session):
        value: place(annotation) = None  # type: ignore[valid-type]

    with pytest.raises(ConfigurationError, match=remedy):
        SessionProvider(Bad, secret=SECRET, store=MemorySessionStore())


def test_secrets_in_claims_are_refused_too() -> None:
    """A token would carry the asterisks."""

    class Bad(Claims):
        value: SecretStr = SecretStr("")

    with pytest.raises(ConfigurationError, match=r"Bad\.value"):
        SessionProvider(Session, Bad, secret=SECRET, store=MemorySessionStore())


def revealed(secret: SecretStr) -> str:
    return secret.get_secret_value()


class Revealing(Session):
    by_annotation: Annotated[SecretStr, PlainSerializer(revealed, when_used="json")] = SecretStr("one")
    by_decorator: SecretStr = SecretStr("two")
    in_a_list: list[Annotated[SecretStr, PlainSerializer(revealed)]] = [SecretStr("three")]
    not_stored: SecretStr = Field(default=SecretStr("four"), exclude=True)

    @field_serializer("by_decorator")
    def reveal(self, secret: SecretStr) -> str:
        return secret.get_secret_value()


class RevealingItself(BaseModel):
    value: SecretStr

    @model_serializer
    def reveal(self) -> dict[str, str]:
        return {"value": self.value.get_secret_value()}


def test_a_secret_with_a_serializer_comes_back() -> None:
    """Where the application says how a secret is written, it is stored; and where it is not stored at all."""
    back = stored_and_read(Revealing())
    assert back == Revealing()
    assert back.by_annotation.get_secret_value() == "one"
    session = holding(RevealingItself, RevealingItself(value=SecretStr("five")))
    assert stored_and_read(session) == session


# --- when something is stored ----------------------------------------------------------------------------------------


class Base(BaseModel):
    a: int = 1


class Below(Base):
    b: int = 2


class Colour(Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Pair(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Point:
    x: float


def zoned(hour: int, fold: int) -> datetime:
    return datetime(2026, 10, 25, hour, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)


STARS: Any = PlainSerializer(lambda value: "***", return_type=str)
WITHOUT_MEMORY: Any = BeforeValidator(lambda value: f"{value}!")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float | None, math.inf),
        (Base, Below()),
        (SerializeAsAny[Base], Below()),
        (list[Base], [Base(), Below()]),
        (list[int] | tuple[int, ...] | set[int], (1, 2)),
        (list[int] | tuple[int, ...] | set[int], {1}),
        (dict[int | str, int], {1: 2}),
        (dict[str, int], {1: 2}),
        (Any, datetime(2026, 1, 1, tzinfo=UTC)),
        (Any, Decimal("1.5")),
        (Any, {1, 2}),
        (Any, (1, 2)),
        (Any, b"x"),
        (Any, UUID(int=1)),
        (Any, Base()),
        (Any, {"deep": [{"er": Decimal(1)}]}),
        (Any, {1: 2}),
        (tuple[int, int], Pair(1, 2)),
        (str, 5),
        (Colour, "red"),
        (datetime, "2026-01-01T00:00:00Z"),
        (Annotated[str, STARS], "secret"),
        (Annotated[str, WITHOUT_MEMORY], "hash"),
        (deque[int], [1]),
        (frozenset[int], {2: 1}),
    ],
)
def test_what_does_not_come_back_is_refused_and_named(annotation: Any, value: Any) -> None:
    """Nothing is stored as something else in silence: the error names the field, and no value."""
    with pytest.raises(InvalidArgumentError, match=r"inner(\.|$).*value") as caught:
        stored_and_read(holding(annotation, value))
    for secret in ("hash", "secret", "2026", "red", "1.5"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value", "config"),
    [
        (float, 1, {}),
        (int, True, {}),
        (float, math.inf, {"ser_json_inf_nan": "strings"}),
        (float, math.nan, {"ser_json_inf_nan": "strings"}),
        (Decimal, Decimal("1.10"), {}),
        (datetime, zoned(2, 0), {}),
        (datetime, zoned(2, 1), {}),
        (set[datetime], {zoned(2, 0), zoned(2, 1)}, {}),
        (dict[datetime, int], {zoned(2, 0): 1}, {}),
        (timedelta, timedelta(days=1, microseconds=1), {}),
        (Colour, Colour.RED, {}),
        (dict[Colour, int], {Colour.RED: 1}, {}),
        (Number, 1, {}),
        (Pair, Pair(1, 2), {}),
        (Point, Point(1), {}),
        (list[Point] | None, [Point(1.5)], {}),
        (set[int], {1, 2}, {}),
        (frozenset[int], frozenset({1, 2}), {}),
        (deque[int], deque([1]), {}),
        (dict[int, Base], {1: Base()}, {}),
        (dict[str, list[int]], defaultdict(list, {"a": [1]}), {}),
        (dict[str, int], OrderedDict(b=1, a=2), {}),
        (Base | Below, Below(), {}),
        (bytes, b"text", {}),
        (bytes, b"\xff\x00", {"ser_json_bytes": "base64", "val_json_bytes": "base64"}),
        (Json[list[int]], [1, 2], {}),
        (list[Json[Any]], [{"a": 1}, None], {}),
        (FilePath, FilePath("/x"), {}),
        (UUID, UUID(int=1), {}),
        (Literal["a", 1], 1, {}),
        (Any, {"a": [1, 2.5, None, True, {"b": "c"}]}, {}),
        (RootModel[dict[str, int]], RootModel[dict[str, int]]({"a": 1}), {}),
        (Box[int], Box[int](content=1), {}),
    ],
)
def test_what_comes_back_is_stored(annotation: Any, value: Any, config: dict[str, Any]) -> None:
    """Whatever is the same after the trip, also what compares unequal to itself, is no error."""
    session = holding(annotation, value, **config)
    back = stored_and_read(session)
    assert back.model_dump_json() == session.model_dump_json(warnings=False)


class Opaque:
    """A type of the application's, with a form in JSON and without an `==`."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        serialization = core_schema.plain_serializer_function_ser_schema(lambda each: each.text[:3])
        made = core_schema.no_info_plain_validator_function(lambda text: text if isinstance(text, cls) else cls(text))
        return core_schema.json_or_python_schema(made, made, serialization=serialization)


class Agreeing(BaseModel):
    """A model that takes all for equal."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_what_can_not_be_compared_is_compared_by_its_json() -> None:
    """An object without `==` comes back where it is written equally; a model's own `==` counts for nothing."""
    assert stored_and_read(holding(Opaque, Opaque("abc"))).inner.value.text == "abc"
    with pytest.raises(InvalidArgumentError):
        stored_and_read(holding(Agreeing, Agreeing(value=Decimal(1))))


@pytest.mark.parametrize("name", ["_id", "schema", "register"])
def test_what_a_nested_open_model_would_lose_is_refused(name: str) -> None:
    """A field that Pydantic sets as an attribute, for its name's sake, would be stored nowhere; a cached one may be."""

    class Open(BaseModel, extra="allow"):
        @cached_property
        def cached(self) -> int:
            return 1

    session = holding(Open, Open(x=1))
    assert session.inner.value.cached == 1  # type: ignore[attr-defined]
    assert stored_and_read(session).inner.value.x == 1
    setattr(session.inner.value, name, "v2")  # type: ignore[attr-defined]
    with pytest.raises(InvalidArgumentError, match=f"inner.value.{name}"):
        stored_and_read(session)


def test_bytes_that_are_no_text_name_the_remedy() -> None:
    """The error says which two settings of the model's configuration store any bytes."""

    class Raw(Session):
        value: bytes

    with pytest.raises(InvalidArgumentError, match=r"Raw\.value.*ser_json_bytes='base64' and val_json_bytes='base64'"):
        stored_and_read(Raw(value=b"\xff"))


def test_what_is_excluded_computed_or_deleted_is_no_difference() -> None:
    """An excluded field comes back as its default, a computed one is computed, a deleted one is its default again."""

    class Forbidding(Session, extra="forbid"):
        price: int = 1
        note: str = Field(default="", exclude=True)
        _private: int = 5

        @computed_field
        @property
        def total(self) -> int:
            return self.price * 2

    session = Forbidding(price=2, note="x")
    session._private = 6
    back = stored_and_read(session)
    assert (back.price, back.note, back.total, back._private) == (2, "", 4, 5)
    del session.price
    assert stored_and_read(session).price == 1


@pytest.mark.parametrize("extra", ["allow", "forbid", "ignore"])
def test_a_computed_field_stands_once_in_the_answer(extra: Literal["allow", "forbid", "ignore"]) -> None:
    """It is not stored, on any level, and is no field of another's either, whoever wrote it or sent it."""

    class Item(BaseModel, extra=extra):
        price: int

        @computed_field(alias="grossPrice")
        @property
        def gross(self) -> int:
            return self.price * 2

    class Cart(Session, extra=extra):
        items: list[Item] = []

        @computed_field
        @property
        def total(self) -> int:
            return sum(item.gross for item in self.items)

    serializer = SessionSerializer(Cart)
    value = serializer.dump(Cart(items=[Item(price=1)]))
    assert value == b'{"items":[{"price":1}]}'
    shown = '{"items":[{"price":1,"grossPrice":2}],"total":2}'
    assert serializer.load(value)[0].model_dump_json(by_alias=True) == shown
    if extra != "forbid":
        older = b'{"items":[{"price":1}],"total":1}'
        session, fitting = serializer.load(older)
        assert session.model_dump_json(by_alias=True) == shown
        assert serializer.dump(session, older, fitting) == value
        assert serializer.to_session({"items": [{"price": 1}], "total": 5}).model_dump_json(by_alias=True) == shown


def test_a_validator_that_is_not_idempotent_is_refused_when_it_is_stored() -> None:
    """One that hashes again at every read would make another value of it each time."""

    def hash_it(value: str) -> str:
        return f"hash({value})"

    class Hashed(Session):
        pin: Annotated[str, AfterValidator(hash_it)]

    with pytest.raises(InvalidArgumentError, match=r"Hashed\.pin"):
        stored_and_read(Hashed(pin="0000"))
