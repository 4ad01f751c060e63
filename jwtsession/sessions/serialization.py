"""`SessionSerializer`: reads and writes a session's JSON, and checks that it reads back as the same session."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from typing import Any, Generic

from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import from_json, to_json

from .._types import S
from ..errors import InvalidArgumentError, SessionCorruptError, SessionTooLargeError
from .node import drop_bookkeeping
from .roundtrip import check_model, difference, has_own_serializer, names_of, stored_name

MAX_SESSION_BYTES = 65_536
"""The largest session that is stored or read: the size of its JSON in bytes."""

Migrate = Callable[[dict[str, Any]], dict[str, Any]]
"""Converts stored data that does not fit the model into data that fits."""


Unknown = tuple[tuple[str, ...], str, Any]
"""A field that the model does not know: the path of names to the object that has it, its own name, and its value."""


class SessionSerializer(Generic[S]):
    """Reads and writes the JSON of one session model.

    Args:
        model: The model of the stored data.
        migrate: Converts stored data that does not fit the model.
        node_compatible: Whether the Node original writes to the same sessions. When it updates a session, it adds the
            raw JWT and its claims as the fields `jwt` and `claims`. Otherwise these are ordinary names.

    Raises:
        ConfigurationError: The model has a field that would not come back from the store as it was.
    """

    def __init__(self, model: type[S], migrate: Migrate | None = None, *, node_compatible: bool = False) -> None:
        self._names = check_model(model)
        self.model = model
        self._migrate = migrate
        self._node_compatible = node_compatible

    def to_session(self, session: S | Mapping[str, Any]) -> S:
        """Return the session as an instance of the model. A mapping is validated into a new instance.

        Raises:
            InvalidArgumentError: The session is of another type, or its data does not fit the model.
        """
        # A subclass is refused: the fields that it adds would not be read back.
        if type(session) is self.model:
            return session
        if not isinstance(session, Mapping):
            raise InvalidArgumentError(f"expected a {self.model.__name__}, got {type(session).__name__}")
        try:
            made = self.model.model_validate(session)
        except ValidationError as error:
            raise InvalidArgumentError(self._wrong_fields(error)) from None
        if made.__pydantic_extra__:
            self._drop_what_is_no_data(made.__pydantic_extra__)
        return made

    def load(self, value: bytes) -> tuple[S, bytes]:
        """Read a session from stored JSON.

        Returns:
            The session, and JSON that fits the model: the same bytes, or the result of `migrate`.

        Raises:
            SessionCorruptError: The value is larger than `MAX_SESSION_BYTES`, it is no JSON object, or it does not fit
                the model even after `migrate`.
        """
        if len(value) > MAX_SESSION_BYTES:
            raise SessionCorruptError
        try:
            # The same as `_read`, without one more call for each request.
            session: S = self.model.__pydantic_validator__.validate_json(value)
        except Exception:
            # A validator of the application may raise anything. `from None`, here and below: the cause's traceback
            # would hold the session's data.
            if self._migrate is None:
                raise SessionCorruptError from None
            return self._migrated(value, self._migrate)
        if session.__pydantic_extra__:
            self._drop_what_is_no_data(session.__pydantic_extra__)
        return session, value

    def dump(self, session: S, stored: bytes | None = None, fitting: bytes | None = None) -> bytes:
        """Write the session as JSON, together with the stored value's fields that the model does not know.

        Args:
            session: The session to store.
            stored: The JSON in the store; None for a new session.
            fitting: The JSON that `load` returned for `stored`.

        Raises:
            InvalidArgumentError: The JSON would not read back as the same session. (Pydantic does not validate changes
                in place.)
            SessionTooLargeError: The JSON is larger than `MAX_SESSION_BYTES`.
        """
        own, data = self._write(session)
        unknown = [] if stored is None else self._unknown(session, data, stored, fitting or stored)
        value = _with_fields(own, unknown) if unknown else own
        if len(value) > MAX_SESSION_BYTES:
            raise SessionTooLargeError
        wrong = self._wrong(session, value)
        if wrong and unknown:
            # A validator that looks at all fields may read the value under an old name instead of the new one.
            wrong = self._wrong(session, own)
            value = own if wrong else _with_fields(own, self._harmless(session, own, unknown))
        if wrong:
            raise InvalidArgumentError(wrong)
        return value

    def detached(self, session: S, value: bytes) -> S:
        """Return a copy of a session that was dumped as `value`. The copy shares no stored data with the session."""
        made = self._read(value)
        state, given = vars(made), vars(session)
        state |= {
            name: given[name] for name, field in self.model.model_fields.items() if field.exclude and name in given
        }
        object.__setattr__(made, "__pydantic_fields_set__", {*session.__pydantic_fields_set__})
        object.__setattr__(made, "__pydantic_private__", copy(session.__pydantic_private__))
        return made

    def snapshot(self, session: S) -> dict[str, Any]:
        """The session's data by stored names, for `changed_since`; empty if the session has no JSON form."""
        form = self.form(session)
        return {} if form is None else from_json(form)

    def form(self, session: S) -> bytes | None:
        """The JSON of what the model knows of a session, unchecked; None if the session has no JSON form."""
        try:
            return _to_json(session)
        except Exception:  # a serializer of the application may raise anything
            return None

    def reads_as(self, value: bytes, session: S) -> bool:
        """Whether the JSON reads back as this session."""
        return self._wrong(session, value) is None

    def changed_since(self, snapshot: dict[str, Any], session: S, other: S) -> bool:
        """Whether `session` was changed after `snapshot` in a field in which `other` does not have the same value."""
        now = self.snapshot(session)
        if now == snapshot:
            return False
        # A shallow copy shares lists and models with its original, so a change to them shows in both.
        held = self.snapshot(other)
        return any(now[name] != snapshot.get(name) and now[name] != held.get(name) for name in now)

    def _read(self, value: bytes) -> S:
        # `model_validate_json` calls this too.
        session: S = self.model.__pydantic_validator__.validate_json(value)
        if session.__pydantic_extra__:
            self._drop_what_is_no_data(session.__pydantic_extra__)
        return session

    def _migrated(self, value: bytes, migrate: Migrate) -> tuple[S, bytes]:
        try:
            stored = from_json(value)
            if isinstance(stored, dict):
                fitting = to_json(migrate(stored))
                return self._read(fitting), fitting
        except Exception:
            # The application's `migrate` may raise anything. The request gets a 401 in any case.
            raise SessionCorruptError("session_migration_failed") from None
        raise SessionCorruptError

    def _drop_what_is_no_data(self, extra: dict[str, Any]) -> None:
        """Remove computed fields, and the Node original's fields, from the fields that the model does not declare."""
        for name, field in self.model.__pydantic_computed_fields__.items():
            extra.pop(field.alias or name, None)
        if self._node_compatible:
            drop_bookkeeping(extra)

    def _write(self, session: S) -> tuple[bytes, Any]:
        """The session's JSON without unknown fields, and the same as parsed data.

        Raises:
            InvalidArgumentError: The session has no JSON form.
        """
        try:
            value = _to_json(session)
            return value, from_json(value, allow_inf_nan=False)
        except Exception as error:
            # A serializer of the application may raise anything.
            reason = f"{self._unwritable(session)} has no JSON form ({type(error).__name__})"
            if isinstance(error, ValueError) and "surrogates" in str(error):
                reason += ": a text with half of a surrogate pair is no UTF-8: replace that character, as"
                reason += " text.encode('utf-8', 'replace').decode() does"
            elif isinstance(error, ValueError) and "utf-8" in str(error):
                reason += ": bytes that are no text need ser_json_bytes='base64' and val_json_bytes='base64' in the"
                reason += " model_config of the model that has the field"
            raise InvalidArgumentError(reason) from None

    def _unwritable(self, session: S) -> str:
        """Name the first field of the top level that has no JSON form."""
        for name in {**session.__dict__, **(session.__pydantic_extra__ or {})}:
            try:
                from_json(_to_json(session, include={name}), allow_inf_nan=False)
            except Exception:
                return f"{self.model.__name__}.{name}"
        return f"the {self.model.__name__}"

    def _wrong(self, session: S, value: bytes) -> str | None:
        """Say what would be read back as something else, without its value; None if all is read back as it is."""
        try:
            back = self._read(value)
            path, how, opaque = difference(session, back)
            if path is None and (not opaque or _to_json(back) == _to_json(session)):
                return None
        except ValidationError as error:
            return self._wrong_fields(error)
        except Exception as error:
            return f"the {self.model.__name__} can't be read back from its JSON ({type(error).__name__})"
        where = f"{self.model.__name__}.{path}" if path else f"the {self.model.__name__}"
        return f"{where}: {how}"

    def _wrong_fields(self, error: ValidationError) -> str:
        """Say which fields are wrong and how, without their values. Keys of dictionaries are data: they become `*`."""
        found = []
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            steps = (str(step) if isinstance(step, int) or step in self._names else "*" for step in item["loc"])
            found.append(f"{'.'.join(steps)}: {item['type']}")
        return f"not a valid {self.model.__name__}: {'; '.join(found)}"

    def _unknown(self, session: S, data: Any, stored: bytes, fitting: bytes) -> list[Unknown]:
        fields = from_json(stored)
        if self._node_compatible:
            drop_bookkeeping(fields)
        if not any(_unknown_fields(session, session, fields, data)):
            return []
        try:
            # The session that was loaded may have been changed in place since.
            before = self._read(fitting)
        except Exception:  # a validator accepted the value before and refuses it now: only the class is known
            before = self.model.model_construct()
        return [*_unknown_fields(session, before, fields, data)]

    def _harmless(self, session: S, own: bytes, unknown: list[Unknown]) -> list[Unknown]:
        """Those of the unknown fields that do not change how the session reads back."""
        kept: list[Unknown] = []
        waiting = [unknown]
        while waiting:
            some = waiting.pop()
            if not self._wrong(session, _with_fields(own, kept + some)):
                kept += some
            elif len(some) > 1:
                half = len(some) // 2
                waiting += [some[half:], some[:half]]
        return kept


def _to_json(session: BaseModel, include: set[str] | None = None) -> bytes:
    # With `round_trip`, computed fields are left out, and a `Json` field is written as the text that it reads.
    value: bytes = session.__pydantic_serializer__.to_json(
        session, by_alias=True, round_trip=True, warnings=False, include=include
    )
    return value


def _with_fields(value: bytes, fields: list[Unknown]) -> bytes:
    data = from_json(value)
    for path, name, each in fields:
        place = data
        for step in path:
            place = place[step]
        place[name] = each
    return to_json(data)


def _unknown_fields(now: Any, before: Any, stored: Any, data: Any, path: tuple[str, ...] = ()) -> Iterator[Unknown]:
    """Yield the fields of `stored` that the models do not know, also those of models in fields and in dictionaries.

    This looks only into models, and only if the loaded session had an instance of the same class in that place.
    Everything else is data: what the application deleted there stays deleted.
    """
    if not (isinstance(stored, dict) and isinstance(data, dict)):
        return
    if isinstance(now, BaseModel):
        model = type(now)
        if type(before) is not model or isinstance(now, RootModel) or has_own_serializer(model):
            return
        fields = model.model_fields
        if stored.keys() - data.keys() and model.model_config.get("extra", "ignore") == "ignore":
            known = {*data}.union(*(names_of(model, name, field) for name, field in fields.items()))
            known |= {field.alias or name for name, field in model.model_computed_fields.items()}
            yield from ((path, name, value) for name, value in stored.items() if name not in known)
        for name, field in fields.items():
            if not has_own_serializer(model, name, field):
                inner, old = now.__dict__.get(name), before.__dict__.get(name)
                key = stored_name(name, field)
                yield from _unknown_fields(inner, old, stored.get(key), data.get(key), (*path, key))
    elif isinstance(now, Mapping) and isinstance(before, Mapping) and len(now) == len(data):
        # Both have the same order. The model's keys may be of any type; the keys in JSON are texts.
        for (own_key, value), key in zip(now.items(), data, strict=True):
            yield from _unknown_fields(value, before.get(own_key), stored.get(key), data[key], (*path, key))
