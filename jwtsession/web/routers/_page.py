"""The page "Your sessions": written by the server, without a script. Its forms need the cookie and nothing else."""

from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ...errors import CSRFError, ImpersonationError, InvalidArgumentError, LoginRequiredError, StaleAuthenticationError
from ...sessions import check_label
from ..dependency import SessionDependency
from ..login_redirect import with_next
from . import paging
from ._access import SessionAccess
from ._forms import InvalidRequestError, form_fields
from ._page_html import MESSAGES, POLICY, SHOWN, notice, sessions_page
from .views import Views

PATH = "/devices"
"""The page's path. Its forms post to paths below it. All URLs in it are relative: a proxy may add a prefix."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    # Browsers that get "no-referrer" send `Origin: null` with a form, which is nobody's own page.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def page_router(
    access: SessionAccess,
    views: Views,
    endpoints: Collection[str],
    *,
    user: SessionDependency[Any],
    fresh: SessionDependency[Any] | None,
    login: str | None,
) -> APIRouter:
    """Make the router of the page. See `SessionProvider.router`.

    Args:
        access: What the provider gives.
        views: Makes the views of the sessions.
        endpoints: What the page offers, by the names of `SessionEndpoint`.
        user: A dependency that refuses visitors, or sends them to the login page.
        fresh: A dependency that asks for a recent sign-in, before other sessions are ended; None for no such demand.
        login: The path of the login page, for links; None if there is none.
    """

    class PageRoute(APIRoute):
        """Answers a refused request with a page."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answered(request: Request) -> Response:
                try:
                    return await handle(request)
                except LoginRequiredError:
                    raise
                except (HTTPException, InvalidRequestError) as error:
                    return _refusal(error, request, login)

            return answered

    given, first = Depends(access.get_required_manager), [Depends(user)]
    recent = first if fresh is None else [*first, Depends(fresh)]
    router = APIRouter(prefix=PATH, route_class=PageRoute, include_in_schema=False)

    @router.get("", dependencies=first)
    async def show_sessions(request: Request, manager: Any = given) -> Response:
        found = await access.sessions(manager)
        others = [each for each in found if not each.current]
        more = (
            f"{'At least ' if len(found) == paging.LISTED else ''}{len(others) - SHOWN:,}"
            if len(others) > SHOWN
            else None
        )
        shown = await views.of([*(each for each in found if each.current), *others[:SHOWN]])
        message = MESSAGES.get(request.query_params.get("done", ""))
        acting = manager.actor is not None
        return _page(
            sessions_page(shown, more=more, now=access.now(), endpoints=endpoints, acting=acting, message=message)
        )

    if "log_out" in endpoints:

        @router.post("/log-out")
        async def log_out_by_form(manager: Any = given) -> Response:
            await manager.destroy()
            return _logged_out(login)

    if "end" in endpoints:

        @router.post("/end", dependencies=recent)
        async def end_by_form(request: Request, manager: Any = given) -> Response:
            await access.end((await _form(request)).get("handle", ""), manager)
            return _back("ended") if manager.id is not None else _logged_out(login)

    if "end_others" in endpoints:

        @router.post("/end-others", dependencies=recent)
        async def end_others_by_form(manager: Any = given) -> Response:
            await access.end_others(manager)
            return _back("others-ended")

    if "label" in endpoints:

        @router.post("/rename", dependencies=first)
        async def rename_by_form(request: Request, manager: Any = given) -> Response:
            form = await _form(request)
            try:
                label = check_label(form.get("label", ""))
            except InvalidArgumentError:
                raise HTTPException(422) from None
            await access.name(form.get("handle", ""), label, manager)
            return _back("named")

    return router


async def _form(request: Request) -> dict[str, str]:
    return {name: value for name, value in await form_fields(request) if isinstance(value, str)}


def _page(html: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return HTMLResponse(html, status, {**(headers or {}), **_HEADERS})


def _back(done: str) -> Response:
    """Send the browser back to the page by a GET, so that loading it again sends no form again."""
    return RedirectResponse(f"../devices?done={done}", 303, _HEADERS)


def _logged_out(login: str | None) -> Response:
    if login is not None:
        return RedirectResponse(login, 303, _HEADERS)
    return _page(notice("You are logged out", "Your session on this device has ended.", []))


def _refusal(error: HTTPException | InvalidRequestError, request: Request, login: str | None) -> Response:
    is_form = request.method == "POST"
    back = ("../devices" if is_form else "devices", "Back to your sessions" if is_form else "Try again")
    if isinstance(error, InvalidRequestError):
        return _page(notice("This was not understood", "Open the page again, and try once more.", [back]), error.status)
    status = error.status_code
    title, text = _REFUSALS.get(status, ("This is not possible", "Open the page again, and try once more."))
    links = [back]
    if isinstance(error, StaleAuthenticationError):
        title, text = "Sign in again", "You want to end sessions, and it is a while since you signed in."
        if login is not None:
            page = quote(request.scope["path"].rsplit("/", 1)[0])
            links = [(with_next(login, page), "Sign in"), back]
    elif status == 401:
        links = [] if login is None else [(login, "Sign in")]
    elif status == 503 and is_form:
        text = "What you asked for may have happened in part. Try again in a moment."
    elif isinstance(error, CSRFError):
        title, text = "This request was refused", "Another site may have made it. Use the buttons of the page itself."
    elif isinstance(error, ImpersonationError):
        title, text = "Only the user can do this", "You act for the user, and may not change the user's other sessions."
    return _page(notice(title, text, links), status, error.headers)


_REFUSALS = {
    401: ("You are not signed in", "Your session on this device has ended, or there was none."),
    # Perhaps the device has moved it to another id meanwhile, and is still signed in.
    404: ("This session is not in the list any more", "It has ended, or it has changed. Look at the list again."),
    422: ("This name is not possible", "A name has at most 64 characters, and each of them can be shown."),
    503: ("Your sessions can't be reached", "Nobody has been signed out. Try again in a moment."),
}
