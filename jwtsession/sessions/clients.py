"""`Clients`: what is kept of the client of a login, and whether another client uses the session now."""

from collections.abc import Sequence
from typing import Literal

from .._lru import ByteLRU
from ..observability import AuditTrail, client_address, client_network
from .index.entries import Login, cut
from .timeouts import SessionToken

CaptureClient = bool | Literal["coarse"]
RawHeaders = Sequence[tuple[bytes, bytes]]

_TOLD_BYTES = 1_000_000
"""Memory for the changes that a worker has told of."""


class Clients:
    """Describes the clients of logins, and tells if a session's client is another one than at its login.

    Args:
        capture: Whether anything is kept: see the setting `capture_client`.
        audit: Gets the event `client_changed`.
    """

    def __init__(self, capture: CaptureClient, audit: AuditTrail) -> None:
        self.capture = capture
        """What is kept of a client: nothing, its address and user agent, or its network and user agent."""
        self._audit = audit
        self._told: ByteLRU[str, str] = ByteLRU(_TOLD_BYTES, lambda key, value: 200 + len(key) + len(value))

    def describe(self, host: object, headers: RawHeaders) -> tuple[str | None, str | None]:
        """The client's address, or its network, and its user agent, as the user's index keeps them.

        Args:
            host: The client's address as the server saw it.
            headers: The request's headers.
        """
        if not self.capture:
            return None, None
        address = client_address(host)
        if address is not None and self.capture == "coarse":
            address = client_network(address)
        return address, cut(next((value.decode("latin-1") for name, value in headers if name == b"user-agent"), None))

    def compare(self, token: SessionToken, login: Login, host: object, headers: RawHeaders) -> None:
        """Emit the event `client_changed` if both the client's network and its user agent differ from the login's.

        Args:
            token: The request's token.
            login: The data of the session's login.
            host: The client's address as the server saw it.
            headers: The request's headers.
        """
        address, agent = self.describe(host, headers)
        if address is None or login.client is None or agent == login.user_agent:
            return
        network = client_network(address)
        if network == client_network(login.client):
            return
        client = f"{network} {agent}"
        if self._told.get(token.session_id) != client:  # tell once of each client
            self._told.put(token.session_id, client)
            self._audit.emit("client_changed", token.session_id, sub=token.sub, actor=token.actor, host=host)
