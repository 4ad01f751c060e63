"""Finds the token in a request: RFC 6750 section 2, and the places where the original looks."""

import json
from collections.abc import Sequence

from starlette.requests import HTTPConnection, Request

from .errors import AmbiguousTokenError, MissingTokenError

MAX_BODY_BYTES = 102_400
"""A larger body is not searched for a token. The value is that of Express's body parsers."""

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


class TokenFinder:
    """Looks for the token in the places that the settings name.

    Args:
        sources: `bearer`, `header`, `query`, `body`, in their order of precedence.
        header: Name of the header.
        name: Name of the query's parameter and of the body's member.
        first_wins: Take the first source's token where several have one, instead of refusing the request.
    """

    def __init__(self, sources: Sequence[str], *, header: str, name: str, first_wins: bool) -> None:
        self._sources = tuple(sources)
        self._header = header.encode()
        self._name = name
        self._first_wins = first_wins

    async def find(self, connection: HTTPConnection) -> object:
        """The token: a string, or whatever else a JSON body has in its place.

        Raises:
            MissingTokenError: There is none.
            AmbiguousTokenError: There are several.
        """
        bearers, headers = self._in_headers(connection)
        found: list[object] = []
        for source in self._sources:
            if source == "bearer":
                here: Sequence[object] = bearers
            elif source == "header":
                here = headers
            elif source == "query":
                here = connection.query_params.getlist(self._name)
            else:
                here = await _in_body(connection, self._name)
            if not here:
                continue
            tokens = [token for token in here if token]
            if len(tokens) > 1:
                raise AmbiguousTokenError
            found += tokens
            if found and self._first_wins:
                break
        if not found:
            raise MissingTokenError
        if len(found) > 1:
            raise AmbiguousTokenError
        return found[0]

    def _in_headers(self, connection: HTTPConnection) -> tuple[list[str], list[str]]:
        """The tokens of `Authorization: Bearer`, and those of the header of the settings."""
        bearers: list[str] = []
        headers: list[str] = []
        for name, value in connection.scope["headers"]:  # ASGI promises lower-case names
            if name == b"authorization":
                scheme, _, token = value.decode("latin-1").strip().partition(" ")
                if scheme.lower() == "bearer":
                    bearers.append(token.strip())
            elif name == self._header:
                headers.append(value.decode("latin-1").strip())
        return bearers, headers


async def _in_body(connection: HTTPConnection, name: str) -> list[object]:
    if not isinstance(connection, Request) or connection.method in ("GET", "HEAD"):
        return []
    kind = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (_JSON, _FORM):
        return []
    # A body of unknown length is not searched: it may be an endless stream, and is the endpoint's to read.
    length = connection.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()) or len(length) > 9 or int(length) > MAX_BODY_BYTES:
        return []
    try:
        body = await connection.body()
    except RuntimeError:
        body = b""  # FastAPI has read the form that the endpoint declares, and Starlette keeps it
    if kind == _FORM:
        return [*(await connection.form()).getlist(name)]
    try:
        pairs = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return []  # the endpoint's own 422, if it wants a body
    return [value for key, value in pairs if key == name] if isinstance(pairs, _Pairs) else []


class _Pairs(list[tuple[str, object]]):
    """A JSON object's members, with those that stand in it twice."""
