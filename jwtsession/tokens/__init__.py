"""The tokens: signing, strict reading, checks of claims, the cache of verified tokens, and proofs of possession."""

from .cache import VerifiedToken
from .claims import inherited
from .codec import TokenCodec
from .dpop import Proof, ProofVerifier, is_of_key
from .keys import KeyRing, KeySpec
from .nonces import ProofNonces

__all__ = [
    "KeyRing",
    "KeySpec",
    "Proof",
    "ProofNonces",
    "ProofVerifier",
    "TokenCodec",
    "VerifiedToken",
    "inherited",
    "is_of_key",
]
