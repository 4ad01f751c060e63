"""A member of a JSON body, or a field of a form (RFC 6750 section 2.2)."""

import json
from collections import deque
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection, Request
from starlette.types import Message

MAX_BODY_BYTES = 102_400
"""A larger body is not searched for a token. The value is that of Express's body parsers."""

MAX_BODY_FIELDS = 1_000
"""A form with more fields is not searched either. The value is that of Express's form parser."""

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_NO_TEXT = object()


class BodyTransport:
    """A member or field that holds the token. Only a short body is searched.

    Args:
        name: The member's or field's.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    async def find(self, connection: HTTPConnection, read_body: bool) -> Sequence[object]:
        """See `RequestTransport`."""
        if not isinstance(connection, Request) or connection.method in ("GET", "HEAD"):
            return ()
        kind = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (_JSON, _FORM):
            return ()
        if kind == _FORM and connection._form is not None:  # FastAPI has read the form that the endpoint declares
            return connection._form.getlist(self._name)
        if not hasattr(connection, "_body") and not (read_body and await _is_short(connection)):
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
