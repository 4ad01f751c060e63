"""The tokens: signing, strict reading, checks of claims, and the cache of verified tokens."""

from .cache import VerifiedToken
from .claims import inherited
from .codec import TokenCodec
from .keys import KeyRing, KeySpec

__all__ = ["KeyRing", "KeySpec", "TokenCodec", "VerifiedToken", "inherited"]
