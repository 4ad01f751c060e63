"""What is looked at when an application starts: nothing that only a session may hold comes from a client."""

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.errors import PydanticUserError

from .dependants import applications, core_schema, nodes, parameters, routes
from .errors import ConfigurationError
from .manager import SessionManager
from .models import Claims, Session

# Parts of a core schema that tell how to write a value or describe it, not how to make one of what a client sends.
_NOT_READ = {"serialization", "metadata", "computed_fields"}


def check_routes(app: Any) -> None:
    """Refuse routes, in mounted applications too, that would take a session or its claims from the client.

    That is what FastAPI makes of a parameter whose `Depends()` was forgotten: a 200 for whoever writes a session.

    Raises:
        ConfigurationError: Names each such route and parameter.
    """
    found = [
        f"{_name(prefix, route)}: {wrong}"
        for prefix, each in applications(app)
        for route in routes(each)
        for node in nodes(route)
        for wrong in _faults(node)
    ]
    if found:
        raise ConfigurationError("; ".join(dict.fromkeys(found)))


def _faults(node: Any) -> Iterator[str]:
    asked = typing.get_origin(node.call) or node.call
    if isinstance(asked, type) and issubclass(asked, Claims):
        yield f"Depends() on {asked.__name__} takes the claims from the query: ask get_manager, for manager.claims"
    elif isinstance(asked, type) and issubclass(asked, SessionManager):
        yield f"Depends() on {asked.__name__} makes one of the query: it needs Depends(sessions.get_manager)"
    else:
        for parameter in parameters(node):
            model = _in_parameter(parameter)
            if model is not None:
                yield (
                    f"the parameter {parameter.name!r} takes a {model.__name__} from the client, who may write anything"
                    " into it: it needs Depends(sessions.get_session), or a model that is no Session and no Claims"
                )


def _in_parameter(parameter: Any) -> type | None:
    try:
        return _trusted_in(core_schema(parameter), set())
    except PydanticUserError:
        return None  # a type that is not complete: FastAPI can't read it either


def _trusted_in(schema: Any, seen: set[int]) -> type | None:
    """The model of a session or of claims that a core schema of Pydantic makes somewhere, if any."""
    if not isinstance(schema, Mapping | list | tuple) or id(schema) in seen:
        return None
    seen.add(id(schema))
    parts = schema
    if isinstance(schema, Mapping):
        made = schema.get("cls")
        if schema.get("type") == "model" and isinstance(made, type) and issubclass(made, Session | Claims):
            return made
        parts = [part for name, part in schema.items() if name not in _NOT_READ]
    return next((found for part in parts if (found := _trusted_in(part, seen)) is not None), None)


def _name(prefix: str, route: Any) -> str:
    methods = ", ".join(sorted(getattr(route, "methods", None) or ["WebSocket"]))
    return f"{methods} {prefix}{getattr(route, 'path', '')}"
