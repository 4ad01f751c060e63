"""A token as a subprotocol of a WebSocket: the one place that a browser's script can fill in (RFC 6455 section 1.9).

`new WebSocket(url, ["jwtsession", "jwtsession.token." + token])`: a subprotocol may have all characters that a JWT has.
"""

from collections.abc import Iterable, Sequence

from starlette.requests import HTTPConnection
from starlette.types import Scope

from .base import WHITESPACE

PROTOCOL = "jwtsession"
"""The subprotocol that the server answers. Browsers close a socket whose server picks none of those they offer."""

TAKEN = "jwtsession_protocols"
"""The name of the tokens in the scope of a handshake from which they were taken."""

_HEADER = b"sec-websocket-protocol"
_PREFIX = b"jwtsession.token."


class ProtocolTransport:
    """Finds the tokens among the subprotocols that a WebSocket's client offers."""

    async def find(self, connection: HTTPConnection, read_body: bool) -> Sequence[object]:
        """See `RequestTransport`."""
        taken: Sequence[str] | None = connection.scope.get(TAKEN)
        return _separated(connection.scope["headers"])[1] if taken is None else taken


def take_tokens(scope: Scope) -> bool:
    """Move the tokens from a handshake's subprotocols to `scope[TAKEN]`: no endpoint and no access log shall see them.

    Returns:
        Whether there were any. The scope has a new list of headers then.
    """
    headers, tokens = _separated(scope["headers"])
    scope[TAKEN] = tokens
    if tokens:
        scope["headers"] = headers
        prefix = _PREFIX.decode()
        scope["subprotocols"] = [each for each in scope.get("subprotocols", ()) if not each.startswith(prefix)]
    return bool(tokens)


def _separated(headers: Iterable[tuple[bytes, bytes]]) -> tuple[list[tuple[bytes, bytes]], list[str]]:
    """The headers without the tokens, and the tokens. A header that has no token stays the same object."""
    others, tokens = [], []
    for header in headers:
        name, value = header
        if name == _HEADER and _PREFIX in value:
            offered = [each.strip(WHITESPACE) for each in value.split(b",")]
            tokens += [each[len(_PREFIX) :].decode("latin-1") for each in offered if each.startswith(_PREFIX)]
            rest = [each for each in offered if not each.startswith(_PREFIX)]
            if not rest:
                continue
            header = (name, b", ".join(rest))
        others.append(header)
    return others, tokens
