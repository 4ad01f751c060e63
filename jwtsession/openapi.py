"""OpenAPI: every way to send the token as an alternative, and the answers of a refused request."""

import inspect
import itertools
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.models import (
    APIKey,
    HTTPBearer,
    OAuth2,
    OAuthFlowPassword,
    OAuthFlows,
)
from fastapi.openapi.models import (
    SecurityBase as SecurityModel,
)
from fastapi.security.base import SecurityBase

from .dependants import applications, nodes, routes, scopes
from .injection import spare_thread
from .settings import SessionSettings

_ERROR_SCHEMA = {
    "title": "SessionError",
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
}
_ANSWERS = {
    "400": ("More than one token", {"WWW-Authenticate": "RFC 6750: error `invalid_request`"}),
    "401": (
        "No session, or a sign-in too long ago for this endpoint",
        {
            "WWW-Authenticate": "RFC 6750: `Bearer`, with error `invalid_token` for a bad token; "
            "RFC 9470: error `insufficient_user_authentication` with the `max_age` of the sign-in"
        },
    ),
    "403": (
        "The token's scope does not permit this, or the user has too many sessions",
        {"WWW-Authenticate": "RFC 6750: error `insufficient_scope`"},
    ),
    "409": ("The session was changed by another request", {}),
    "413": ("The session is too large", {}),
    "503": ("The session store is unavailable", {"Retry-After": "Seconds"}),
}


class Scheme(SecurityBase):
    """One way to send the token, as a node of FastAPI's dependency tree that does nothing."""

    def __init__(self, name: str, model: SecurityModel) -> None:
        self.scheme_name = name
        self.model = model

    async def __call__(self) -> None:
        """Nothing: FastAPI only reads the node."""


class Documented:
    """A dependency that OpenAPI shows: its schemes, whether a request may come without, and the answers it may give.

    FastAPI reads `__signature__`: each scheme is a parameter there, which is how FastAPI shows them by itself.
    """

    __signature__: inspect.Signature

    def __init__(
        self, schemes: Sequence[Scheme], *, optional: bool, answers: Sequence[int], body_name: str | None
    ) -> None:
        self.schemes = tuple(schemes)
        self.optional = optional
        self.answers = tuple(str(status) for status in answers)
        self.body_name = body_name

    def sign(self, **parameters: Any) -> None:
        """Take these parameters, by name and annotation, and one for each scheme."""
        annotations = parameters | {scheme.scheme_name: Annotated[None, Depends(scheme)] for scheme in self.schemes}
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
                for name, annotation in annotations.items()
            ]
        )


def schemes(settings: SessionSettings, token_url: str | None, scopes: Mapping[str, str]) -> list[Scheme]:
    """The security schemes for the enabled token sources.

    OpenAPI has none for a token in the body: `document` shows that one as a request body.
    """
    key, found = settings.request_key, []
    description = f"The JWT that a login returned, for `{key}`."
    for source in settings.token_sources:
        if source == "bearer" and token_url is not None:
            flows = OAuthFlows(password=OAuthFlowPassword(tokenUrl=token_url, scopes=dict(scopes)))
            found.append(Scheme(f"{key}_password", OAuth2(flows=flows, description=description)))
        elif source == "bearer":
            found.append(Scheme(f"{key}_bearer", HTTPBearer(bearerFormat="JWT", description=description)))
        elif source != "body":
            name = settings.header_name if source == "header" else settings.request_arg
            model = APIKey.model_validate({"in": source, "name": name, "description": description})
            found.append(Scheme(f"{key}_{source}", model))
    return found


def document(app: FastAPI) -> None:
    """Complete the application's OpenAPI document, and those of its sub-applications."""
    for _, each in applications(app):
        if isinstance(each, FastAPI):
            _document(each)


def _document(app: FastAPI) -> None:
    if getattr(app.openapi, "documents_sessions", False):
        return
    generate = app.openapi
    completed: dict[str, Any] | None = None

    def openapi() -> dict[str, Any]:
        nonlocal completed
        schema = generate()
        if schema is not completed:
            _complete(app, schema)
            completed = schema
        return schema

    openapi.documents_sessions = True  # type: ignore[attr-defined]
    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents


def spare(app: FastAPI) -> None:
    """Take out of the dependency trees what costs time at a request and is there for the document only."""
    for _, each in applications(app):
        for node in (node for route in routes(each) for node in nodes(route)):
            if isinstance(node.call, Documented):
                node.dependencies[:] = [sub for sub in node.dependencies if not isinstance(sub.call, Scheme)]
            spare_thread(node)


def _complete(app: FastAPI, schema: dict[str, Any]) -> None:
    for route in routes(app):
        ours = [node for node in nodes(route) if isinstance(node.call, Documented)]
        found = [node.call for node in ours]
        demanded = [scope for node in ours for scope in scopes(node)]
        operations = schema.get("paths", {}).get(getattr(route, "path_format", None), {})
        if found and getattr(route, "include_in_schema", False):
            for method in route.methods or ():
                if method.lower() in operations:
                    _complete_operation(operations[method.lower()], method, found, [*dict.fromkeys(demanded)])
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).setdefault("SessionError", _ERROR_SCHEMA)
            for scheme in (scheme for each in found for scheme in each.schemes):
                model = jsonable_encoder(scheme.model, by_alias=True, exclude_none=True)
                components.setdefault("securitySchemes", {})[scheme.scheme_name] = model
    shown = schema.get("components", {}).get("securitySchemes", {})
    for name in [name for name, model in shown.items() if model["type"] == "oauth2"]:
        # Last: Swagger UI puts the cursor into the last form of its dialog.
        shown[name] = shown.pop(name)


def _complete_operation(operation: dict[str, Any], method: str, found: Sequence[Documented], scopes: list[str]) -> None:
    ours = {scheme.scheme_name for each in found for scheme in each.schemes}
    others = [item for item in operation.get("security", []) if not ours.intersection(item)]
    groups: dict[tuple[Scheme, ...], bool] = {}
    for each in found:
        groups[each.schemes] = groups.get(each.schemes, True) and each.optional
    ways: list[list[dict[str, list[str]]]] = []
    for group, optional in groups.items():
        # A provider that takes tokens from the body alone has no scheme to demand.
        ways.append([{scheme.scheme_name: scopes} for scheme in group] or [{}])
        if optional and group:
            ways[-1].append({})
    # One of each provider's ways; with one provider, as ever but in the rarest application, a plain list.
    security = others + [dict(ChainMap(*choice)) for choice in itertools.product(*ways)]
    if any(security):
        operation["security"] = security
    responses = operation.setdefault("responses", {})
    answers = {status for each in found for status in each.answers} | ({"403"} if scopes else set())
    for status in sorted(answers):
        responses.setdefault(status, _answer(status))
    for each in found:
        if each.body_name is not None and method not in ("GET", "HEAD") and "requestBody" not in operation:
            token = {"type": "object", "properties": {each.body_name: {"type": "string", "description": "The JWT"}}}
            kinds = ("application/json", "application/x-www-form-urlencoded")
            operation["requestBody"] = {"content": {kind: {"schema": token} for kind in kinds}}


def _answer(status: str) -> dict[str, Any]:
    description, headers = _ANSWERS[status]
    answer: dict[str, Any] = {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SessionError"}}},
    }
    if headers:
        answer["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
        }
    return answer
