"""Refuses routes that would read a session from the client's data, or lose what they change in it."""

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.errors import PydanticUserError

from ..errors import ConfigurationError
from ..manager import SessionManager
from ..models import Claims, Session
from .dependants import applications, core_schema, nodes, parameters, routes
from .factories import is_factory, is_of_provider, unwrapped
from .openapi import Documented

# Parts of a core schema that say how to write or describe a value, and not how to make one from the client's data.
_NOT_READ = {"serialization", "metadata", "computed_fields"}


def check_routes(app: Any) -> None:
    """Refuse routes that would read a session or claims from the client's data, also in mounted applications.

    FastAPI does this for a parameter without `Depends()`: any client could then send a session of its own.
    Refuse also WebSockets with `get_editable_session`, whose changes would be lost.

    Raises:
        ConfigurationError: There are such routes. The message names each route and parameter.
    """
    harmless: set[type] = set()
    found = [
        f"{name_of(prefix, route)}: {wrong}"
        for prefix, each in applications(app)
        for route in routes(each)
        for node in nodes(route)
        for wrong in (*_faults(node, harmless), *_lost_changes(route, node))
    ]
    if found:
        raise ConfigurationError("; ".join(dict.fromkeys(found)))


def _faults(node: Any, harmless: set[type]) -> Iterator[str]:
    asked = typing.get_origin(node.call) or node.call
    if is_factory(asked) or (is_of_provider(asked) and any(True for _ in parameters(node))):
        name = unwrapped(asked).__name__
        yield f"Depends({name}) calls {name} with what the client sends: it needs Depends({name}(...)), or other code"
    elif isinstance(asked, type) and issubclass(asked, Claims):
        yield f"Depends() on {asked.__name__} takes the claims from the query: use get_manager and manager.claims"
    elif isinstance(asked, type) and issubclass(asked, SessionManager):
        yield f"Depends() on {asked.__name__} makes a manager from the query: write Depends(sessions.get_manager)"
    else:
        for parameter in parameters(node):
            model = _in_parameter(parameter, harmless)
            if model is not None:
                yield (
                    f"the parameter {parameter.name!r} takes a {model.__name__} from the client, who may write anything"
                    " into it: it needs Depends(sessions.get_session), or a model that is no Session and no Claims"
                )


def _lost_changes(route: Any, node: Any) -> Iterator[str]:
    if isinstance(node.call, Documented) and node.call.saves and not getattr(route, "methods", None):
        yield (
            "get_editable_session stores the changes when the answer starts, and a WebSocket has no answer: "
            "use get_manager, and call update()"
        )


def _in_parameter(parameter: Any, harmless: set[type]) -> type | None:
    """The first session model or claims model in a parameter's type, at any depth; None if there is none.

    Args:
        parameter: A FastAPI field.
        harmless: Models that contain no such model. This function adds the models that it finds harmless.
    """
    looked_through: set[type] = set()
    try:
        waiting = [core_schema(parameter)]
        while waiting:
            part = waiting.pop()
            if isinstance(part, list | tuple):
                waiting += part
            elif isinstance(part, Mapping):
                made = part.get("cls") if part.get("type") == "model" else None
                if isinstance(made, type):
                    if issubclass(made, Session | Claims):
                        return made
                    if made in harmless or made in looked_through:
                        continue
                    looked_through.add(made)
                waiting += [each for name, each in part.items() if name not in _NOT_READ]
    except PydanticUserError:
        return None  # the type is not complete, so FastAPI can't read the parameter either
    harmless |= looked_through
    return None


def name_of(prefix: str, route: Any) -> str:
    """A route's methods and path, for messages."""
    methods = ", ".join(sorted(getattr(route, "methods", None) or ["WebSocket"]))
    return f"{methods} {prefix}{getattr(route, 'path', '')}"
