"""Closes a WebSocket whose endpoint failed after `accept()`: a closing code then takes the place of an HTTP answer."""

from collections.abc import Awaitable
from http.client import responses

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import JWTSessionError

_CLOSING_CODES = {400: 1008, 401: 1008, 403: 1008, 503: 1013}
"""Closing codes by HTTP status (RFC 6455 section 7.4.1 and its registry): 1008 is "policy violation", 1013 "try again
later". Every other status gives 1011, "internal error"."""


class ClosesFailedSockets:
    """ASGI middleware inside FastAPI's exception handlers.

    These handlers answer an `HTTPException` with an HTTP response. For a WebSocket, a server accepts such a response
    only before `accept()`; later it is a protocol error.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the call on. An HTTP request goes through unchanged, and without one more coroutine."""
        if scope["type"] == "websocket":
            return _Socket(send).run(self._app, scope, receive)
        return self._app(scope, receive, send)


class _Socket:
    def __init__(self, send: Send) -> None:
        self._send = send
        self._open = False
        self._accepted = False

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        try:
            await app(scope, receive, self._pass_on)
        except JWTSessionError:  # an error without an HTTP status, such as `InvalidArgumentError`
            await self._close(500)
            raise

    async def _pass_on(self, message: Message) -> None:
        kind = message["type"]
        if self._accepted and kind.startswith("websocket.http.response"):
            if kind == "websocket.http.response.start":
                await self._close(message["status"])
            return
        if kind == "websocket.accept":
            self._accepted = self._open = True
        elif kind == "websocket.close":
            self._open = False
        await self._send(message)

    async def _close(self, status: int) -> None:
        if self._open:
            self._open = False
            code, reason = _CLOSING_CODES.get(status, 1011), f"{status} {responses.get(status, '')}".rstrip()
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
