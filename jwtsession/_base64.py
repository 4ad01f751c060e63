"""base64url without padding, as in tokens (RFC 7515 section 2), and any base64 in which people paste a key."""

import base64
import binascii

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_STANDARD = bytes.maketrans(b"-_", b"+/")


def encode(value: bytes) -> str:
    """Encode bytes as base64url without padding."""
    return binascii.b2a_base64(value, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Decode base64url without padding. Accepts only a text that `encode` would make.

    Raises:
        ValueError: The text is no base64url, or it is a second spelling of the same bytes, by the unused bits at its
            end (RFC 4648 section 3.5).
    """
    value = binascii.a2b_base64(text.encode("ascii").translate(_STANDARD) + b"==")
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
