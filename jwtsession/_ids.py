"""Session ids: makes them, recognizes them, and hashes them for logs."""

import hashlib
import re
import secrets

# An id of at least 128 bits. A UUID fits too, because the Node original uses UUIDs. None of these characters has a
# meaning in a key of the store, so no id can lead out of the keyspace.
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{22,128}")


def new_session_id() -> str:
    """Make a random id of 256 bits: 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def is_session_id(value: object) -> bool:
    """Whether the value has the form of a session's id: 22 to 128 characters of base64url."""
    return isinstance(value, str) and _SESSION_ID.fullmatch(value) is not None


def hashed(session_id: str) -> str:
    """Hash a session's id for a log: 12 hex digits of its SHA-256. A reader can follow the session, but not use it."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:12]
