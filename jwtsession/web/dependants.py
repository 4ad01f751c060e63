"""Reads FastAPI's routes and their dependency trees, in every supported version of FastAPI."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fastapi import routing
from starlette.routing import BaseRoute, Host, Mount


def applications(app: Any, prefix: str = "", above: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the application, and all applications that are mounted in it at any depth, each after its path."""
    if any(each is app for each in above):
        return  # the application is mounted in itself
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
    """Yield the objects to which a middleware, or a function that wraps an application, may pass requests."""
    if inspect.ismethod(app):
        held: Iterable[Any] = [app.__self__]
    elif inspect.isfunction(app):
        names = inspect.getclosurevars(app)
        held = [*names.nonlocals.values(), *names.globals.values()]
    else:
        held = [getattr(app, "app", None), *getattr(app, "__dict__", {}).values()]
    next_one = getattr(app, "app", None)  # most middlewares keep the next application under this name
    for each in {id(each): each for each in held}.values():
        if each is not None and (each is next_one or hasattr(each, "routes") or hasattr(each, "app")):
            yield each


def routes(app: Any) -> Iterator[Any]:
    """Yield every route of one application as FastAPI serves it, also the routes of included routers."""
    # Old versions of FastAPI copy the routes of an included router into the application, and have no contexts.
    contexts: Callable[[Sequence[BaseRoute]], Iterator[Any]] = getattr(routing, "iter_route_contexts", iter)
    for route in contexts(getattr(app, "routes", ())):
        original = getattr(route, "original_route", route)
        yield original if isinstance(original, Mount | Host) else route


def nodes(route: Any) -> Iterator[Any]:
    """Yield the nodes of a route's dependency tree (`fastapi.dependencies.models.Dependant`), the endpoint's first."""
    waiting = [getattr(route, "dependant", None)]
    while waiting:
        node = waiting.pop()
        if node is not None:
            yield node
            waiting += reversed(node.dependencies)


def first_called(route: Any) -> Any | None:
    """The node that FastAPI calls first at a request; None if the application may do something else before.

    Before come a dependency that stands before it, the reading of a body, a limit of its size, a route class of the
    application's own, and what the application has put around the route. Only routes for HTTP have such a node.
    """
    node: Any = getattr(route, "dependant", None)
    is_plain = type(getattr(route, "original_route", route)) is routing.APIRoute
    if not is_plain or route.body_field is not None or getattr(route, "max_body_size", None) is not None:
        return None
    if not _is_fastapis(served(route).app):
        return None
    while node.dependencies:
        node = node.dependencies[0]
    # FastAPI waits for a node whose calls at the same time are limited.
    return node if getattr(node, "concurrency", None) is None else None


def _is_fastapis(app: Any) -> bool:
    """Whether a route's application is FastAPI's own function, and so is the handler in it: nobody has wrapped them.

    Sentry, for instance, wraps handlers, and reads the body there.
    """

    def stands_there(function: Any) -> bool:
        return getattr(function, "__globals__", None) is vars(routing)

    # Not the variables of another function: one may have no value yet.
    return stands_there(app) and all(stands_there(cell.cell_contents) for cell in app.__closure__ or ())


def served(route: Any) -> Any:
    """The object whose `app` is the ASGI application of a route."""
    # Versions of FastAPI with contexts keep the applications of included routes there.
    return getattr(route, "_effective_route", route)


def parameters(node: Any) -> Iterator[Any]:
    """Yield the parameters of one node that a client fills in: FastAPI's fields, each with its `name`."""
    for place in ("path", "query", "header", "cookie", "body"):
        yield from getattr(node, f"{place}_params")


def core_schema(parameter: Any) -> Any:
    """Pydantic's core schema of a parameter that a client fills in."""
    return parameter._type_adapter.core_schema


def scopes(node: Any) -> Sequence[str]:
    """The scopes that `Security(..., scopes=[...])` demands at this node and above it."""
    if hasattr(node, "own_oauth_scopes"):
        return [*(node.parent_oauth_scopes or ()), *(node.own_oauth_scopes or ())]
    return [*(getattr(node, "security_scopes", None) or ())]


def replace_call(node: Any, call: Callable[..., Any]) -> None:
    """Replace the callable of a node of a dependency tree."""
    node.call = call
    # Some versions of FastAPI compute this value from `call` once and cache it.
    getattr(node, "__dict__", {}).pop("is_coroutine_callable", None)
