"""What the store holds for a ticket: the claims of the token that asked for it, without that token's signature.

Nobody can use this as a token, because it has no `jti`. And nobody who can write to the store can make one or change
one, because the key of the tokens signs it, together with the ticket's name.
"""

from typing import NamedTuple

from ..errors import InvalidTokenError
from .compact import MAX_TOKEN_CHARS, read_json, signed_payload
from .keys import KeyRing

_NAME, _CLAIMS, _ORIGIN, _COOKIE = "jwtsession_ticket", "claims", "origin", "cookie"


class TicketRecord(NamedTuple):
    """The content of a ticket."""

    claims: str
    """The payload of the token, as base64url."""
    origin: str | None
    """Who asked for the ticket: a name of the request's origin; None if the request named none."""
    by_cookie: bool
    """Whether the token is in a cookie: a new one must go there too, or the browser would keep the old one."""

    def __repr__(self) -> str:
        return "TicketRecord()"


def sign_record(keys: KeyRing, ticket: str, record: TicketRecord) -> bytes:
    """Return what to store for a ticket.

    Raises:
        InvalidArgumentError: No key may sign: this service only verifies tokens.
    """
    return keys.sign(
        {_NAME: ticket, _CLAIMS: record.claims, _ORIGIN: record.origin, _COOKIE: record.by_cookie}
    ).encode()


def read_record(keys: KeyRing, ticket: str, stored: bytes) -> TicketRecord:
    """Read what was stored for a ticket.

    Raises:
        InvalidTokenError: No trusted key signed it, or it is of another ticket.
    """
    # base64url of base64url: a record is longer than the token.
    found = read_json(signed_payload(stored.decode("latin-1"), keys, 2 * MAX_TOKEN_CHARS))
    if found.keys() != {_NAME, _CLAIMS, _ORIGIN, _COOKIE} or found[_NAME] != ticket:
        raise InvalidTokenError("ticket_unknown")
    return TicketRecord(found[_CLAIMS], found[_ORIGIN], found[_COOKIE])
