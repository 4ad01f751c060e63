"""A token as a member of a JSON body, or as a field of a form (RFC 6750 section 2.2)."""

import json
from collections import deque
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection, Request
from starlette.types import Message

MAX_BODY_BYTES = 102_400
"""The largest body, in bytes, that is searched for a token. Express's body parsers have the same limit."""

MAX_BODY_FIELDS = 1_000
"""A form with more fields is not searched for a token. Express's form parser has the same limit."""

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_NO_TEXT = object()


class BodyTransport:
    """Finds the tokens in a member or field of a body. It searches only short bodies.

    Args:
        name: The name of the member or field.
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
        # Most bodies have no token. Looking for the name first is far cheaper than parsing them.
        escape = b"%" if kind == _FORM else b"\\u"
        if len(body) > MAX_BODY_BYTES or (self._name.encode() not in body and escape not in body):
            return ()
        members = _of_form(body) if kind == _FORM else _of_json(body)
        # A value that is no text is no token. `_NO_TEXT` takes its place, so nothing compares or inspects it.
        return [
            value if value is None or isinstance(value, str) else _NO_TEXT
            for key, value in members
            if key == self._name
        ]


async def _is_short(request: Request) -> bool:
    """Whether the body ends within `MAX_BODY_BYTES`.

    This reads the body ahead and counts its bytes, because not every server enforces the `Content-Length`. It then
    gives the messages back, so that a later reader of the request gets the whole body.
    """
    headers = request.headers
    length = headers.get("content-length", "")
    # A body of unknown length may be an endless stream, which only the endpoint may read, so it is not searched. With a
    # `Transfer-Encoding`, the length means nothing (RFC 9112 section 6.3).
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
    """The members of a JSON object. A name that occurs twice gives two members."""
    if body.lstrip()[:1] != b"{":
        return ()
    try:
        # With `list`, a built-in type, the parser calls no Python code for each inner object. These become lists too.
        members: list[tuple[str, object]] = json.loads(body, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return ()  # FastAPI answers 422 if the endpoint declares a body
    return members
