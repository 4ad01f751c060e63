"""FastAPI's routes and their dependency trees, in every supported version of it."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fastapi import routing
from starlette.routing import BaseRoute, Host, Mount


def applications(app: Any, prefix: str = "", above: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The application and all that are mounted in it, at any depth, each after its path."""
    if any(each is app for each in above):
        return  # mounted in itself
    above = (*above, app)
    if not hasattr(app, "routes"):
        for inner in _within(app):
            yield from applications(inner, prefix, above)
        return
    yield prefix, app
    for route in routes(app):
        if isinstance(route, Mount | Host):
            yield from applications(route.app, prefix + getattr(route, "path", ""), above)


def _within(app: Any) -> Iterator[Any]:
    """What a middleware, or a function that stands for an application, may pass requests on to."""
    if inspect.ismethod(app):
        held: Iterable[Any] = [app.__self__]
    elif inspect.isfunction(app):
        names = inspect.getclosurevars(app)
        held = [*names.nonlocals.values(), *names.globals.values()]
    else:
        held = [getattr(app, "app", None), *getattr(app, "__dict__", {}).values()]
    next_one = getattr(app, "app", None)  # by the custom of middlewares
    for each in {id(each): each for each in held}.values():
        if each is not None and (each is next_one or hasattr(each, "routes") or hasattr(each, "app")):
            yield each


def routes(app: Any) -> Iterator[Any]:
    """Every route of one application as FastAPI serves it, those of included routers too."""
    # Old versions of FastAPI copy the routes of an included router, and have no contexts.
    contexts: Callable[[Sequence[BaseRoute]], Iterator[Any]] = getattr(routing, "iter_route_contexts", iter)
    for route in contexts(getattr(app, "routes", ())):
        original = getattr(route, "original_route", route)
        yield original if isinstance(original, Mount | Host) else route


def nodes(route: Any) -> Iterator[Any]:
    """The nodes of a route's dependency tree (`fastapi.dependencies.models.Dependant`), the endpoint's own first."""
    waiting = [getattr(route, "dependant", None)]
    while waiting:
        node = waiting.pop()
        if node is not None:
            yield node
            waiting += reversed(node.dependencies)


def parameters(node: Any) -> Iterator[Any]:
    """What a client may fill in for one node: fields of FastAPI, each with its `name`."""
    for place in ("path", "query", "header", "cookie", "body"):
        yield from getattr(node, f"{place}_params")


def core_schema(parameter: Any) -> Any:
    """What Pydantic makes of what a client fills in."""
    return parameter._type_adapter.core_schema


def scopes(node: Any) -> Sequence[str]:
    """What `Security(..., scopes=[...])` demands at this node and above it."""
    if hasattr(node, "own_oauth_scopes"):
        return [*(node.parent_oauth_scopes or ()), *(node.own_oauth_scopes or ())]
    return [*(getattr(node, "security_scopes", None) or ())]


def replace_call(node: Any, call: Callable[..., Any]) -> None:
    """Let a node of a dependency tree call something else."""
    node.call = call
    # Some versions of FastAPI compute this from `call` once and keep it.
    getattr(node, "__dict__", {}).pop("is_coroutine_callable", None)
