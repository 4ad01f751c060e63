"""The user's data: `Session` (what Redis holds), `Claims` (what the JWT carries), `Token` (what a login returns)."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, from_json, to_json

from .errors import ConfigurationError, InvalidArgumentError, SessionCorruptError, SessionTooLargeError
from .injection import InjectableMeta

MAX_SESSION_BYTES = 65_536
"""The largest session that is stored or read, as JSON in bytes."""


class Session(BaseModel, metaclass=InjectableMeta):
    """Base class of the stored data: subclass it and declare fields.

    Fields in Redis that the subclass does not declare (of another version of the application, or of the Node
    original) are kept through `update()` and never shown. `Session` itself takes any field: it is the free-form session
    of a provider without a model.
    """

    # JSON has no infinity: as a constant it is refused by `dump`, where Pydantic's default would turn it into null.
    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, ser_json_inf_nan="constants")
    __free_form__: ClassVar[bool] = True


class Claims(BaseModel):
    """Base class of the JWT's claims (RFC 7519 section 4.1): subclass it for claims of your own.

    `iss`, `aud`, `iat`, `exp` and `jti` are filled in by `SessionManager.create()` where they are left out.
    Times are seconds since the epoch.

    Validators run when a worker sees a token for the first time, and when an endpoint asks for the claims: what has to
    be true at every request (that an account is not locked) belongs in a dependency.
    """

    # As a constant, infinity makes no JSON and so no token, instead of a claim that turns into null.
    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, ser_json_inf_nan="constants")

    sub: str | None = None
    """The user."""
    iss: str | None = None
    """Who issued the token."""
    aud: str | list[str] | None = None
    """Whom the token is meant for."""
    iat: int | float | None = None
    """When the token was issued."""
    nbf: int | float | None = None
    """The token does not work before this time."""
    exp: int | float | None = None
    """The token does not work from this time on; never later than `absolute_max_age` allows."""
    jti: str | None = Field(default=None, repr=False)
    """The session's id. Reserved: `create()` refuses claims that set it."""
    auth_time: int | float | None = None
    """When the user proved who they are (OpenID Connect Core section 2); filled in where there is a `sub`."""
    scope: str | None = None
    """What the token permits, separated by spaces (RFC 8693 section 4.2)."""


class Token(BaseModel):
    """What a login endpoint returns (RFC 6749 section 5.1). Its `repr` hides the token."""

    access_token: str = Field(repr=False)
    """The JWT."""
    token_type: Literal["bearer"] = "bearer"
    """How to send it: `Authorization: Bearer`."""
    expires_in: int | None = Field(default=None, exclude_if=lambda value: value is None)
    """Seconds until the token's `exp`; left out where it has none."""


S = TypeVar("S", bound=Session)


def check_model(model: type[Session]) -> None:
    """Refuse a session model whose fields would not come back from the store under the name they were stored by.

    Raises:
        ConfigurationError: Names the field.
    """
    for name, field in model.model_fields.items():
        stored = field.serialization_alias or field.alias or name
        if stored not in _read_by(model, name, field):
            raise ConfigurationError(f"{model.__name__}.{name} is stored as {stored!r} but not read by that name")
        if field.exclude and field.is_required():
            raise ConfigurationError(f"{model.__name__}.{name} is excluded from what is stored, so it needs a default")


def _read_by(model: type[BaseModel], name: str, field: FieldInfo) -> set[str]:
    """The names by which a field is read."""
    alias = field.validation_alias or field.alias or name
    found = {each for each in (alias.choices if isinstance(alias, AliasChoices) else [alias]) if isinstance(each, str)}
    return found | {name} if model.model_config.get("validate_by_name") else found


def to_model(model: type[S], session: S | Mapping[str, Any]) -> S:
    """The session as an instance of the provider's model; a mapping is validated into one.

    Raises:
        InvalidArgumentError: It is of another type, or its data does not fit.
    """
    if isinstance(session, model):
        return session
    if not isinstance(session, Mapping):
        raise InvalidArgumentError(f"expected a {model.__name__}, got {type(session).__name__}")
    try:
        return model.model_validate(session)
    except ValidationError as error:
        raise InvalidArgumentError(_fields_of(model, error)) from None


Migrate = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes of stored data that does not fit the model data that does."""


def load(model: type[S], value: bytes, migrate: Migrate | None = None) -> S:
    """The session that the stored bytes hold.

    Raises:
        SessionCorruptError: The bytes are too many, or no JSON object, or do not fit the model, also after `migrate`.
    """
    if len(value) > MAX_SESSION_BYTES:
        raise SessionCorruptError
    try:
        # What `model_validate_json` calls.
        session: S = model.__pydantic_validator__.validate_json(value)
    except Exception:
        # A validator of the caller's own may raise anything. Without the cause, here and below: its traceback would
        # hold the session's data.
        if migrate is None:
            raise SessionCorruptError from None
        session = _migrated(model, value, migrate)
    if session.__pydantic_extra__:
        _drop_original_bookkeeping(session.__pydantic_extra__)
    return session


def _migrated(model: type[S], value: bytes, migrate: Migrate) -> S:
    try:
        stored = from_json(value)
        if isinstance(stored, dict):
            return model.model_validate_json(to_json(migrate(stored)))
    except Exception:
        # The caller's own code may raise anything; a session that can't be read is a 401 all the same.
        raise SessionCorruptError("session_migration_failed") from None
    raise SessionCorruptError


def dump(session: Session, stored: bytes | None = None) -> bytes:
    """The session as JSON, with the fields of the stored value that the session's model does not know.

    Raises:
        InvalidArgumentError: The model would refuse to read this back; changes in place are not validated by Pydantic.
        SessionTooLargeError: It is larger than `MAX_SESSION_BYTES`.
    """
    try:
        value = to_json(session, by_alias=True)
        data = from_json(value, allow_inf_nan=False)
        if stored is not None:
            _keep_unknown(session, _original_fields(stored), data)
            value = to_json(data)
        type(session).model_validate_json(value)
    except ValidationError as error:
        raise InvalidArgumentError(_fields_of(type(session), error)) from None
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"the {type(session).__name__} has no JSON form ({type(error).__name__})") from None
    if len(value) > MAX_SESSION_BYTES:
        raise SessionTooLargeError
    return value


def _original_fields(stored: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = from_json(stored)
    _drop_original_bookkeeping(fields)
    return fields


def _drop_original_bookkeeping(fields: dict[str, Any]) -> None:
    # The original writes the raw JWT and its claims into the value on update. Neither is session data (it sets both
    # anew on every request), and a token has no place in the store.
    claims = fields.get("claims")
    if isinstance(fields.get("jwt"), str) and isinstance(claims, dict) and "jti" in claims:
        del fields["jwt"], fields["claims"]


def _keep_unknown(model: BaseModel, stored: Mapping[str, Any], data: dict[str, Any]) -> None:
    """Add to `data` what `stored` has and the model does not know, also in models that are nested in fields."""
    if model.model_config.get("extra") != "allow":
        known = {*data}  # computed fields too
        for name, field in type(model).model_fields.items():
            # Every name by which it is read: an old value under another one could win over the new value.
            known |= {field.serialization_alias or field.alias or name, *_read_by(type(model), name, field)}
        data.update({name: value for name, value in stored.items() if name not in known})
    for name, field in type(model).model_fields.items():
        key = field.serialization_alias or field.alias or name
        _keep_within(getattr(model, name), stored.get(key), data.get(key))


def _keep_within(value: Any, stored: Any, data: Any) -> None:
    if not (isinstance(stored, dict) and isinstance(data, dict)):
        return
    if isinstance(value, BaseModel):
        _keep_unknown(value, stored, data)
    elif isinstance(value, Mapping) and len(value) == len(data):
        # In the same order; the keys of the model's need not be texts, those of JSON are.
        for each, (key, new) in zip(value.values(), data.items(), strict=True):
            _keep_within(each, stored.get(key), new)


def _fields_of(model: type[BaseModel], error: ValidationError) -> str:
    """Which fields are wrong and how, without their values."""
    items = error.errors(include_url=False, include_context=False, include_input=False)
    found = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['type']}" for item in items)
    return f"not a valid {model.__name__}: {found}"
