"""`TokenExtractor`: finds the token in a request."""

from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import HTTPConnection

from ..errors import AmbiguousTokenError, MissingTokenError
from .base import HeaderTransport, RequestTransport
from .bearer import BearerTransport
from .body import BodyTransport
from .header import PlainHeaderTransport
from .query import QueryTransport


class TokenExtractor:
    """Looks for the token in the places that the settings name.

    Args:
        sources: `bearer`, `header`, `query`, `body`, in their order of precedence.
        header: The header's name in lower case.
        name: The name of the query's parameter and of the body's member.
        first_wins: If several sources have a token: True takes the first, False refuses the request.
    """

    def __init__(self, sources: Sequence[str], *, header: str, name: str, first_wins: bool) -> None:
        headers: dict[str, HeaderTransport] = {
            "bearer": BearerTransport(),
            "header": PlainHeaderTransport(header),
        }
        others: dict[str, RequestTransport] = {
            "query": QueryTransport(name),
            "body": BodyTransport(name),
        }
        # The sources in their order; for each the header that it reads (or None) and its method. This is prepared here,
        # so that a request needs no look-up.
        self._places: tuple[tuple[bytes | None, Callable[..., Any]], ...] = tuple(
            (headers[each].header, headers[each].find) if each in headers else (None, others[each].find)
            for each in sources
        )
        self._headers = frozenset(name for name, _ in self._places if name is not None)
        self._first_wins = first_wins
        self.reads_bodies = "body" in sources
        """Whether the extractor may have to read a request's body."""

    async def extract(self, connection: HTTPConnection, *, body: bool = True) -> object:
        """Find the request's token.

        Args:
            connection: A request, or a WebSocket, which has no body.
            body: Whether to read the body if nobody has read it yet. Only a caller with the endpoint's own `Request`
                may do this, because that object keeps the body. A body that a middleware reads is lost for the
                endpoint.

        Returns:
            The token: a `str`, or an object that is no text and that the codec will refuse. If two places have the
            same token, it is returned once.

        Raises:
            MissingTokenError: The request has no token.
            AmbiguousTokenError: The request has different tokens, or one place has a token and something else.
        """
        wanted = self._headers
        values: dict[bytes, list[bytes]] = {}
        for name, value in connection.scope["headers"]:  # ASGI promises lower-case names
            if name in wanted:
                if name in values:
                    values[name].append(value)
                else:
                    values[name] = [value]
        found: object = None
        for header, find in self._places:
            if header is None:
                here: Sequence[object] = await find(connection, body)
            elif header in values:
                here = find(values[header])
            else:
                continue
            if not here:
                continue
            token = here[0]
            if (len(here) > 1 and any(each != token for each in here)) or (found and token and token != found):
                raise AmbiguousTokenError
            found = found or token
            if found and self._first_wins:
                break
        if not found:
            raise MissingTokenError
        return found
