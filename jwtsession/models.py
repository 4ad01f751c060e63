"""The user's data: `Session` (what Redis holds), `Claims` (what the JWT carries), `Token` (what a login returns)."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from .injection import InjectableMeta


def _for_clients(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Tell clients what the base classes themselves are: their docstrings are for the application's author."""
    if model is Session:
        schema["description"] = "A session, with whatever it holds."
    elif model is Claims:
        schema["description"] = "What a token says about itself and its user (RFC 7519)."


class Session(BaseModel, metaclass=InjectableMeta):
    """Base class of the stored data: subclass it and declare fields.

    Fields in Redis that the subclass does not declare (of another version of the application, or of the Node
    original) are kept through `update()` and never shown. `Session` itself takes any field: it is the free-form session
    of a provider without a model.
    """

    # JSON has no infinity: as a constant it is refused when it is stored, not turned into null as by default.
    model_config = ConfigDict(
        extra="allow", hide_input_in_errors=True, ser_json_inf_nan="constants", json_schema_extra=_for_clients
    )
    __free_form__: ClassVar[bool] = True


class Claims(BaseModel):
    """Base class of the JWT's claims (RFC 7519 section 4.1): subclass it for claims of your own.

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
    jti: str | None = Field(default=None, repr=False)
    """The session's id. Reserved: `create()` refuses claims that set it."""
    auth_time: int | float | None = None
    """When the user proved who they are (OpenID Connect Core section 2); filled in where there is a `sub`."""
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
