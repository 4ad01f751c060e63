"""`Tickets`: keeps what a ticket stands for until somebody redeems it, once."""

import hashlib
import re
import secrets
from collections.abc import Iterable

from ..errors import InvalidArgumentError, InvalidTokenError
from ..stores import SessionStore, has_tickets
from .encryption import Sealer

TICKET_SECONDS = 30
"""How long a ticket can be redeemed."""

_TICKET = re.compile(r"[A-Za-z0-9_-]{43}")


def new_ticket() -> str:
    """Make a random ticket of 256 bits: 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def ticket_name(ticket: object) -> str:
    """The ticket's name in the store: its SHA-256, so that nobody who reads the store can redeem it.

    Raises:
        InvalidTokenError: No ticket has this form.
    """
    if not isinstance(ticket, str) or not _TICKET.fullmatch(ticket):
        raise InvalidTokenError("ticket_malformed")
    return hashlib.sha256(ticket.encode()).hexdigest()


def origin_name(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """A name of fixed length for a request's `Origin`; None if it has none.

    Args:
        headers: The request's headers. ASGI promises lower-case names.
    """
    origins = [value.strip(b" \t") for name, value in headers if name == b"origin"]
    return hashlib.sha256(b",".join(origins)).hexdigest() if origins else None


class Tickets:
    """The tickets of one provider.

    Args:
        store: Keeps them, if it has the methods of `TicketStore`.
        sealer: Encrypts what is stored.
    """

    def __init__(self, store: SessionStore, sealer: Sealer) -> None:
        self._store = store if has_tickets(store) else None
        self._kind = type(store).__name__
        self._sealer = sealer

    async def add(self, name: str, record: bytes, ttl: int) -> None:
        """Keep a ticket's record for `ttl` milliseconds.

        Raises:
            InvalidArgumentError: The store can't keep tickets.
            StoreUnavailableError: The store did not answer.
        """
        if self._store is None:
            raise InvalidArgumentError(f"{self._kind} does not have the methods of TicketStore")
        await self._store.ticket_add(name, self._sealer.seal(_bound_to(name), record), ttl)

    async def take(self, name: str) -> bytes:
        """Return a ticket's record, and forget it. Of several callers one gets it.

        Raises:
            InvalidTokenError: The ticket was redeemed, it has expired, or it never existed.
            SessionCorruptError: The stored value can't be decrypted.
            StoreUnavailableError: The store did not answer. The ticket may be used up.
        """
        stored = None if self._store is None else await self._store.ticket_take(name)
        if stored is None:
            raise InvalidTokenError("ticket_unknown")
        return self._sealer.open(_bound_to(name), stored)


def _bound_to(name: str) -> str:
    return f"ticket:{name}"
