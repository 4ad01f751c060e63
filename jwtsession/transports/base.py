"""The protocols of transports. `HeaderTransport` reads a header, `RequestTransport` any other place of a request."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from starlette.requests import HTTPConnection

WHITESPACE = b" \t"
"""The only whitespace that may surround a header's value (RFC 9110 section 5.6.3)."""


class HeaderTransport(Protocol):
    """A header of a request, or of a WebSocket's handshake, that may hold a token."""

    @property
    def header(self) -> bytes:
        """The header's name in lower case."""
        ...

    def read(self, value: bytes) -> str | None:
        """Return the token of one such header's value, which may be an empty text; None if it is of another scheme."""
        ...

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[object]:
        """Return all tokens of the header, in their order. An empty token is an empty text.

        Args:
            headers: All headers of the request, as the client sent them. ASGI promises lower-case names.
        """
        ...


class RequestTransport(Protocol):
    """Another place of a request that may hold a token. Reading it may have to wait for the client."""

    async def find(self, connection: HTTPConnection, read_body: bool) -> Sequence[object]:
        """Return all tokens of the place, in their order. An empty token is an empty text.

        Args:
            connection: The request, or a WebSocket, which has no body.
            read_body: Whether to read the body if nobody has read it yet.
        """
        ...
