"""The router for gateways and other services: introspection (RFC 7662) and revocation (RFC 7009)."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from ...errors import InvalidClientError
from ...models import Claims
from ._forms import FORM, InvalidRequestError, form_fields
from ._guards import client_dependency

_NO_STORE = {"Cache-Control": "no-store"}
_TIMES = ("exp", "iat", "nbf", "auth_time")
_TOLD = {"scope", "sub", "aud", "iss", "jti", "cnf", "acr", "amr", "act", *_TIMES}
"""The claims that an answer has, if the token has them."""


def _without_null(schema: dict[str, Any]) -> None:
    """Show each member as one that may be left out, and never as null."""
    for name, shown in schema["properties"].items():
        types = [each for each in shown.pop("anyOf", ()) if each != {"type": "null"}]
        if types:
            del shown["default"]
            schema["properties"][name] = shown | (types[0] if len(types) == 1 else {"anyOf": types})


class TokenForm(BaseModel):
    """The question about a token."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=_without_null)

    token: str
    """The token."""
    token_type_hint: str | None = None
    """Ignored: there is one type of token."""


class TokenStatus(BaseModel):
    """The answer about a token (RFC 7662 section 2.2). An inactive token has no other member than `active`."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=_without_null)

    active: bool
    """Whether to accept the token."""
    token_type: Literal["Bearer", "DPoP"] | None = None
    """How the client has to send the token. With `DPoP`, check its proof: see `cnf`."""
    scope: str | None = None
    """What the token permits, separated by spaces."""
    sub: str | None = None
    """The user."""
    iss: str | None = None
    """Who issued the token."""
    aud: str | list[str] | None = None
    """For which services it is."""
    jti: str | None = None
    """The session's id."""
    exp: int | None = None
    """When it ends at the latest, in seconds since the epoch."""
    iat: int | None = None
    """When it was issued, in seconds since the epoch."""
    nbf: int | None = None
    """It is not valid before, in seconds since the epoch."""
    auth_time: int | None = None
    """When the user logged in, in seconds since the epoch."""
    cnf: dict[str, Any] | None = None
    """The thumbprint `jkt` of the key that the client's proof must have (RFC 9449 section 6.2)."""
    acr: str | None = None
    """How strong the sign-in was (RFC 9470 section 6.2)."""
    amr: list[str] | None = None
    """How the user signed in (RFC 8176)."""
    act: dict[str, Any] | None = None
    """Who acts for the user, as `sub` (RFC 8693 section 4.1)."""


class TokenError(BaseModel):
    """Why a request is refused (RFC 6749 section 5.2)."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    error: Literal["invalid_request", "invalid_client"]
    """What is wrong."""
    error_description: str = Field(default="", exclude_if=lambda value: not value)
    """What is wrong, for people."""


class _TokenRoute(APIRoute):
    """Answers as RFC 6749 section 5.2 wants it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except InvalidRequestError as error:
                told = TokenError(error="invalid_request", error_description=str(error))
                return JSONResponse(told.model_dump(), error.status, _NO_STORE)
            except InvalidClientError as error:
                return JSONResponse(TokenError(error="invalid_client").model_dump(), error.status, error.headers)

        return answered


def token_router(
    introspect: Callable[[HTTPConnection, str], Awaitable[Claims | None]],
    revoke: Callable[[HTTPConnection, str], Awaitable[None]],
    authenticate_client: Callable[..., object],
    introspect_path: str,
    revoke_path: str,
) -> APIRouter:
    """See `SessionProvider.token_router`."""
    first = [client_dependency(authenticate_client)]
    router = APIRouter(route_class=_TokenRoute, tags=["tokens"], dependencies=first)
    schema = TokenForm.model_json_schema()
    asked = {"requestBody": {"required": True, "content": {FORM: {"schema": schema}}}}
    answers: dict[int | str, dict[str, Any]] = {
        400: {"description": "Not one token in a form", "model": TokenError},
        401: {"description": "The calling service is not authenticated", "model": TokenError},
        413: {"description": "The form is too large", "model": TokenError},
        503: {"description": "The session store is unavailable"},
    }

    @router.post(
        introspect_path,
        summary="Whether to accept a token",
        response_model=TokenStatus,
        response_model_exclude_none=True,
        responses=answers,
        openapi_extra=asked,
    )
    async def introspect_token(request: Request, response: Response) -> TokenStatus:
        """RFC 7662. The answer is the same for every token that must not be accepted."""
        response.headers.update(_NO_STORE)
        return _status(await introspect(request, await _token(request)))

    @router.post(
        revoke_path,
        summary="End the session of a token",
        response_class=Response,
        responses={200: {"description": "The token is not valid, or not any more"}, **answers},
        openapi_extra=asked,
    )
    async def revoke_token(request: Request) -> Response:
        """RFC 7009."""
        await revoke(request, await _token(request))
        return Response(headers=_NO_STORE)

    return router


def _status(claims: Claims | None) -> TokenStatus:
    if claims is None:
        return TokenStatus(active=False)
    told = claims.model_dump(mode="json", include=_TOLD, exclude_none=True, warnings=False)
    told |= {name: int(told[name]) for name in _TIMES if name in told}
    return TokenStatus(active=True, token_type="DPoP" if claims.cnf else "Bearer", **told)


async def _token(request: Request) -> str:
    """The one token of the form (RFC 7662 section 2.1, RFC 7009 section 2.1).

    Raises:
        InvalidRequestError: There is none, there are two, or it stands in the URL, which logs keep.
    """
    if "token" in request.query_params:
        raise InvalidRequestError("a token must not stand in the URL")
    fields = await form_fields(request)
    for name in ("token", "token_type_hint"):
        if sum(key == name for key, _ in fields) > 1:
            raise InvalidRequestError(f"{name} must not be repeated")
    for key, value in fields:
        if key == "token" and isinstance(value, str) and value:
            return value
    raise InvalidRequestError("token is missing")
