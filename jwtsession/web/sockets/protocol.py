"""Takes tokens out of a WebSocket's subprotocols before the endpoint sees them, and answers the browser."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...transports import PROTOCOL, TAKEN, take_tokens
from ..kept import Kept, is_of, kept_of


class TakesTokenProtocols:
    """ASGI middleware for WebSockets. A mounted application has one of its own, which then does nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the call on."""
        if scope["type"] == "websocket" and TAKEN not in scope:
            return self._run(scope, receive, send)
        return self._app(scope, receive, send)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        managers: dict[object, Kept] = scope.get("jwtsession", {})
        kept = {key: each for key, each in managers.items() if is_of(each, scope)}
        if take_tokens(scope):
            # Managers that a middleware has made still are this handshake's, whose headers are others now.
            managers.update({key: kept_of(scope, each[0], each[4], each[5]) for key, each in kept.items()})
        try:
            await self._app(scope, receive, _answering(send) if PROTOCOL in scope.get("subprotocols", ()) else send)
        finally:
            scope.pop(TAKEN, None)  # a driver may use the scope again


def _answering(send: Send) -> Send:
    """Name the subprotocol that the client offered, if the endpoint picks none."""

    def answer(message: Message) -> Awaitable[None]:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": PROTOCOL}
        return send(message)

    return answer
