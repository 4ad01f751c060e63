"""A ticket in the URL of a WebSocket's handshake or of an event stream, for clients that can set no header."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.types import Scope

_NAME = "ticket"
_BEGINNING = f"{_NAME}=".encode()


def find_tickets(scope: Scope) -> Sequence[str]:
    """Return all tickets of a request with a query, in their order. Another request than those two has none."""
    query: bytes = scope["query_string"]
    if _BEGINNING not in query or not (scope["type"] == "websocket" or _is_event_stream(scope)):
        return ()
    return [value for name, value in parse_qsl(query.decode("latin-1")) if name == _NAME]


def _is_event_stream(scope: Scope) -> bool:
    """Whether the client asks for an event stream, as `EventSource` does (WHATWG HTML section 9.2)."""
    return scope.get("method") == "GET" and any(
        name == b"accept" and b"text/event-stream" in value.lower() for name, value in scope["headers"]
    )
