"""`TokenExtractor`: finds the token in a request."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from starlette.requests import HTTPConnection

from ..errors import AmbiguousTokenError, MissingTokenError
from .base import HeaderTransport, RequestTransport
from .bearer import BearerTransport
from .body import BodyTransport
from .cookie import CookieTransport
from .dpop import DPoPTransport
from .header import PlainHeaderTransport
from .protocol import ProtocolTransport
from .query import QueryTransport
from .ticket import find_tickets

Found = tuple[object, str]
"""A request's token, and the source that has it. The token is a `str`, or an object that the codec will refuse. The
source `ticket` has a ticket instead."""


class TokenExtractor:
    """Looks for the token in the places that the settings name.

    Args:
        sources: `bearer`, `header`, `query`, `body`, `cookie`, `protocol`, in their order of precedence.
        header: The header's name in lower case.
        name: The name of the query's parameter and of the body's member.
        first_wins: If several sources have a token: True takes the first, False refuses the request.
        cookie: The cookie; None if it is no source.
        dpop: Whether a token may also come by the scheme `DPoP` of `Authorization`.
    """

    def __init__(
        self,
        sources: Sequence[str],
        *,
        header: str,
        name: str,
        first_wins: bool,
        cookie: CookieTransport | None = None,
        dpop: bool = False,
    ) -> None:
        headers: dict[str, HeaderTransport] = {
            "bearer": DPoPTransport() if dpop else BearerTransport(),
            "header": PlainHeaderTransport(header),
        }
        others: dict[str, RequestTransport] = {
            "query": QueryTransport(name),
            "body": BodyTransport(name),
            "protocol": ProtocolTransport(),
        }
        # The sources in their order; for each whether it is a header, and its method. This is prepared here, so that a
        # request needs no look-up.
        self._places: tuple[tuple[str, bool, Callable[..., Any]], ...] = tuple(
            (each, each in headers, (headers if each in headers else others)[each].find)
            for each in sources
            if each != "cookie"
        )
        # For the usual request: by each header's name its source and method, if no other place may have a token.
        self._headers = (
            {}
            if any(not place[1] for place in self._places)
            else {headers[each].header: (each, headers[each].read) for each, *_ in self._places}
        )
        self._cookie = cookie
        self._first_wins = first_wins
        self.reads_bodies = "body" in sources
        """Whether the extractor may have to read a request's body."""

    async def extract(self, connection: HTTPConnection, *, body: bool = True) -> Found:
        """Find the request's token.

        Args:
            connection: A request, or a WebSocket, which has no body.
            body: Whether to read the body if nobody has read it yet. Only a caller with the endpoint's own `Request`
                may do this, because that object keeps the body. A body that a middleware reads is lost for the
                endpoint.

        Returns:
            The token and its source. If two places have the same token, it is returned once.

        Raises:
            MissingTokenError: The request has no token.
            AmbiguousTokenError: The request has different tokens, or one place has a token and something else, or
                there are two cookies.
        """
        return self.find_usual(connection.scope["headers"]) or await self.search(connection, body)

    def find_usual(self, headers: Iterable[tuple[bytes, bytes]]) -> Found | None:
        """Find the token of the usual request, which has one header that may have one; None for any other request.

        For the hot path, which takes `search` for the others: `extract` without a coroutine.
        """
        known, only = self._headers, None
        for header in headers:
            if header[0] in known:
                if only is not None:
                    return None
                only = header
        if only is None:
            return None
        source, read = known[only[0]]
        token = read(only[1])
        return (token, source) if token else None

    async def search(self, connection: HTTPConnection, body: bool) -> Found:
        """Look into each place. See `extract`."""
        headers = connection.scope["headers"]
        found: object = None
        source = ""
        for name, is_header, find in self._places:
            here: Sequence[object] = find(headers) if is_header else await find(connection, body)
            if not here:
                continue
            token = here[0]
            if (len(here) > 1 and any(each != token for each in here)) or (found and token and token != found):
                raise AmbiguousTokenError
            if not found:
                found, source = token, name
            if found and self._first_wins:
                break
        if found:
            return found, source
        # Most requests that come so far have the cookie, and no query.
        if connection.scope.get("query_string") and (tickets := find_tickets(connection.scope)):
            if any(each != tickets[0] for each in tickets):
                raise AmbiguousTokenError
            return tickets[0], "ticket"
        return self._in_cookie(headers)

    def _in_cookie(self, headers: Iterable[tuple[bytes, bytes]]) -> Found:
        """Look into the cookie: only where no other place has a token or a ticket, since browsers send it unasked."""
        here = self._cookie.find(headers) if self._cookie is not None else ()
        if len(here) > 1:
            # Another host of the domain may have set the second one, and nobody can tell which is which.
            raise AmbiguousTokenError
        if not here or not here[0]:
            raise MissingTokenError
        return here[0], "cookie"
