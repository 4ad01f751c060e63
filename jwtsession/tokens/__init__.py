"""The tokens: signed, read strictly, and kept once they are verified."""

from .cache import VerifiedToken
from .claims import inherited
from .codec import TokenCodec
from .keys import KeyRing, KeySpec

__all__ = ["KeyRing", "KeySpec", "TokenCodec", "VerifiedToken", "inherited"]
