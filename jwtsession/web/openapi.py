"""OpenAPI: the way to send the token, and the answers of a refused request."""

import inspect
import itertools
from collections import ChainMap
from collections.abc import Mapping, Sequence, Set
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

from ..settings import SessionSettings
from .dependants import applications, nodes, routes, scopes
from .injection import make_async

_ERROR_SCHEMA = {
    "title": "SessionError",
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
}
_BEARER = "RFC 6750: `Bearer` with a `realm`, or with error `invalid_token` for a bad token"
_STALE = "RFC 9470: error `insufficient_user_authentication` with the `max_age` of the sign-in"
# By what happens: the status, what it means, and its headers. One status may have several reasons.
_ANSWERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "ambiguous": ("400", "Two different tokens", {"WWW-Authenticate": "RFC 6750: error `invalid_request`"}),
    "no_session": ("401", "No session", {"WWW-Authenticate": _BEARER}),
    "stale": ("401", "A sign-in too long ago for this endpoint", {"WWW-Authenticate": _STALE}),
    "scope": (
        "403",
        "The token's scope does not permit this",
        {"WWW-Authenticate": "RFC 6750: error `insufficient_scope`"},
    ),
    "too_many": ("403", "The user has too many sessions", {}),
    "conflict": ("409", "The session was changed by another request", {}),
    "too_large": ("413", "The session is too large", {}),
    "unavailable": ("503", "The session store is unavailable", {"Retry-After": "Seconds"}),
}


class Scheme(SecurityBase):
    """One way to send the token, as a node of FastAPI's dependency tree that does nothing."""

    def __init__(self, name: str, model: SecurityModel) -> None:
        self.scheme_name = name
        self.model = model

    async def __call__(self) -> None:
        """Nothing: FastAPI only reads the node."""


class Documented:
    """A dependency that OpenAPI shows.

    Args:
        schemes: The ways to send the token.
        optional: A request may come without a session.
        changes: It gives a manager, whose verbs change what is stored.
        answers: What may happen, as in `_ANSWERS`.
        body_name: The token's name in a body, where it is looked for there.

    FastAPI reads `__signature__`: each scheme is a parameter there, which is how FastAPI shows them by itself.
    """

    __signature__: inspect.Signature

    def __init__(
        self,
        schemes: Sequence[Scheme],
        *,
        optional: bool,
        changes: bool = False,
        answers: Sequence[str],
        body_name: str | None,
    ) -> None:
        self.schemes = tuple(schemes)
        self.optional = optional
        self.changes = changes
        self.answers = tuple(answers)
        self.body_name = body_name

    def set_signature(self, **parameters: Any) -> None:
        """Take these parameters, by name and annotation, and one for each scheme."""
        annotations = parameters | {scheme.scheme_name: Annotated[None, Depends(scheme)] for scheme in self.schemes}
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
                for name, annotation in annotations.items()
            ]
        )


def schemes(settings: SessionSettings, token_url: str | None, scopes: Mapping[str, str]) -> list[Scheme]:
    """The one security scheme that the document recommends: of the first token source, or for `token_url` of `bearer`.

    One, since generated clients fill in every alternative that they find. The other sources stand in its description.
    OpenAPI has no scheme for a token in the body: where that is the only source, there is none, and `document` shows a
    request body.
    """
    places = {
        "bearer": "`Authorization: Bearer`",
        "header": f"the header `{settings.header_name}`",
        "query": f"the parameter `{settings.request_arg}` of the URL",
        "body": f"the member `{settings.request_arg}` of a JSON or form body",
    }
    key, sources = settings.request_key, [*settings.token_sources]
    by_password = token_url is not None and "bearer" in sources
    source = "bearer" if by_password else next((each for each in sources if each != "body"), None)
    if source is None:
        return []
    sources.remove(source)
    description = f"The JWT that a login returned, for `{key}`."
    if sources:
        description += f" It may come in {' or '.join(places[each] for each in sources)} instead."
    if by_password:
        flows = OAuthFlows(password=OAuthFlowPassword(tokenUrl=token_url or "", scopes=dict(scopes)))
        return [Scheme(f"{key}_password", OAuth2(flows=flows, description=description))]
    if source == "bearer":
        return [Scheme(f"{key}_bearer", HTTPBearer(bearerFormat="JWT", description=description))]
    name = settings.header_name if source == "header" else settings.request_arg
    return [Scheme(f"{key}_{source}", APIKey.model_validate({"in": source, "name": name, "description": description}))]


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


def prune_dependants(app: FastAPI) -> None:
    """Take out of the dependency trees what costs time at a request and is there for the document only."""
    for _, each in applications(app):
        for node in (node for route in routes(each) for node in nodes(route)):
            if isinstance(node.call, Documented):
                node.dependencies[:] = [sub for sub in node.dependencies if not isinstance(sub.call, Scheme)]
            make_async(node)


def _complete(app: FastAPI, schema: dict[str, Any]) -> None:
    for route in routes(app):
        found = [(node.call, scopes(node)) for node in nodes(route) if isinstance(node.call, Documented)]
        operations = schema.get("paths", {}).get(getattr(route, "path_format", None), {})
        if found and getattr(route, "include_in_schema", False):
            for method in route.methods or ():
                if method.lower() in operations:
                    _complete_operation(operations[method.lower()], method, found)
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).setdefault("SessionError", _ERROR_SCHEMA)
            for scheme in (scheme for each, _ in found for scheme in each.schemes):
                model = jsonable_encoder(scheme.model, by_alias=True, exclude_none=True)
                components.setdefault("securitySchemes", {})[scheme.scheme_name] = model
    shown = schema.get("components", {}).get("securitySchemes", {})
    for name in [name for name, model in shown.items() if model["type"] == "oauth2"]:
        # Last: Swagger UI puts the cursor into the last form of its dialog.
        shown[name] = shown.pop(name)


def _complete_operation(
    operation: dict[str, Any], method: str, asked: Sequence[tuple[Documented, Sequence[str]]]
) -> None:
    found = [each for each, _ in asked]
    scopes = [*dict.fromkeys(scope for _, demanded in asked for scope in demanded)]
    ours = {scheme.scheme_name for each in found for scheme in each.schemes}
    others = [item for item in operation.get("security", []) if not ours.intersection(item)]
    groups: dict[tuple[Scheme, ...], bool] = {}
    for each, demanded in asked:
        # A manager with scopes is as good as a session: without one there is nothing that permits them.
        optional = each.optional and not (each.changes and demanded)
        groups[each.schemes] = groups.get(each.schemes, True) and optional
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
    reasons = {reason for each in found for reason in each.answers} | ({"scope"} if scopes else set())
    if not all(groups.values()):
        reasons |= {"no_session"}
        # Who asks for a session and for a manager changes it. A login, which needs no session, has nothing to change.
        reasons -= {"too_many", "too_large"}
        if any(each.changes for each in found) and any(not each.changes for each in found):
            reasons |= {"conflict", "too_large"}
    responses = operation.setdefault("responses", {})
    for status, answer in _answers(reasons).items():
        responses.setdefault(status, answer)
    for each in found:
        if each.body_name is not None and method not in ("GET", "HEAD") and "requestBody" not in operation:
            token = {"type": "object", "properties": {each.body_name: {"type": "string", "description": "The JWT"}}}
            kinds = ("application/json", "application/x-www-form-urlencoded")
            operation["requestBody"] = {"content": {kind: {"schema": token} for kind in kinds}}


def _answers(reasons: Set[str]) -> dict[str, dict[str, Any]]:
    """OpenAPI's answers for what may happen, by status."""
    answers: dict[str, dict[str, Any]] = {}
    for status, description, headers in (_ANSWERS[reason] for reason in _ANSWERS if reason in reasons):
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/SessionError"}}}
        answer = answers.setdefault(status, {"description": "", "content": content})
        answer["description"] = " / ".join(filter(None, [answer["description"], description]))
        for name, text in headers.items():
            header = answer.setdefault("headers", {}).setdefault(
                name, {"description": "", "schema": {"type": "string"}}
            )
            header["description"] = "; ".join(filter(None, [header["description"], text]))
    return answers
