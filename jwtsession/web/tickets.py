"""Redeems the ticket of a WebSocket's handshake or of an event stream."""

from typing import Any

from ..errors import InvalidTokenError
from ..manager.request import Components, RawHeaders
from ..sessions import origin_name, ticket_name
from ..tokens import VerifiedToken
from ..transports import is_own_origin


async def redeem(components: Components[Any, Any], ticket: object, headers: RawHeaders) -> tuple[VerifiedToken, bool]:
    """Return the claims that a ticket stands for. Nobody can redeem it again, also if this raises an error.

    Args:
        components: The provider's shared parts.
        ticket: The ticket.
        headers: The headers of the request that has the ticket.

    Returns:
        The claims, which have no token, and whether the session's token is in a cookie.

    Raises:
        AuthenticationError: The ticket can't be redeemed by this request.
        StoreUnavailableError: The store did not answer.
    """
    name = ticket_name(ticket)
    stored = await components.repository.tickets.take(name)
    verified, record = components.codec.verify_ticket(name, stored)
    if not _may_redeem(record.origin, headers):
        raise InvalidTokenError("ticket_origin")
    return verified, record.by_cookie


def _may_redeem(asked: str | None, headers: RawHeaders) -> bool:
    """Whether the page that redeems a ticket may be the one that asked for it.

    A browser sends an `Origin` with each handshake, and with each event stream from another origin. A client that can
    leave it out can also forge it, so a request without one is as good as any. A browser sends none with a GET to the
    page's own host: then only a page of this host may redeem the ticket.
    """
    redeems = origin_name(headers)
    if redeems is None or redeems == asked:
        return True
    return asked is None and all(is_own_origin(value.strip(), headers) for name, value in headers if name == b"origin")
