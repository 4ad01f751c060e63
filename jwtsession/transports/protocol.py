"""A token as a subprotocol of a WebSocket: the one place that a browser's script can fill in (RFC 6455 section 1.9).

`new WebSocket(url, ["jwtsession", "jwtsession.token." + token])`: a subprotocol may have all characters that a JWT has.
"""

from collections.abc import Iterable, Sequence

from starlette.requests import HTTPConnection
from starlette.types import Scope

PROTOCOL = "jwtsession"
"""The subprotocol that the server answers. Browsers close a socket whose server picks none of those they offer."""

TAKEN = "jwtsession_protocols"
"""The name of the tokens in the scope of a handshake from which they were taken."""

_HEADER = b"sec-websocket-protocol"
_PREFIX = "jwtsession.token."
_RAW_PREFIX = _PREFIX.encode()


class ProtocolTransport:
    """Finds the tokens among the subprotocols that a WebSocket's client offers."""

    async def find(self, connection: HTTPConnection, read_body: bool) -> Sequence[object]:
        """See `RequestTransport`."""
        taken: Sequence[str] | None = connection.scope.get(TAKEN)
        return _separated(connection.scope)[2] if taken is None else taken


def take_tokens(scope: Scope) -> bool:
    """Move the tokens from a handshake's subprotocols to `scope[TAKEN]`: no endpoint and no access log shall see them.

    Returns:
        Whether there were any. The scope then has a new list of headers, in which all others are the same objects.
    """
    headers, subprotocols, tokens = _separated(scope)
    scope[TAKEN] = tokens
    if tokens:
        scope["headers"], scope["subprotocols"] = headers, subprotocols
    return bool(tokens)


def _separated(scope: Scope) -> tuple[list[tuple[bytes, bytes]], list[str], list[str]]:
    """The headers and the subprotocols without the tokens, and the tokens.

    The tokens are looked for in both, because servers differ: uvicorn with wsproto leaves the header out.
    """
    subprotocols, tokens = _without_tokens(scope.get("subprotocols") or ())
    headers = []
    for header in scope["headers"]:
        name, value = header
        if name == _HEADER and _RAW_PREFIX in value:
            rest, found = _without_tokens(each.strip(" \t") for each in value.decode("latin-1").split(","))
            tokens += found
            if not rest:
                continue
            header = (name, ", ".join(rest).encode("latin-1"))
        headers.append(header)
    return headers, subprotocols, tokens


def _without_tokens(offered: Iterable[str]) -> tuple[list[str], list[str]]:
    rest, tokens = [], []
    for each in offered:
        if each.startswith(_PREFIX):
            tokens.append(each.removeprefix(_PREFIX))
        else:
            rest.append(each)
    return rest, tokens
