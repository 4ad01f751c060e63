"""base64url without padding (RFC 7515 section 2), as tokens have it, and base64 as people paste it."""

import base64


def encode(value: bytes) -> str:
    """The bytes as base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of a text that `encode` gives.

    Raises:
        ValueError: `encode` gives no such text, or gives another one for these bytes: the unused bits at the end of a
            text make a second spelling of them (RFC 4648 section 3.5).
    """
    value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(value) != text:
        raise ValueError("not base64url without padding")
    return value


def decode_pasted(text: str) -> bytes:
    """The bytes of a key as tools write it: base64url or base64 (RFC 4648 sections 4 and 5), padded or not.

    Raises:
        ValueError: It is neither.
    """
    padded = text + "=" * (-len(text) % 4)
    return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
