"""Checks that data comes back from the store as it was: `check_model` at the start, `difference` before each write."""

import dataclasses
import inspect
import typing
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from types import NoneType
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    PlainSerializer,
    Secret,
    SecretBytes,
    SecretStr,
    WrapSerializer,
)
from pydantic.fields import FieldInfo

from ..errors import ConfigurationError

_MISSING = object()
_SCALARS = frozenset({str, int, float, bool, bytes, NoneType})
_SEQUENCES = (list, tuple, deque)


def check_model(model: type[BaseModel]) -> set[str]:
    """Refuse a model if a field would not come back from the store, as far as the annotations say; nested models too.

    Returns:
        The names of the model's fields and classes, on all levels. An error message may show these names.

    Raises:
        ConfigurationError: A field would not come back. The message names the field and the remedy.
    """
    seen: set[Any] = {model}
    _check_fields(model, seen)
    names = {kind.__name__ for kind in seen}
    for kind in seen:
        names.update(getattr(kind, "__annotations__", {}))
        for name, field in getattr(kind, "__pydantic_fields__", {}).items():
            names |= {name, *names_of(kind, name, field)}
    return names


def stored_name(name: str, field: FieldInfo) -> str:
    """The name under which a field is stored."""
    return field.serialization_alias or field.alias or name


def names_of(owner: type, name: str, field: FieldInfo) -> set[str]:
    """All names under which stored data may hold a field's value: an old value there could win over the new one."""
    choices = _choices(name, field)
    stored = stored_name(name, field)
    first = choices[: choices.index(stored)] if stored in choices else choices
    heads = {str(each.path[0]) for each in first if isinstance(each, AliasPath)}
    return {stored} | heads | _read_by(_config(owner), name, field)


def has_own_serializer(owner: type, name: str | None = None, field: FieldInfo | None = None) -> bool:
    """Whether a function of the application writes the model, or one of its fields, as JSON."""
    decorators = getattr(owner, "__pydantic_decorators__", None)
    if decorators is None:
        return False
    if field is None:
        return bool(decorators.model_serializers)
    return any(isinstance(each, (PlainSerializer, WrapSerializer)) for each in field.metadata) or any(
        name in each.info.fields or "*" in each.info.fields for each in decorators.field_serializers.values()
    )


def difference(put: BaseModel, back: BaseModel) -> tuple[str | None, str, bool]:
    """Compare a model with its copy from the store by structure: the models' classes, their fields, items and values.

    The application's models may define any `==`, so this function does not use theirs.

    Returns:
        The path of the first field that differs, or None; how it differs, told by types and without values; and
        whether some values can't be compared, because their type has no `==`.
    """
    comparison = _Comparison()
    found = comparison.differs(put, back)
    return (None if found is None else ".".join(reversed(found))), comparison.how, comparison.opaque


# --- at start --------------------------------------------------------------------------------------------------------


def _config(owner: type) -> Mapping[str, Any]:
    return getattr(owner, "model_config", None) or getattr(owner, "__pydantic_config__", None) or {}


def _choices(name: str, field: FieldInfo) -> list[str | AliasPath]:
    alias = field.validation_alias or field.alias or name
    return alias.choices if isinstance(alias, AliasChoices) else [alias]


def _read_by(config: Mapping[str, Any], name: str, field: FieldInfo) -> set[str]:
    """The names under which a field is read."""
    found = {each for each in _choices(name, field) if isinstance(each, str)}
    if not config.get("validate_by_alias", True):
        return {name}
    return found | {name} if config.get("validate_by_name") or config.get("populate_by_name") else found


def _check_fields(owner: type, seen: set[Any]) -> None:
    """Check the fields of a model or of a Pydantic dataclass."""
    config = _config(owner)
    fields: dict[str, FieldInfo] = getattr(owner, "__pydantic_fields__", {})
    for name, field in fields.items():
        stored = stored_name(name, field)
        if stored not in _read_by(config, name, field):
            raise ConfigurationError(f"{owner.__name__}.{name} is stored as {stored!r} but not read by that name")
        if field.exclude:
            if field.is_required():
                raise ConfigurationError(
                    f"{owner.__name__}.{name} is excluded from what is stored, so it needs a default"
                )
        elif not has_own_serializer(owner, name, field):
            _check_type(field.annotation, f"{owner.__name__}.{name}", config, seen)


def _check_type(annotation: Any, where: str, config: Mapping[str, Any], seen: set[Any]) -> None:
    annotation = getattr(annotation, "__value__", annotation)  # `type X = ...` has its type there
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        if not any(isinstance(each, (PlainSerializer, WrapSerializer)) for each in annotation.__metadata__):
            _check_type(annotation.__origin__, where, config, seen)
        return
    for each in typing.get_args(annotation):
        _check_type(each, where, config, seen)
    kind = origin if isinstance(origin, type) else annotation
    if not isinstance(kind, type):
        return
    if issubclass(kind, (SecretStr, SecretBytes, Secret)):
        if not any(issubclass(kind, each) for each in config.get("json_encoders") or {} if isinstance(each, type)):
            raise ConfigurationError(
                f"{where}: a {kind.__name__} would be stored as asterisks and read back as asterisks: "
                "make it a str with Field(repr=False), or give it a serializer that writes its value"
            )
    elif kind not in seen:
        seen.add(kind)
        for inner in _types_within(kind, seen):
            _check_type(inner, where, config, seen)


def _types_within(kind: type, seen: set[Any]) -> Iterator[Any]:
    """The annotations of a dataclass, typed dictionary or named tuple. Pydantic's classes are checked at once."""
    if hasattr(kind, "__pydantic_fields__"):
        if not has_own_serializer(kind):
            _check_fields(kind, seen)
    elif dataclasses.is_dataclass(kind) or hasattr(kind, "__required_keys__") or hasattr(kind, "_fields"):
        # A typed dictionary may be one of `typing_extensions`, and any named tuple has `_fields`.
        try:
            yield from typing.get_type_hints(kind, include_extras=True).values()
        except Exception:
            return  # a name is not defined yet; `difference` compares the values when they are stored


# --- when something is stored ----------------------------------------------------------------------------------------


def _comparable(value: Any) -> Any:
    """The value in a form for `==`: a datetime in UTC, since a time that a clock shows twice equals no other zone's."""
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return value.astimezone(UTC)
    return value


def _how(put: Any, back: Any) -> str:
    """Say how two values differ, without showing them."""
    kind, other = type(put).__name__, type(back).__name__
    if put is _MISSING or back is _MISSING:
        return "would not be read back" if back is _MISSING else "would be read back, and is not there"
    if kind == other:
        remedy = "store a value of the field's type, and look at its serializers and validators"
        return f"a value of type {kind} would be read back as another one: {remedy}"
    remedy = "declare that type in the model, or store a value of the field's type"
    return f"a value of type {kind} would be read back as one of type {other}: {remedy}"


class _Comparison:
    """Each method returns where two values differ, as a path from the inside out; None if they are equal."""

    def __init__(self) -> None:
        self.opaque = False
        self.how = "would be read back as something else"

    def differs(self, put: Any, back: Any) -> list[str] | None:
        if put is back or (type(put) in _SCALARS and put == back):
            return None
        found = self._compare(put, back)
        if found == []:  # these two values differ, and not something inside them
            self.how = _how(put, back)
        return found

    def _compare(self, put: Any, back: Any) -> list[str] | None:
        if isinstance(put, BaseModel) or (dataclasses.is_dataclass(put) and not isinstance(put, type)):
            return self._fields(put, back)
        if isinstance(put, Mapping):
            return self._mappings(put, back)
        if isinstance(put, _SEQUENCES):
            return self._sequences(put, back)
        if isinstance(put, (set, frozenset)):
            same = isinstance(back, (set, frozenset)) and {*map(_comparable, put)} == {*map(_comparable, back)}
            return None if same else []
        return self._leaves(put, back)

    def _fields(self, put: Any, back: Any) -> list[str] | None:
        kind = type(put)
        if type(back) is not kind:
            return []
        fields: dict[str, FieldInfo | None] | None = getattr(kind, "__pydantic_fields__", None)
        if fields is None:
            fields = {field.name: None for field in dataclasses.fields(put)}
        for name, field in fields.items():
            # An excluded field is not stored, as the model says. A deleted field comes back as its default.
            value = getattr(put, name, _MISSING)
            if value is _MISSING or (field is not None and field.exclude):
                continue
            found = self.differs(value, getattr(back, name, _MISSING))
            if found is not None:
                return [*found, name]
        extra = getattr(put, "__pydantic_extra__", None) or {}
        others = getattr(back, "__pydantic_extra__", None) or {}
        for name in extra | others:
            found = self.differs(extra.get(name, _MISSING), others.get(name, _MISSING))
            if found is not None:
                return [*found, name]
        if isinstance(put, BaseModel) and _config(kind).get("extra") == "allow":
            # A value under a name that Pydantic takes for private, or for a method, is in no field.
            for name in vars(put):
                if name not in fields and not isinstance(inspect.getattr_static(kind, name, None), cached_property):
                    return [name]
        return None

    def _mappings(self, put: Mapping[Any, Any], back: Any) -> list[str] | None:
        if not isinstance(back, Mapping) or len(put) != len(back):
            return []
        others = {_comparable(key): value for key, value in back.items()}
        for key, value in put.items():
            found = self.differs(value, others.get(_comparable(key), _MISSING))
            if found is not None:
                return [*found, "*"]  # the key may be data, so no message shows it
        return None

    def _sequences(self, put: Any, back: Any) -> list[str] | None:
        kinds = [kind for kind in _SEQUENCES if isinstance(put, kind)]
        named = hasattr(put, "_fields") or hasattr(back, "_fields")
        if not isinstance(back, kinds[0]) or len(put) != len(back) or (named and type(put) is not type(back)):
            return []
        for index, (value, other) in enumerate(zip(put, back, strict=True)):
            found = self.differs(value, other)
            if found is not None:
                return [*found, str(index)]
        return None

    def _leaves(self, put: Any, back: Any) -> list[str] | None:
        put, back = _comparable(put), _comparable(back)
        try:
            if put == back or (put != put and back != back):
                return None
            comparable = type(put).__eq__ is not object.__eq__  # type: ignore[comparison-overlap]
        except Exception:
            comparable = False
        if comparable or type(put) is not type(back):
            return []
        self.opaque = True
        return None
