"""OpenAPI: documents how to send the token, and the answers to refused requests."""

import inspect
import itertools
from collections import ChainMap
from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any, get_args

from fastapi import Depends, FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.models import (
    APIKey,
    HTTPBase,
    HTTPBearer,
    OAuth2,
    OAuthFlowPassword,
    OAuthFlows,
)
from fastapi.openapi.models import (
    SecurityBase as SecurityModel,
)
from fastapi.security.base import SecurityBase

from ..models import Token, TokenType
from ..settings import SessionSettings
from ..transports import SAFE_METHODS
from .answers.refusals import answers_for
from .answers.successors import show_successor
from .dependants import applications, nodes, routes, scopes
from .injection import make_async

_ERROR_SCHEMA = {
    "title": "SessionError",
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
}
_DPOP = (
    "The JWT that a login with a proof returned, for `{}`: `Authorization: DPoP`, and a new proof in the header `DPoP` "
    "for each request (RFC 9449)."
)


class Scheme(SecurityBase):
    """One way to send the token: a node of FastAPI's dependency tree that does nothing at a request."""

    def __init__(self, name: str, model: SecurityModel) -> None:
        self.scheme_name = name
        self.model = model
        self.in_cookie = isinstance(model, APIKey) and model.in_.value == "cookie"
        self.token_type = "cookie" if self.in_cookie else "DPoP" if getattr(model, "scheme", "") == "DPoP" else "bearer"

    async def __call__(self) -> None:
        """Do nothing: FastAPI only reads the node for the document."""


class Documented:
    """A dependency that OpenAPI shows.

    FastAPI reads `__signature__`. Each scheme is a parameter there, so FastAPI shows the schemes itself.

    Args:
        schemes: The ways to send the token.
        optional: Whether a request may come without a session.
        changes: Whether the dependency gives a manager, whose methods change what is stored.
        saves: Whether the request's answer stores what was changed in place.
        answers: The reasons for which a request may be refused: keys of `ANSWERS`.
        body_name: The token's name in a body; None if no token is looked for there.
    """

    __signature__: inspect.Signature

    def __init__(
        self,
        schemes: Sequence[Scheme],
        *,
        optional: bool,
        changes: bool = False,
        saves: bool = False,
        answers: Sequence[str],
        body_name: str | None,
    ) -> None:
        self.schemes = tuple(schemes)
        self.optional = optional
        self.changes = changes
        self.saves = saves
        self.answers = tuple(answers)
        self.body_name = body_name

    def set_signature(self, **parameters: Any) -> None:
        """Set the signature that FastAPI reads: these parameters, by name and annotation, and one for each scheme."""
        annotations = parameters | {scheme.scheme_name: Annotated[None, Depends(scheme)] for scheme in self.schemes}
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
                for name, annotation in annotations.items()
            ]
        )


def schemes(settings: SessionSettings, token_url: str | None, scopes: Mapping[str, str]) -> list[Scheme]:
    """The security schemes that the document shows: of the first token source, or of `bearer` with a `token_url`.

    There is only one, because generated clients fill in every alternative that they find, and two tokens are refused.
    The cookie may be there beside it: a request that has both is valid. So may the scheme `DPoP`, which has the same
    header; where tokens must be bound to keys, it takes the place of `bearer`. The description names the other sources.
    OpenAPI has no scheme for a token in the body: if that is the only source, the list is empty, and `document` shows
    a request body instead.
    """
    places = {
        "bearer": "`Authorization: Bearer`",
        "header": f"the header `{settings.header_name}`",
        "query": f"the parameter `{settings.request_arg}` of the URL",
        "body": f"the member `{settings.request_arg}` of a JSON or form body",
    }
    key, sources = settings.request_key, [each for each in settings.token_sources if each != "cookie"]
    found: list[Scheme] = []
    if "cookie" in settings.token_sources:
        text = f"The cookie that a login set, for `{key}`. Browsers send it themselves."
        found.append(_api_key(key, "cookie", settings.cookie_name, text))
    if settings.dpop.mode != "off":
        found.append(Scheme(f"{key}_dpop", HTTPBase(scheme="DPoP", description=_DPOP.format(key))))
    if settings.dpop.mode == "required":
        return found
    by_password = token_url is not None and "bearer" in sources
    source = "bearer" if by_password else next((each for each in sources if each != "body"), None)
    if source is None:
        return found
    sources.remove(source)
    description = f"The JWT that a login returned, for `{key}`."
    if sources:
        description += f" It may come in {' or '.join(places[each] for each in sources)} instead."
    if by_password:
        flows = OAuthFlows(password=OAuthFlowPassword(tokenUrl=token_url or "", scopes=dict(scopes)))
        explicit = Scheme(f"{key}_password", OAuth2(flows=flows, description=description))
    elif source == "bearer":
        explicit = Scheme(f"{key}_bearer", HTTPBearer(bearerFormat="JWT", description=description))
    else:
        name = settings.header_name if source == "header" else settings.request_arg
        explicit = _api_key(key, source, name, description)
    return [explicit, *found]


def _api_key(key: str, source: str, name: str, description: str) -> Scheme:
    model = APIKey.model_validate({"in": source, "name": name, "description": description})
    return Scheme(f"{key}_{source}", model)


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
    """Remove from the dependency trees what only the document needs, because it costs time at each request."""
    for _, each in applications(app):
        for node in (node for route in routes(each) for node in nodes(route)):
            if isinstance(node.call, Documented):
                node.dependencies[:] = [sub for sub in node.dependencies if not isinstance(sub.call, Scheme)]
            make_async(node)


def _complete(app: FastAPI, schema: dict[str, Any]) -> None:
    types: set[str] = set()
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
                types.add(scheme.token_type)
    if types - {"bearer"}:
        _show_token_types(schema["components"]["schemas"], types)
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
        # A manager with scopes requires a session: without a session, no token grants the scopes.
        optional = each.optional and not (each.changes and demanded)
        groups[each.schemes] = groups.get(each.schemes, True) and optional
    ways: list[list[dict[str, list[str]]]] = []
    for group, optional in groups.items():
        # A provider that takes tokens only from the body has no scheme.
        ways.append([{scheme.scheme_name: scopes} for scheme in group] or [{}])
        if optional and group:
            ways[-1].append({})
    # A request needs one way of each provider. With one provider, as in most applications, this is a plain list.
    security = others + [dict(ChainMap(*choice)) for choice in itertools.product(*ways)]
    if any(security):
        operation["security"] = security
    reasons = {reason for each in found for reason in each.answers} | ({"scope"} if scopes else set())
    if not all(groups.values()):
        reasons |= {"no_session"}
        # An endpoint that asks for a session and for a manager will change the session. A login needs no session, so
        # it has none to change.
        reasons -= {"too_many", "too_large"}
        if len({each.changes for each in found}) > 1 or any(each.saves for each in found):
            reasons |= {"conflict", "too_large"}
    if method not in SAFE_METHODS and any(scheme.in_cookie for each in found for scheme in each.schemes):
        reasons |= {"cross_site"}
    responses = operation.setdefault("responses", {})
    for status, answer in answers_for(reasons).items():
        responses.setdefault(status, answer)
    if "successor" in reasons:
        show_successor(responses)
    for each in found:
        if each.body_name is not None and method not in ("GET", "HEAD") and "requestBody" not in operation:
            token = {"type": "object", "properties": {each.body_name: {"type": "string", "description": "The JWT"}}}
            kinds = ("application/json", "application/x-www-form-urlencoded")
            operation["requestBody"] = {"content": {kind: {"schema": token} for kind in kinds}}


def _show_token_types(schemas: dict[str, Any], types: Set[str]) -> None:
    """Show what a login's answer may have, also one of a subclass of `Token`. With a cookie it may have no token."""
    shown = [each for each in get_args(TokenType) if each in types or (each == "bearer" and types == {"cookie"})]
    text = Token.model_fields["access_token"].description
    for schema in schemas.values():
        properties = schema.get("properties", {})
        if text != properties.get("access_token", {}).get("description"):
            continue
        if "cookie" in types:
            required = [each for each in schema.pop("required", ()) if each != "access_token"]
            if required:
                schema["required"] = required
        kind = properties["token_type"]
        if kind.pop("const", None) is not None:
            kind |= {"enum": shown} if len(shown) > 1 else {"const": shown[0], "default": shown[0]}
