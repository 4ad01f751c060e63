"""The tokens: signing, strict reading, checks of claims, the cache of verified tokens, and proofs of possession."""

from .cache import VerifiedToken
from .claims import impersonated, inherited, stepped_up
from .codec import TokenCodec
from .compact import kid_of, read_json
from .dpop import Proof, ProofVerifier, is_of_key
from .jwks import read_jwks
from .keys import KeyRing, KeySpec
from .missing_keys import MissingKeys
from .new_key import new_key
from .nonces import ProofNonces

__all__ = [
    "KeyRing",
    "KeySpec",
    "MissingKeys",
    "Proof",
    "ProofNonces",
    "ProofVerifier",
    "TokenCodec",
    "VerifiedToken",
    "impersonated",
    "inherited",
    "is_of_key",
    "kid_of",
    "new_key",
    "read_json",
    "read_jwks",
    "stepped_up",
]
