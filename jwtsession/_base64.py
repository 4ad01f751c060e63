"""base64url without padding, as in tokens (RFC 7515 section 2), and any base64 in which people paste a key."""

import base64


def encode(value: bytes) -> str:
    """Encode bytes as base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Decode base64url without padding. Accepts only a text that `encode` would make.

    Raises:
        ValueError: The text is no base64url, or it is a second spelling of the same bytes, by the unused bits at its
            end (RFC 4648 section 3.5).
    """
    value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(value) != text:
        raise ValueError("not base64url without padding")
    return value


def decode_pasted(text: str) -> bytes:
    """Decode a key as tools write it: base64url or base64 (RFC 4648 sections 4 and 5), with or without padding.

    Raises:
        ValueError: The text is neither.
    """
    padded = text + "=" * (-len(text) % 4)
    return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
