"""Tokens that no honest library would make, correctly signed or not."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from tests.conftest import SECRET, Clock

ID = "an-id-of-a-forged-token-43-characters-long"
NOW = Clock()()
CLAIMS = {"jti": ID, "iat": NOW, "exp": NOW + 1000}
HEADER = {"alg": "HS256", "typ": "JWT"}


def encoded(part: Any) -> str:
    """One segment: of bytes as they are, of anything else as JSON."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any = HEADER, payload: Any = CLAIMS, key: bytes = SECRET.encode()) -> str:
    """A compact token of any header and payload, with a right HMAC-SHA256."""
    text = f"{encoded(header)}.{encoded(payload)}"
    return f"{text}.{encoded(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


def genuine(session_id: str = ID, key: str = SECRET) -> str:
    """A good token of a session that nobody has stored, in the time that it is."""
    now = int(time.time())
    return signed(payload={"jti": session_id, "iat": now, "exp": now + 1000}, key=key.encode())


def with_claims(**claims: Any) -> str:
    return signed(payload=CLAIMS | claims)


def with_header(**header: Any) -> str:
    return signed(header=HEADER | header)


def raw_json(text: str) -> bytes:
    """The good claims with more text at the end of the object."""
    return (json.dumps(CLAIMS)[:-1] + text + "}").encode()
