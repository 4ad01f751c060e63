"""What comes back from the store as it was put: `check_model` tells at start what can't, `difference` what did not."""

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
    """Refuse a model whose fields would not come back from the store, as far as the annotations tell; nested ones too.

    Returns:
        The names of the model's fields and classes, on all levels: what an error may show, since it is nobody's data.

    Raises:
        ConfigurationError: Names the field and the remedy.
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
    """The name by which a field is stored."""
    return field.serialization_alias or field.alias or name


def names_of(owner: type, name: str, field: FieldInfo) -> set[str]:
    """Every name in stored data that is a field's own: a value under one of them could win over the new value."""
    choices = _choices(name, field)
    stored = stored_name(name, field)
    first = choices[: choices.index(stored)] if stored in choices else choices
    heads = {str(each.path[0]) for each in first if isinstance(each, AliasPath)}
    return {stored} | heads | _read_by(_config(owner), name, field)


def has_own_serializer(owner: type, name: str | None = None, field: FieldInfo | None = None) -> bool:
    """Whether a model, or one of its fields, is written by a function of the application: its JSON is no one else's."""
    decorators = getattr(owner, "__pydantic_decorators__", None)
    if decorators is None:
        return False
    if field is None:
        return bool(decorators.model_serializers)
    return any(isinstance(each, (PlainSerializer, WrapSerializer)) for each in field.metadata) or any(
        name in each.info.fields or "*" in each.info.fields for each in decorators.field_serializers.values()
    )


def difference(put: BaseModel, back: BaseModel) -> tuple[str | None, str, bool]:
    """Compare what was put with what is read back, by structure: classes of models, fields, items, and equal leaves.

    Models of the application may define any `==`, so theirs does not count.

    Returns:
        The path of the first field that differs, or None; how it differs, by its types alone; and whether there are
        leaves that can't be compared, since their type has no `==`.
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
    """The names by which a field is read."""
    found = {each for each in _choices(name, field) if isinstance(each, str)}
    if not config.get("validate_by_alias", True):
        return {name}
    return found | {name} if config.get("validate_by_name") or config.get("populate_by_name") else found


def _check_fields(owner: type, seen: set[Any]) -> None:
    """Of a model or of a dataclass of Pydantic's."""
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
    annotation = getattr(annotation, "__value__", annotation)  # of `type X = ...`
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
                f"{where}: a {kind.__name__} would be stored as asterisks and come back as them: "
                "make it a str with Field(repr=False), or give it a serializer that writes its value"
            )
    elif kind not in seen:
        seen.add(kind)
        for inner in _types_within(kind, seen):
            _check_type(inner, where, config, seen)


def _types_within(kind: type, seen: set[Any]) -> Iterator[Any]:
    """The annotations of a class that is made of fields, and is not Pydantic's; Pydantic's own are checked at once."""
    if hasattr(kind, "__pydantic_fields__"):
        if not has_own_serializer(kind):
            _check_fields(kind, seen)
    elif dataclasses.is_dataclass(kind) or hasattr(kind, "__required_keys__") or hasattr(kind, "_fields"):
        # A typed dictionary may be one of `typing_extensions`, and any named tuple has `_fields`.
        try:
            yield from typing.get_type_hints(kind, include_extras=True).values()
        except Exception:
            return  # names that are not there yet; what they hold is compared when it is stored


# --- when something is stored ----------------------------------------------------------------------------------------


def _comparable(value: Any) -> Any:
    """The value, or what stands for it: a time that a clock shows twice is not equal to itself in another zone."""
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return value.astimezone(UTC)
    return value


def _how(put: Any, back: Any) -> str:
    """How two values differ, without a word of them."""
    kind, other = type(put).__name__, type(back).__name__
    if put is _MISSING or back is _MISSING:
        return "would not be read back" if back is _MISSING else "would be read back, and is not there"
    if kind == other:
        remedy = "store a value of the field's type, and look at its serializers and validators"
        return f"a value of type {kind} would be read back as another one: {remedy}"
    remedy = "declare that type in the model, or store a value of the field's type"
    return f"a value of type {kind} would be read back as one of type {other}: {remedy}"


class _Comparison:
    """Each method tells where two values differ, as the parts of a path from the inside out, or None."""

    def __init__(self) -> None:
        self.opaque = False
        self.how = "would be read back as something else"

    def differs(self, put: Any, back: Any) -> list[str] | None:
        if put is back or (type(put) in _SCALARS and put == back):
            return None
        found = self._compare(put, back)
        if found == []:  # here, and not in something within
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
            # What is excluded is not stored, as its owner wants; what was deleted comes back as the default.
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
            # What was assigned under a name that Pydantic takes for private, or for a method's, is in no field.
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
                return [*found, "*"]  # a key may be anybody's data
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
