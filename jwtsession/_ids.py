"""Session ids: made, recognized, and shortened for logs."""

import hashlib
import re
import secrets

# At least 128 bits; also a UUID, which the original uses. No character can leave the keyspace.
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{22,128}")


def new_session_id() -> str:
    """A random id of 256 bits as base64url, 43 characters."""
    return secrets.token_urlsafe(32)


def is_session_id(value: object) -> bool:
    """Whether this has the form of a session's id: 22 to 128 characters of base64url."""
    return isinstance(value, str) and _SESSION_ID.fullmatch(value) is not None


def hashed(session_id: str) -> str:
    """A session's id as it may stand in a log: enough to follow it, not enough to use it."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:12]
