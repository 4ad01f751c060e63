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
        # The sources in their order; for each whether it is a header, and its method. This is prepared here, so that a
        # request needs no look-up.
        self._places: tuple[tuple[bool, Callable[..., Any]], ...] = tuple(
            (each in headers, (headers if each in headers else others)[each].find) for each in sources
        )
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
        headers = connection.scope["headers"]
        found: object = None
        for is_header, find in self._places:
            here: Sequence[object] = find(headers) if is_header else await find(connection, body)
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
