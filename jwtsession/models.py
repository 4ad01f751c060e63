"""The user's data: `Session` (what Redis holds), `Claims` (what the JWT carries), `Token` (what a login returns)."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from ._injectable import InjectableMeta
from .errors import InvalidArgumentError

_STATE = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")
"""Where a Pydantic model keeps what it holds."""


def _for_clients(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Tell clients what the base classes themselves are: their docstrings are for the application's author."""
    if model is Session:
        schema["description"] = "A session, with whatever it holds."
    elif model is Claims:
        schema["description"] = "What a token says about itself and its user (RFC 7519)."


class _Discreet:
    """Shows no data where it is printed, logged or formatted: its class alone."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __str__(self) -> str:
        return repr(self)

    def __repr_args__(self) -> tuple[()]:  # what rich and devtools ask for
        return ()


class Session(_Discreet, BaseModel, metaclass=InjectableMeta):
    """Base class of the stored data: subclass it and declare fields.

    Fields in Redis that the subclass does not declare (of another version of the application, or of the Node
    original) are kept through `update()` and never shown. `Session` itself takes any field: it is the free-form session
    of a provider without a model. Its `repr` shows no data.
    """

    # JSON has no infinity: as a constant it is refused when it is stored, not turned into null as by default.
    model_config = ConfigDict(
        extra="allow", hide_input_in_errors=True, ser_json_inf_nan="constants", json_schema_extra=_for_clients
    )
    __free_form__: ClassVar[bool] = True

    if not TYPE_CHECKING:  # type checkers would take it for leave to set any attribute

        def __setattr__(self, name: str, value: Any) -> None:
            """Set a field. What would stay in this instance alone, and not be stored, is stored or refused."""
            model = type(self)
            if model.model_config.get("extra") == "allow" and _is_lost(model, name):
                if model.model_config.get("frozen"):
                    raise InvalidArgumentError(f"{model.__name__} is frozen")
                self.__pydantic_extra__[name] = value
                self.__pydantic_fields_set__.add(name)
                return
            super().__setattr__(name, value)


def take_state(session: Session, other: Session) -> None:
    """Let a session hold what the other one holds, which nobody else has or goes on with."""
    for each in _STATE:
        object.__setattr__(session, each, getattr(other, each))


def _is_lost(model: type[BaseModel], name: str) -> bool:
    """Whether Pydantic would set a field that the model does not declare as an attribute, which nobody stores.

    Raises:
        InvalidArgumentError: It would, and the name can't be a field's: it is a method's.
    """
    if name in model.__pydantic_fields__ or name in model.__private_attributes__:
        return False
    owner = next((base for base in model.__mro__ if name in vars(base)), None)
    if owner is None:
        # Taken for a private name, or found on the metaclass (`register`).
        return name.startswith("_") or hasattr(model, name)
    found = vars(owner)[name]
    if (
        name in model.__class_vars__  # Pydantic refuses it
        or isinstance(found, cached_property)
        or hasattr(found, "__set__")
        or (name.startswith("__") and name.endswith("__"))  # Python's
    ):
        return False
    raise InvalidArgumentError(
        f"{model.__name__}.{name} is a method, so a field of that name is not stored: "
        f"choose another name, or declare a field with alias={name!r}"
    )


class Claims(_Discreet, BaseModel):
    """Base class of the JWT's claims (RFC 7519 section 4.1): subclass it for claims of your own.

    Its `repr` shows no data.

    `iss`, `aud`, `iat`, `exp` and `jti` are filled in by `SessionManager.create()` where they are left out.
    Times are seconds since the epoch.

    Validators run when a worker sees a token for the first time, and when an endpoint asks for the claims: what has to
    be true at every request (that an account is not locked) belongs in a dependency.
    """

    # As a constant, infinity makes no JSON and so no token, instead of a claim that turns into null.
    model_config = ConfigDict(
        extra="allow", hide_input_in_errors=True, ser_json_inf_nan="constants", json_schema_extra=_for_clients
    )

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
    jti: str | None = None
    """The session's id. Reserved: `create()` refuses claims that set it."""
    auth_time: int | float | None = None
    """When the user proved who they are (OpenID Connect Core section 2); filled in where there is a `sub`."""
    jwtsession_idle_timeout: int | None = None
    """Seconds for which nobody may use this session before it ends, instead of `max_age`: `create(max_age=...)`."""
    scope: str | None = None
    """What the token permits, separated by spaces (RFC 8693 section 4.2)."""


def _not_null(schema: dict[str, Any]) -> None:
    """A member that is left out instead of null."""
    del schema["anyOf"], schema["default"]
    schema["type"] = "integer"


class Token(BaseModel):
    """The token of a new session (RFC 6749 section 5.1)."""

    # Clients read these texts in OpenAPI. The repr hides the token.
    model_config = ConfigDict(use_attribute_docstrings=True)

    access_token: str = Field(repr=False)
    """The JWT."""
    token_type: Literal["bearer"] = "bearer"
    """How to send it: `Authorization: Bearer`."""
    expires_in: int | None = Field(default=None, exclude_if=lambda value: value is None, json_schema_extra=_not_null)
    """Seconds until the token expires; left out where it does not."""
