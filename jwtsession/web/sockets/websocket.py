"""Closes a WebSocket when its session ends, and when its endpoint fails after `accept()`."""

import asyncio
from collections.abc import Awaitable
from http.client import responses
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from ...errors import JWTSessionError
from ...sessions import Ending
from .outbox import Outbox
from .watching import ScopeWatch

_CLOSING_CODES = {400: 1008, 401: 1008, 403: 1008, 503: 1013}
"""Closing codes by HTTP status (RFC 6455 section 7.4.1 and its registry): 1008 is "policy violation", 1013 "try again
later". Every other status gives 1011, "internal error"."""

_OWN_CODES = 3000
"""Some servers (Daphne) send no code of the protocol's own, from 1000 to 1999, except 1000. They send the code plus
this number, which is one of the codes for applications."""

_MARK = "jwtsession.socket"
"""In the scope of a socket that a `ClosesSockets` has already."""


class ClosesSockets:
    """ASGI middleware inside FastAPI's exception handlers.

    These handlers answer an `HTTPException` with an HTTP response. For a WebSocket, a server accepts such a response
    only before `accept()`; later it is a protocol error.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the call on. An HTTP request goes through unchanged, and without one more coroutine."""
        if scope["type"] == "websocket" and _MARK not in scope:  # a mounted application has a middleware of its own
            return _Socket(scope, receive, send).run(self._app)
        return self._app(scope, receive, send)


class _Socket:
    """One WebSocket. What the endpoint receives and sends goes through here."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._outbox = Outbox(send)
        self._watch = ScopeWatch(scope, self._session_ended)
        self._accepted = False
        self._open = False
        self._ending: Ending | None = None
        self._receiving: set[asyncio.Task[Any]] = set()
        self._interrupted: set[asyncio.Task[Any]] = set()

    async def run(self, app: ASGIApp) -> None:
        self._scope[_MARK] = True
        try:
            await app(self._scope, self.receive, self.send)
        except JWTSessionError:  # an error without an HTTP status, such as `InvalidArgumentError`
            await self._close_for_status(500)
            raise
        except Exception as error:
            # The endpoint let its disconnect pass. A server would log that as a failure of the application.
            if self._ending is None or not _is_disconnect(error):
                raise
        finally:
            self._scope.pop(_MARK, None)  # a driver may use the scope again
            self._watch.close()
            await self._outbox.finished()

    async def receive(self) -> Message:
        if self._open:
            self._watch.refresh()
        if self._ending is None:
            message = await self._receive_or_end()
            if message is not None:
                if message["type"] == "websocket.receive":
                    self._watch.used()
                elif message["type"] == "websocket.disconnect":
                    self._has_closed()
                return message
        ending = self._ending
        assert ending is not None  # noqa: S101
        return {"type": "websocket.disconnect", "code": ending.code, "reason": ending.reason}

    async def _receive_or_end(self) -> Message | None:
        """The next message; None if the session ended first.

        The end cancels the task that waits, as `asyncio.timeout` does: two tasks that race would cost each message
        more than the rest of its way.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        before = task.cancelling()
        self._receiving.add(task)
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if task in self._interrupted and task.cancelling() - 1 <= before:
                return None
            raise
        finally:
            self._receiving.discard(task)
            if task in self._interrupted:
                self._interrupted.discard(task)
                task.uncancel()

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if self._accepted and kind.startswith("websocket.http.response"):
            if kind == "websocket.http.response.start":
                await self._close_for_status(message["status"])
        elif kind.startswith("websocket.http.response") and not self._takes_answers():
            if kind == "websocket.http.response.start":
                await self._outbox.send({"type": "websocket.close"})
        elif self._ending is not None:
            if kind == "websocket.send":
                # What a server raises after a disconnect; Starlette makes a `WebSocketDisconnect` of it.
                raise OSError(f"the WebSocket is closed: {self._ending.reason}")
        elif kind == "websocket.accept":
            self._accepted = self._open = True
            await self._outbox.send(message)
            self._watch.refresh()
        elif kind == "websocket.close":
            self._has_closed()
            await self._outbox.send(message)
        else:
            self._watch.refresh()
            await self._outbox.send(message)

    def _takes_answers(self) -> bool:
        """Whether the server sends a response of the application's own to a refused handshake.

        Others send a 403 if the application closes. To a response Daphne sends nothing at all, and the client waits.
        """
        return "websocket.http.response" in (self._scope.get("extensions") or ())

    def _session_ended(self, ending: Ending) -> None:
        """Close the socket. The watch calls this in the socket's event loop, outside of the socket's tasks."""
        if not self._open:
            return
        self._has_closed()
        self._ending = ending
        self._finish(ending)
        self._interrupted |= self._receiving
        for task in self._interrupted:
            task.cancel()

    async def _close_for_status(self, status: int) -> None:
        if self._open:
            self._has_closed()
            reason = f"{status} {responses.get(status, '')}".rstrip()
            self._finish(Ending(_CLOSING_CODES.get(status, 1011), reason))
            await self._outbox.finished()

    def _finish(self, ending: Ending) -> None:
        codes = (ending.code, ending.code + _OWN_CODES) if ending.code < _OWN_CODES else (ending.code,)
        self._outbox.finish(*({"type": "websocket.close", "code": code, "reason": ending.reason} for code in codes))

    def _has_closed(self) -> None:
        self._open = False
        self._watch.close()


def _is_disconnect(error: BaseException) -> bool:
    """Whether it is a `WebSocketDisconnect`, or a task group's error that has nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_disconnect, error.exceptions))
    return isinstance(error, WebSocketDisconnect)
