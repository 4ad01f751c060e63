"""A parameter of the query (RFC 6750 section 2.3)."""

from collections.abc import Sequence

from starlette.requests import HTTPConnection


class QueryTransport:
    """A parameter that holds the token.

    Args:
        name: The parameter's.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    async def find(self, connection: HTTPConnection, read_body: bool) -> Sequence[object]:
        """See `RequestTransport`."""
        return connection.query_params.getlist(self._name)
