"""A token as a parameter of the URL's query (RFC 6750 section 2.3)."""

from collections.abc import Sequence

from starlette.requests import HTTPConnection


class QueryTransport:
    """Finds the tokens in a parameter of the URL's query.

    Args:
        name: The parameter's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    async def find(self, connection: HTTPConnection, read_body: bool) -> Sequence[object]:
        """See `RequestTransport`."""
        return connection.query_params.getlist(self._name)
