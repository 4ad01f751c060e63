"""What one place of a request gives: `HeaderTransport` for a header, `RequestTransport` for any other place."""

from collections.abc import Sequence
from typing import Protocol

from starlette.requests import HTTPConnection

WHITESPACE = b" \t"
"""RFC 9110 section 5.6.3: no other stands around a header's value."""


class HeaderTransport(Protocol):
    """A header of a request, or of a WebSocket's handshake, that may hold a token."""

    @property
    def header(self) -> bytes:
        """The header's name in lower case."""
        ...

    def find(self, values: Sequence[bytes]) -> Sequence[object]:
        """All tokens of the header, in their order; an empty text is a token that is empty.

        Args:
            values: The header's values as the client sent them, at least one: the extractor goes through a request's
                headers once for all transports, and asks a transport only where its header is there.
        """
        ...


class RequestTransport(Protocol):
    """Another place of a request that may hold a token, which may have to be waited for."""

    async def find(self, connection: HTTPConnection, read_body: bool) -> Sequence[object]:
        """All tokens of the place, in their order; an empty text is a token that is empty.

        Args:
            connection: The request, or a WebSocket, which has no body.
            read_body: Read the body where nobody has.
        """
        ...
