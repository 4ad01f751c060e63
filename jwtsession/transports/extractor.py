"""Finds the token in a request: RFC 6750 section 2, and the places where the original looks."""

import json
from collections import deque
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection, Request
from starlette.types import Message

from ..errors import AmbiguousTokenError, MissingTokenError

MAX_BODY_BYTES = 102_400
"""A larger body is not searched for a token. The value is that of Express's body parsers."""

MAX_BODY_FIELDS = 1_000
"""A form with more fields is not searched either. The value is that of Express's form parser."""

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_NO_TEXT = object()
_WHITESPACE = b" \t"  # RFC 9110 section 5.6.3: no other stands around a header's value


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
        self.reads_bodies = "body" in sources
        """Whether a body may have to be read."""

    async def find(self, connection: HTTPConnection, *, body: bool = True) -> object:
        """The token: a string, or whatever else a JSON body has in its place. The same one twice is one.

        Args:
            connection: A request, or a WebSocket, which has no body.
            body: Read the body where nobody has. Only for who has the endpoint's own `Request`, which keeps it: what
                a middleware reads of the server is gone for the endpoint.

        Raises:
            MissingTokenError: There is none.
            AmbiguousTokenError: There are several that differ, or one place has a token and something else.
        """
        bearers, headers = self._in_headers(connection)
        found: object = None
        for source in self._sources:
            if source == "bearer":
                here: Sequence[object] = bearers
            elif source == "header":
                here = headers
            elif source == "query":
                here = connection.query_params.getlist(self._name)
            else:
                here = await self._in_body(connection, body)
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

    def _in_headers(self, connection: HTTPConnection) -> tuple[list[str], list[str]]:
        """The tokens of `Authorization: Bearer`, and those of the header of the settings."""
        bearers: list[str] = []
        headers: list[str] = []
        for name, value in connection.scope["headers"]:  # ASGI promises lower-case names
            if name == b"authorization":
                scheme, _, token = value.strip(_WHITESPACE).partition(b" ")
                if scheme.lower() == b"bearer":
                    bearers.append(token.lstrip(b" ").decode("latin-1"))
            elif name == self._header:
                headers.append(value.strip(_WHITESPACE).decode("latin-1"))
        return bearers, headers

    async def _in_body(self, connection: HTTPConnection, read: bool) -> Sequence[object]:
        if not isinstance(connection, Request) or connection.method in ("GET", "HEAD"):
            return ()
        kind = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (_JSON, _FORM):
            return ()
        if kind == _FORM and connection._form is not None:  # FastAPI has read the form that the endpoint declares
            return connection._form.getlist(self._name)
        if not hasattr(connection, "_body") and not (read and await _is_short(connection)):
            return ()
        body = await connection.body()
        # Most bodies hold no token; to look for its name costs next to nothing beside parsing them.
        escape = b"%" if kind == _FORM else b"\\u"
        if len(body) > MAX_BODY_BYTES or (self._name.encode() not in body and escape not in body):
            return ()
        members = _of_form(body) if kind == _FORM else _of_json(body)
        # What is no text is no token, whatever it is: it is neither compared nor looked into.
        return [
            value if value is None or isinstance(value, str) else _NO_TEXT
            for key, value in members
            if key == self._name
        ]


async def _is_short(request: Request) -> bool:
    """Whether the body can be read to its end at once, and takes little memory.

    It is read ahead and counted, since servers do not hold every client to its `Content-Length`. What was read is given
    back: whoever reads the request finds all of it.
    """
    headers = request.headers
    length = headers.get("content-length", "")
    # A body of unknown length is not searched: it may be an endless stream, and is the endpoint's to read. Beside a
    # `Transfer-Encoding` a length says nothing (RFC 9112 section 6.3).
    if not (length.isascii() and length.isdigit()) or len(length) > 9 or int(length) > MAX_BODY_BYTES:
        return False
    if "transfer-encoding" in headers or request._stream_consumed:
        return False
    receive, messages, size, more = request.receive, deque[Message](), 0, True
    while more and size <= MAX_BODY_BYTES:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        more = message.get("more_body", False)

    async def give_back() -> Message:
        return messages.popleft() if messages else await receive()

    request._receive = give_back
    return messages[-1]["type"] == "http.request" and not more and size <= MAX_BODY_BYTES


def _of_form(body: bytes) -> Iterable[tuple[str, object]]:
    try:
        return parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_BODY_FIELDS)
    except ValueError:
        return ()


def _of_json(body: bytes) -> Iterable[tuple[str, object]]:
    """An object's members, with those that stand in it twice."""
    if body.lstrip()[:1] != b"{":
        return ()
    try:
        # The built-in type costs no call into Python for each of a thousand objects within. They become lists too.
        members: list[tuple[str, object]] = json.loads(body, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return ()  # the endpoint's own 422, if it wants a body
    return members
