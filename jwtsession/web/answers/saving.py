"""`Saving`: stores what a request changed in its sessions, just before its answer starts."""

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Self

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import Send

from ..._tracebacks import clear_frame_locals
from ...errors import ConfigurationError, JWTSessionError
from ...manager import SessionManager
from ...manager.editing import check_edits, has_edits, verb_called, watch_edits
from ...observability import AuditTrail
from ..outgoing import KEY, Outgoing
from .outcome import Attempt, Outcome, failed, outcome


class Saving:
    """What one request's answer waits for: `Outgoing.before_start`.

    Args:
        request: The request, as its endpoint has it.
    """

    _warned: ClassVar[set[str]] = set()

    def __init__(self, request: Request) -> None:
        self._request = request
        self._managers: list[SessionManager[Any, Any]] = []
        self._saved = False

    @classmethod
    def of(cls, connection: HTTPConnection) -> Self:
        """Return the request's own. Its answer then waits for it.

        Raises:
            ConfigurationError: It is a WebSocket, the answer has started, or nothing sees the answer.
        """
        outgoing: Outgoing | None = connection.scope.get(KEY)
        if not isinstance(connection, Request):
            raise ConfigurationError(
                "get_editable_session: a WebSocket has no answer whose start could store the changes: "
                "use get_manager, and call update()"
            )
        if outgoing is None:
            raise ConfigurationError(
                "get_editable_session: the changes would be lost, because nothing sees the start of the answer: start "
                "the provider by the application, FastAPI(lifespan=sessions.lifespan), or write "
                "app.add_middleware(SessionMiddleware)"
            )
        if outgoing.started:
            raise ConfigurationError("get_editable_session: the answer has already started: call update()")
        if not isinstance(outgoing.before_start, cls):
            outgoing.before_start = cls(connection)
        return outgoing.before_start

    def add(self, manager: SessionManager[Any, Any]) -> None:
        """Store the changes that the request makes in this manager's session."""
        if not any(each is manager for each in self._managers):
            self._managers.append(manager)
        watch_edits(manager)

    async def __call__(self, status: int, send: Send) -> Exception | None:
        """Store the changes, or answer with the error that forbids it. See `BeforeStart`."""
        changed = [has_edits(manager) for manager in self._managers]
        client_gone = any(changed) and await _is_gone(self._request)
        pending: list[tuple[SessionManager[Any, Any], functools.partial[Outcome]]] = []
        for manager, its in zip(self._managers, changed, strict=True):
            rule = functools.partial(outcome, status, changed=its, verb=verb_called(manager), client_gone=client_gone)
            if rule(attempt=Attempt.NOT_MADE) is Outcome.STORE:
                pending.append((manager, rule))
        steps: list[tuple[Callable[[], Awaitable[Any]], functools.partial[Outcome]]]
        steps = [(manager.update, rule) for manager, rule in pending]
        if len(pending) > 1:  # nothing is stored in one session if another one can't be
            steps = [(functools.partial(check_edits, manager), rule) for manager, rule in pending] + steps
        for step, rule in steps:
            try:
                await step()
            except JWTSessionError as error:
                clear_frame_locals(error)
                if rule(attempt=failed(error)) is not Outcome.REPLACE:
                    raise
                await self._answer(error, send)
                return error
        self._saved = status < 400 and not client_gone
        return None

    def finished(self) -> None:
        """Warn of changes that came too late: once for each route, because every request of it has them."""
        if self._saved and any(map(has_edits, self._managers)):
            route = f"{self._request.method} {getattr(self._request.scope.get('route'), 'path', '')}"
            if route not in self._warned:
                self._warned.add(route)
                AuditTrail.log(
                    logging.WARNING,
                    "%s: the session of get_editable_session was changed after the answer had started, and this is not "
                    "stored: call update() or mutate() there",
                    route,
                )

    async def _answer(self, error: JWTSessionError, send: Send) -> None:
        """Answer as if the endpoint had raised the error: by the application's handler, if there is one for it.

        Without a handler the error passes through the endpoint's frames to the server, as every error of a 500.
        """
        request = self._request
        # Starlette's `ExceptionMiddleware` leaves its handlers there for the routes: by exception, and by status.
        by_class, by_status = request.scope.get("starlette.exception_handlers", ({}, {}))
        handler = by_status.get(error.status_code) if isinstance(error, HTTPException) else None
        handler = handler or next((by_class[kind] for kind in type(error).__mro__ if kind in by_class), None)
        if handler is None:
            raise error
        response = await run_in_threadpool(handler, request, error)
        if inspect.isawaitable(response):
            response = await response
        if response is not None:
            await response(request.scope, request.receive, send)


async def _is_gone(request: Request) -> bool:
    """Whether the client has gone away. False where to look could take a part of the body away from the application."""
    announced = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    unread = not getattr(request, "_stream_consumed", False)
    if unread and (announced or request.scope.get("http_version", "1.1") >= "2"):
        return False
    return await request.is_disconnected()
