"""Session ids: makes them, recognizes them, and makes their handles."""

import hashlib
import re
import secrets

from ._base64 import encode

# An id of at least 128 bits. A UUID fits too, because the Node original uses UUIDs. None of these characters has a
# meaning in a key of the store, so no id can lead out of the keyspace.
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{22,128}")


def new_session_id() -> str:
    """Make a random id of 256 bits: 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def is_session_id(value: object) -> bool:
    """Whether the value has the form of a session's id: 22 to 128 characters of base64url."""
    return isinstance(value, str) and _SESSION_ID.fullmatch(value) is not None


def handle_of(session_id: str) -> str:
    """Return a session's handle: 22 characters of base64url that name the session, and by which nobody can use it.

    Clients, logs, events and the command line see the handle, never the id.
    """
    return encode(hashlib.sha256(b"jwtsession handle" + session_id.encode()).digest())[:22]
