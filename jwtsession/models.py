"""The data models: `Session` (stored in Redis), `Claims` (carried by the JWT), `Token` and `Ticket` (answers)."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from ._injectable import InjectableMeta
from .errors import InvalidArgumentError

_STATE = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")
"""The attributes in which a Pydantic model keeps its data."""


def _for_clients(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Replace the description of the base classes in OpenAPI: their docstrings are for the application's author."""
    if model is Session:
        schema["description"] = "A session, with whatever it holds."
    elif model is Claims:
        schema["description"] = "What a token says about itself and its user (RFC 7519)."


class _HiddenData:
    """Base of models that show only their class, and no data, when they are printed, logged or formatted."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __str__(self) -> str:
        return repr(self)

    def __repr_args__(self) -> tuple[()]:  # what rich and devtools ask for
        return ()


class Session(_HiddenData, BaseModel, metaclass=InjectableMeta):
    """Base class of the stored data: subclass it and declare fields.

    Redis may hold fields that the subclass does not declare, written by another version of the application or by the
    Node original. `update()` keeps such fields, and the instance does not show them. `Session` itself accepts any
    field: it is the free-form session of a provider without a model. `repr()` shows no data.
    """

    # JSON has no infinity. "constants" makes the serializer write `Infinity`, which `dump()` then refuses; by default
    # Pydantic would silently write null.
    model_config = ConfigDict(
        extra="allow", hide_input_in_errors=True, ser_json_inf_nan="constants", json_schema_extra=_for_clients
    )
    __free_form__: ClassVar[bool] = True

    if not TYPE_CHECKING:  # with `__setattr__` in sight, type checkers would allow any attribute

        def __setattr__(self, name: str, value: Any) -> None:
            """Set a field. A value that Pydantic would keep out of the stored data is stored too, or refused.

            Raises:
                InvalidArgumentError: The name is a method's, or the model is frozen.
            """
            model = type(self)
            if model.model_config.get("extra") == "allow" and _is_lost(model, name):
                if model.model_config.get("frozen"):
                    raise InvalidArgumentError(f"{model.__name__} is frozen")
                self.__pydantic_extra__[name] = value
                self.__pydantic_fields_set__.add(name)
                return
            super().__setattr__(name, value)


def take_state(session: Session, other: Session) -> None:
    """Move the data of `other` into `session`. The caller must not use `other` afterwards: they share the data."""
    for each in _STATE:
        object.__setattr__(session, each, getattr(other, each))


def _is_lost(model: type[BaseModel], name: str) -> bool:
    """Whether Pydantic would set this undeclared name as a plain attribute, which is not stored.

    Raises:
        InvalidArgumentError: It would, and the name can't become a field, because a method has it.
    """
    if name in model.__pydantic_fields__ or name in model.__private_attributes__:
        return False
    owner = next((base for base in model.__mro__ if name in vars(base)), None)
    if owner is None:
        # Pydantic takes the name for a private one, or finds it on the metaclass (`register`).
        return name.startswith("_") or hasattr(model, name)
    found = vars(owner)[name]
    if (
        name in model.__class_vars__  # Pydantic refuses it
        or isinstance(found, cached_property)
        or hasattr(found, "__set__")
        or (name.startswith("__") and name.endswith("__"))  # a name of Python's own
    ):
        return False
    raise InvalidArgumentError(
        f"{model.__name__}.{name} is a method, so a field of that name is not stored: "
        f"choose another name, or declare a field with alias={name!r}"
    )


class Claims(_HiddenData, BaseModel):
    """Base class of the JWT's claims (RFC 7519 section 4.1): subclass it for claims of your own.

    `SessionManager.create()` sets `jti`, and fills in `iss`, `aud`, `iat` and `exp` if you leave them out. Times are
    seconds since the epoch. `repr()` shows no data.

    Validators run when a worker verifies a token for the first time, and when an endpoint reads `manager.claims`. Put
    a check that must run at every request (is the account locked?) into a dependency instead. A validator may refuse a
    registered claim (`sub`, `scope`, `exp` and the others of this class), but not change it: a token whose claim it
    would change is refused. A registered claim can have no alias.
    """

    # With "constants" an infinite number gives no valid JSON, so no token; by default it would become null.
    model_config = ConfigDict(
        extra="allow", hide_input_in_errors=True, ser_json_inf_nan="constants", json_schema_extra=_for_clients
    )

    sub: str | None = None
    """The user's id (subject)."""
    iss: str | None = None
    """The service that issued the token (issuer)."""
    aud: str | list[str] | None = None
    """The service or services that may accept the token (audience)."""
    iat: int | float | None = None
    """When the token was issued, in seconds since the epoch."""
    nbf: int | float | None = None
    """The token is not valid before this time, in seconds since the epoch."""
    exp: int | float | None = None
    """The token is not valid from this time on, in seconds since the epoch. `absolute_max_age` bounds it."""
    jti: str | None = None
    """The session's id. Reserved: `create()` refuses claims that set it."""
    auth_time: int | float | None = None
    """When the user signed in, in seconds since the epoch (OpenID Connect Core section 2). `create()` fills it in if
    there is a `sub`."""
    acr: str | None = None
    """How strong the sign-in was, as a name that you choose: `aal2` (OpenID Connect Core section 2, RFC 9470)."""
    amr: list[str] | None = None
    """How the user signed in: `["pwd", "otp"]` (OpenID Connect Core section 2; RFC 8176 lists values)."""
    jwtsession_idle_timeout: int | None = None
    """This session's own idle timeout in seconds, instead of the setting `max_age`: `create(max_age=...)` sets it."""
    jwtsession_persistent: bool | None = None
    """Whether a cookie with this token outlives the browser's session: `create(persistent=...)` sets it, so that
    `regenerate()` knows it."""
    gen: int | None = None
    """Which of the session's tokens this is, if `rotation` replaces tokens: it counts from 0. Reserved, as `jti` is."""
    cnf: dict[str, Any] | None = None
    """The key to which the token is bound (RFC 7800 section 3.1, RFC 9449 section 6.1). Reserved, as `jti` is."""
    act: dict[str, Any] | None = None
    """Who acts for the user: `{"sub": "support-7"}` (RFC 8693 section 4.1). Reserved, as `jti` is."""
    scope: str | None = None
    """The scopes that the token grants, separated by spaces (RFC 8693 section 4.2)."""


def _not_null(schema: dict[str, Any]) -> None:
    """Show a member in OpenAPI as an integer that may be left out, and never as null."""
    del schema["anyOf"], schema["default"]
    schema["type"] = "integer"


def _bearer_token(schema: dict[str, Any]) -> None:
    """Show what a deployment without cookies answers. `web/openapi.py` replaces it where there are cookies.

    A subclass has this too, with fields of its own.
    """
    properties = schema["properties"]
    properties["access_token"].pop("default", None)
    schema["required"] = ["access_token", *(each for each in schema.get("required", ()) if each != "access_token")]
    if properties["token_type"].get("enum") == [*get_args(TokenType)]:
        del properties["token_type"]["enum"]
        properties["token_type"]["const"] = "bearer"


TokenType = Literal["bearer", "cookie", "DPoP"]


class Token(BaseModel):
    """The token of a new session (RFC 6749 section 5.1)."""

    # Clients read these texts in OpenAPI. The repr hides the token.
    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=_bearer_token)

    access_token: str = Field(default="", repr=False, exclude_if=lambda value: not value)
    """The JWT. Left out if it is in a cookie."""
    token_type: TokenType = "bearer"
    """How to send it: `Authorization: Bearer`."""
    expires_in: int | None = Field(default=None, exclude_if=lambda value: value is None, json_schema_extra=_not_null)
    """Seconds until the token expires; left out if it never expires."""


class Ticket(BaseModel):
    """Opens one WebSocket or one event stream, by `?ticket=` in its URL."""

    # Clients read these texts in OpenAPI. The repr hides the ticket.
    model_config = ConfigDict(use_attribute_docstrings=True)

    ticket: str = Field(repr=False)
    """The ticket. It can be used once."""
    expires_in: int
    """Seconds until the ticket expires."""
