"""Properties of what is stored, for models and states of any kind: it reads back as it was put, and nothing else."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel, create_model

from jwtsession import InvalidArgumentError, Session
from jwtsession.sessions.serialization import SessionSerializer
from tests.properties import exact

numbers = count()


class Kind(NamedTuple):
    """A type, and the values that it takes."""

    annotation: Any
    values: st.SearchStrategy[Any]


leaves = [
    Kind(int, st.integers(-(2**60), 2**60)),
    Kind(str, st.text(max_size=5)),
    Kind(bool, st.booleans()),
    Kind(float, st.floats(allow_nan=False, allow_infinity=False)),
    Kind(Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    Kind(timedelta, st.timedeltas(timedelta(0), timedelta(1000))),
    Kind(
        datetime,
        # In a zone whose clock shows an hour twice, too.
        st.datetimes(
            datetime(2026, 10, 24), datetime(2026, 10, 27), timezones=st.sampled_from([UTC, ZoneInfo("Europe/Berlin")])
        ),
    ),
    Kind(Any, st.none() | st.integers() | st.lists(st.text(max_size=2), max_size=2)),
    Kind(Any, st.sampled_from([Decimal("1.5"), {1}, (1,), b"x", datetime(2026, 1, 1, tzinfo=timezone.utc)])),  # noqa: UP017
]


def model_of(fields: list[Kind], base: type[BaseModel] = BaseModel, **more: Any) -> Kind:
    names = {f"f{number}": field for number, field in enumerate(fields)}
    annotations: dict[str, Any] = {name: (field.annotation, ...) for name, field in names.items()} | more
    made = create_model(f"M{next(numbers)}", __base__=base, **annotations)
    values = st.fixed_dictionaries({name: field.values for name, field in names.items()})
    return Kind(made, values.map(lambda data: made.model_construct(**data, **{n: d for n, (_, d) in more.items()})))


def root_of(field: Kind) -> Kind:
    made = RootModel[dict[str, field.annotation]]  # type: ignore[name-defined]
    return Kind(made, st.dictionaries(st.text(max_size=3), field.values, max_size=2).map(made.model_construct))


def union_of(first: list[Kind], second: list[Kind], tagged: bool) -> Kind:
    tags: list[dict[str, Any]] = [{"kind": (Literal[tag], tag)} if tagged else {} for tag in ("a", "b")]
    one, two = model_of(first, **tags[0]), model_of(second, **tags[1])
    union = one.annotation | two.annotation
    annotation = Annotated[union, Field(discriminator="kind")] if tagged else union
    return Kind(annotation, one.values | two.values)


def around(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        inner.map(lambda kind: Kind(list[kind.annotation], st.lists(kind.values, max_size=2))),  # type: ignore[name-defined]
        inner.map(lambda kind: Kind(kind.annotation | None, st.none() | kind.values)),
        inner.map(
            lambda kind: Kind(
                dict[str, kind.annotation],  # type: ignore[name-defined]
                st.dictionaries(st.sampled_from("xyz"), kind.values, max_size=2),
            )
        ),
        inner.map(
            lambda kind: Kind(
                dict[int, kind.annotation],  # type: ignore[name-defined]
                st.dictionaries(st.integers(0, 2), kind.values, max_size=2),
            )
        ),
        inner.map(root_of),
        some.map(model_of),
        st.builds(union_of, some, some, st.booleans()),
    )


kinds = st.recursive(st.sampled_from(leaves), around, max_leaves=8)
sessions = st.lists(kinds, min_size=1, max_size=3).map(lambda fields: model_of(fields, Session))


def places(now: Any, data: Any, *before: Any) -> Iterator[tuple[Any, bool]]:
    """Each model's JSON, and whether a model of the same class stood there before; models in lists have no before."""
    then = before[0] if before else None
    if isinstance(now, RootModel):
        yield from ((place, False) for place, _ in places(now.root, data))
    elif isinstance(now, BaseModel):
        same = type(then) is type(now)
        yield data, same
        for name in type(now).model_fields:
            yield from places(getattr(now, name), data[name], *([getattr(then, name)] if same else []))
    elif isinstance(now, dict):
        for key, value in now.items():
            old = [then[key]] if isinstance(then, dict) and key in then else []
            yield from places(value, data[str(key)], *old)
    elif isinstance(now, (list, tuple)):
        for value, each in zip(now, data, strict=True):
            yield from ((place, False) for place, _ in places(value, each))


@pytest.mark.slow
@given(st.data())
@exact(200)
def test_what_is_stored_reads_back_as_what_was_put(data: st.DataObject) -> None:
    """Of any model and any two states, the second reads back after the first; unknown fields stay beside models alone.

    What can't come back is refused. A model keeps the unknown fields of one of the same class at the same place;
    nothing appears anywhere else.
    """
    kind = data.draw(sessions)
    first, second = data.draw(kind.values), data.draw(kind.values)
    serializer: SessionSerializer[Any] = SessionSerializer(kind.annotation)
    with contextlib.suppress(InvalidArgumentError):
        stored = json.loads(serializer.dump(first))
        for place, _ in [*places(first, stored)]:
            place["theirs"] = [1]
        value = json.dumps(stored).encode()
        loaded, fitting = serializer.load(value)
        # Not `==`: of an hour that comes twice (fold=1), Python holds no time equal to one of another zone (PEP 495).
        assert loaded.model_dump_json() == first.model_dump_json()
        changed = serializer.dump(second, value, fitting)
        assert serializer.load(changed)[0].model_dump_json() == second.model_dump_json()
        expected = json.loads(serializer.dump(second))
        for place, same in [*places(second, expected, first)]:
            if same:
                place["theirs"] = [1]
        assert json.loads(changed) == expected
