"""Loads a session before FastAPI prepares the rest of the request, where nothing else would happen in between.

A request that waits for Redis holds all that FastAPI has made for it, and Python's garbage collector looks at that
again and again. So where a session is the first thing that a route asks for, the request loads it before FastAPI makes
most of those objects, as a middleware may. The dependency then finds the request's manager, and need not wait.

A route stays as it is if anything of the application's could run before the dependency, such as another dependency or
the reading of a body. So a session is never loaded earlier than it was asked for.
"""

from collections.abc import Sequence
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from .dependants import applications, first_called, routes, scopes, served
from .dependency import SessionDependency
from .outgoing import KEY


class EarlyLoad:
    """A route's ASGI application, which asks for the request's manager first.

    Args:
        app: FastAPI's application of the route.
        dependency: What FastAPI will call first.
        scopes: The scopes that the endpoint demands there.
        overrider: FastAPI will call something else if `dependency_overrides` of this object names it. None if nothing
            can be overridden.
    """

    def __init__(self, app: ASGIApp, dependency: SessionDependency[Any], scopes: Sequence[str], overrider: Any) -> None:
        self.app = app
        self._ask = dependency.early(scopes)
        self._key = dependency.early_key
        self._overrider = overrider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the manager, or the error, until the dependency is called. Pass the request on."""
        # Without an `Outgoing`, only FastAPI's own `Response` takes the headers to the client: this application is
        # mounted in the one that started the provider, and a server runs it by itself too.
        if (self._overrider and self._overrider.dependency_overrides) or scope.get(KEY) is None:
            await self.app(scope, receive, send)
            return
        try:
            scope[self._key] = await self._ask(HTTPConnection(scope))
        except Exception as error:
            # As if the dependency had asked: without this frame, which has the token as long as the request runs.
            scope[self._key] = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        try:
            if self._overrider and self._overrider.dependency_overrides:
                del scope[self._key]  # overridden while this waited; the override may want another session
            await self.app(scope, receive, send)
        finally:
            scope.pop(self._key, None)  # a driver may use the scope again


def load_early(app: Any) -> None:
    """Let the routes of an application, also of mounted ones, load their sessions early, where that is the same."""
    for _, each in applications(app):
        for route in routes(each):
            holder = served(route)
            if isinstance(getattr(holder, "app", None), EarlyLoad):
                holder.app = holder.app.app  # the application was started before, and the route may have changed
            first = first_called(route)
            if first is not None and isinstance(first.call, SessionDependency) and not first.call.reads_bodies:
                overrider = route.dependency_overrides_provider
                holder.app = EarlyLoad(holder.app, first.call, scopes(first), overrider)
