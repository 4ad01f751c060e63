"""The tokens: signing, strict reading, and what was verified before."""

from .codec import TokenCodec, VerifiedToken, is_session_id
from .keys import KeyRing, KeySpec

__all__ = ["KeyRing", "KeySpec", "TokenCodec", "VerifiedToken", "is_session_id"]
