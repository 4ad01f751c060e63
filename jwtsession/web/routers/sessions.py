"""The router for a user's own sessions: who am I, log out, my devices."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ...manager.description import describe
from ...models import Ticket
from ..dependency import SessionDependency
from ._access import SessionAccess
from ._validation import ValidatedRoute
from .paging import MORE, Offset, tell_of_more
from .refresh import add_refresh
from .views import CurrentSession, EndedSessions, SessionError, SessionLabel, SessionView, Views, moment

SessionEndpoint = Literal["read", "log_out", "list", "end_others", "end", "label", "refresh", "ticket"]
"""An endpoint of `SessionProvider.router`."""

NO_SUCH_SESSION: dict[int | str, dict[str, Any]] = {
    404: {"description": "The user has no such session", "model": SessionError}
}


def session_router(
    access: SessionAccess,
    views: Views,
    endpoints: Collection[SessionEndpoint],
    *,
    fresh: SessionDependency[Any] | None,
    page: APIRouter | None,
    prefix: str,
    tags: Sequence[str],
) -> APIRouter:
    """See `SessionProvider.router`.

    Args:
        access: What the provider gives.
        views: Makes the answers.
        endpoints: Which endpoints the router has.
        fresh: A dependency that asks for a recent sign-in, before sessions are ended; None for no such demand.
        page: The router of the page; None for no page.
        prefix: The beginning of the paths.
        tags: The tags of the endpoints in OpenAPI.
    """
    router = APIRouter(prefix=prefix, tags=[*tags], route_class=ValidatedRoute)
    given = Depends(access.get_required_manager)
    first = [] if fresh is None else [Depends(_undocumented(fresh))]

    @_if("read" in endpoints, router.get, "/session", summary="Who am I")
    async def read_session(manager: Any = given) -> CurrentSession:
        """The session of the request, without the application's data."""
        told = describe(manager)
        return CurrentSession(
            handle=told.handle,
            created=None if told.created is None else moment(told.created),
            expires=moment(told.expires),
            absolute_expires=None if told.absolute_expires is None else moment(told.absolute_expires),
            transport="cookie" if told.by_cookie else "bearer",
            impersonated=manager.actor is not None,
        )

    @_if("log_out" in endpoints, router.delete, "/session", status_code=204, summary="Log out")
    async def log_out(manager: Any = given) -> None:
        """End the session of the request. If it is gone already, nothing happens."""
        await manager.destroy()

    @_if("list" in endpoints, router.get, "/sessions", summary="My sessions", responses=MORE)
    async def list_sessions(response: Response, manager: Any = given, offset: Offset = 0) -> list[SessionView]:
        """The user's sessions on all devices, the one used last first, at most 1,000 at a time."""
        manager.require()
        found = await access.sessions(manager, offset)
        tell_of_more(response, offset, found)
        return await views.of(found)

    @_if("end_others" in endpoints, router.delete, "/sessions", dependencies=first, summary="End my other sessions")
    async def end_sessions(manager: Any = given, all: bool = False) -> EndedSessions:  # noqa: A002  # the parameter's name
        """End all other sessions of the user; with `all`, that of the request too, as the last one."""
        manager.require()
        return EndedSessions(ended=await access.end_others(manager, own_too=all))

    ending = {"status_code": 204, "dependencies": first, "responses": NO_SUCH_SESSION}

    @_if("end" in endpoints, router.delete, "/sessions/{handle}", summary="End one of my sessions", **ending)
    async def end_session(handle: str, manager: Any = given) -> None:
        """End one of the user's sessions. If it is that of the request, this is a log-out."""
        manager.require()
        await access.end(handle, manager)

    naming = {"status_code": 204, "responses": NO_SUCH_SESSION}

    @_if("label" in endpoints, router.patch, "/sessions/{handle}", summary="Name one of my sessions", **naming)
    async def name_session(handle: str, label: SessionLabel, manager: Any = given) -> None:
        """Give one of the user's sessions a name."""
        manager.require()
        await access.name(handle, label.label, manager)

    if "refresh" in endpoints:
        add_refresh(router, access.get_required_manager, "/session/refresh")

    @_if("ticket" in endpoints, router.post, "/session/ticket", summary="Get a ticket for a WebSocket")
    async def make_ticket(manager: Any = given) -> Ticket:
        """A ticket opens one WebSocket or one event stream, by `?ticket=` in its URL."""
        manager.require()
        ticket: Ticket = await manager.ticket()
        return ticket

    if page is not None:
        router.include_router(page)
    return router


def _undocumented(fresh: SessionDependency[Any]) -> Callable[..., Any]:
    """The dependency without its documentation: with it, OpenAPI would show that the endpoint changes the session."""

    async def require_recent_sign_in(request: Request, response: Response) -> None:
        await fresh(request, response)

    return require_recent_sign_in


def _if(wanted: bool, method: Callable[..., Any], path: str, **shown: Any) -> Callable[[Any], Any]:
    """The decorator that adds an endpoint to a router, or one that does nothing if the endpoint is not wanted."""
    return method(path, **shown) if wanted else lambda endpoint: endpoint
