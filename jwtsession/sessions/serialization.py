"""`SessionSerializer`: a session's JSON, read and written so that what is stored reads back as what was put."""

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
"""The largest session that is stored or read, as JSON in bytes."""

Migrate = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes of stored data that does not fit the model data that does."""


Unknown = tuple[tuple[str, ...], str, Any]
"""A field that the model does not know: the names that lead to its place, its own name, and its value."""


class SessionSerializer(Generic[S]):
    """Reads and writes the JSON of one session model.

    Args:
        model: The stored data.
        migrate: Upgrades stored data that does not fit the model.
        node_compatible: Whether the Node original writes to the same sessions. It leaves the raw JWT and its claims in
            the value when it updates, under the names `jwt` and `claims`; elsewhere these are ordinary names.

    Raises:
        ConfigurationError: The model has a field that would not come back as it was stored.
    """

    def __init__(self, model: type[S], migrate: Migrate | None = None, *, node_compatible: bool = False) -> None:
        self._names = check_model(model)
        self.model = model
        self._migrate = migrate
        self._node_compatible = node_compatible

    def to_session(self, session: S | Mapping[str, Any]) -> S:
        """The session as an instance of the model; a mapping is validated into one.

        Raises:
            InvalidArgumentError: It is of another type, or its data does not fit.
        """
        # Not of a subclass: what that adds would not be read back.
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
        """The session that the stored bytes hold, and the JSON that fits the model: those bytes, unless migrated.

        Raises:
            SessionCorruptError: The bytes are too many, or no JSON object, or do not fit the model, also after
                `migrate`.
        """
        if len(value) > MAX_SESSION_BYTES:
            raise SessionCorruptError
        try:
            # As `_read`, which would be one call more for each request.
            session: S = self.model.__pydantic_validator__.validate_json(value)
        except Exception:
            # A validator of the caller's own may raise anything. Without the cause, here and below: its traceback
            # would hold the session's data.
            if self._migrate is None:
                raise SessionCorruptError from None
            return self._migrated(value, self._migrate)
        if session.__pydantic_extra__:
            self._drop_what_is_no_data(session.__pydantic_extra__)
        return session, value

    def dump(self, session: S, stored: bytes | None = None, fitting: bytes | None = None) -> bytes:
        """The session as JSON, with the fields of the stored value that the session's model does not know.

        Args:
            session: What to store.
            stored: The JSON that stands in the store.
            fitting: What `load` gave for it.

        Raises:
            InvalidArgumentError: It would not read back as what it is; changes in place are not validated by Pydantic.
            SessionTooLargeError: It is larger than `MAX_SESSION_BYTES`.
        """
        own, data = self._write(session)
        unknown = [] if stored is None else self._unknown(session, data, stored, fitting or stored)
        value = _with_fields(own, unknown) if unknown else own
        if len(value) > MAX_SESSION_BYTES:
            raise SessionTooLargeError
        wrong = self._wrong(session, value)
        if wrong and unknown:
            # A validator that looks at all there is may take an old name's value for the new one.
            wrong = self._wrong(session, own)
            value = own if wrong else _with_fields(own, self._harmless(session, own, unknown))
        if wrong:
            raise InvalidArgumentError(wrong)
        return value

    def detached(self, session: S, value: bytes) -> S:
        """The session that was dumped, as another instance, which shares nothing that is stored with the first."""
        made = self._read(value)
        state, given = vars(made), vars(session)
        state |= {
            name: given[name] for name, field in self.model.model_fields.items() if field.exclude and name in given
        }
        object.__setattr__(made, "__pydantic_fields_set__", {*session.__pydantic_fields_set__})
        object.__setattr__(made, "__pydantic_private__", copy(session.__pydantic_private__))
        return made

    def snapshot(self, session: S) -> dict[str, Any]:
        """What a session holds by the names it is stored by, for `changed_since`; nothing where it has no JSON form."""
        try:
            held: dict[str, Any] = from_json(_to_json(session))
        except Exception:  # of a session that can't be stored just now
            return {}
        return held

    def changed_since(self, snapshot: dict[str, Any], session: S, other: S) -> bool:
        """Whether a session was changed since, in a field in which the other session does not hold the same."""
        now = self.snapshot(session)
        if now == snapshot:
            return False
        # A copy shares lists and models with what it was made of: changes to these are changes to both.
        held = self.snapshot(other)
        return any(now[name] != snapshot.get(name) and now[name] != held.get(name) for name in now)

    def _read(self, value: bytes) -> S:
        # What `model_validate_json` calls.
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
            # The caller's own code may raise anything; a session that can't be read is a 401 all the same.
            raise SessionCorruptError("session_migration_failed") from None
        raise SessionCorruptError

    def _drop_what_is_no_data(self, extra: dict[str, Any]) -> None:
        """From the fields that the model does not declare: what is computed anew, and what the original left there."""
        for name, field in self.model.__pydantic_computed_fields__.items():
            extra.pop(field.alias or name, None)
        if self._node_compatible:
            drop_bookkeeping(extra)

    def _write(self, session: S) -> tuple[bytes, Any]:
        """The session's own JSON, and what stands in it."""
        try:
            value = _to_json(session)
            return value, from_json(value, allow_inf_nan=False)
        except Exception as error:
            # A serializer of the caller's own may raise anything.
            reason = f"{self._unwritable(session)} has no JSON form ({type(error).__name__})"
            if isinstance(error, ValueError) and "surrogates" in str(error):
                reason += ": a text with half of a surrogate pair is no UTF-8: replace that character, as"
                reason += " text.encode('utf-8', 'replace').decode() does"
            elif isinstance(error, ValueError) and "utf-8" in str(error):
                reason += ": bytes that are no text need ser_json_bytes='base64' and val_json_bytes='base64' in the"
                reason += " model_config of the model that has the field"
            raise InvalidArgumentError(reason) from None

    def _unwritable(self, session: S) -> str:
        """Where a session has no JSON form, as far as the first level tells."""
        for name in {**session.__dict__, **(session.__pydantic_extra__ or {})}:
            try:
                from_json(_to_json(session, include={name}), allow_inf_nan=False)
            except Exception:
                return f"{self.model.__name__}.{name}"
        return f"the {self.model.__name__}"

    def _wrong(self, session: S, value: bytes) -> str | None:
        """What would be read back as something else, without a word of its value; None where nothing is."""
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
        """Which fields are wrong and how, without their values; the keys of dictionaries are data, too."""
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
        except Exception:  # a validator that has changed its mind: nothing is known but the class
            before = self.model.model_construct()
        return [*_unknown_fields(session, before, fields, data)]

    def _harmless(self, session: S, own: bytes, unknown: list[Unknown]) -> list[Unknown]:
        """Those of the unknown fields with which the session still reads back as what it is."""
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
    # For reading back: computed fields are computed again, and a `Json` field is written as the text that it reads.
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
    """What `stored` has and the models do not know, also models that are nested in fields and in dictionaries.

    Only beside what a model owns, and only where an instance of the same class was loaded: all else is data, and what
    its owner deleted stays deleted.
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
        # In the same order; the keys of the model's need not be texts, those of JSON are.
        for (own_key, value), key in zip(now.items(), data, strict=True):
            yield from _unknown_fields(value, before.get(own_key), stored.get(key), data[key], (*path, key))
