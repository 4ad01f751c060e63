"""`NewSession`: a session that is about to be stored."""

from typing import Generic, NamedTuple

from .._types import S
from ..observability import EventReason
from .index.entries import Login
from .repository import Record
from .timeouts import SessionToken


class NewSession(NamedTuple, Generic[S]):
    """A session that is about to be stored: a new one, or an old one under a new id."""

    token: SessionToken
    record: Record[S]
    login: Login
    host: str | None
    """The client's address as the server saw it, for events."""
    owner: object = None
    """The manager that stores it: its own open socket goes on under the new session."""
    reason: EventReason | None = None
    """Why an old one gets a new id, for the event."""

    def __repr__(self) -> str:
        return "NewSession()"
