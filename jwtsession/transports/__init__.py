"""The places of a request that may hold a token: those of RFC 6750, those of the Node original, those of browsers."""

from .cookie import CookieTransport
from .csrf import SAFE_METHODS, CSRFCheck, is_own_origin
from .dpop import came_by_dpop, find_proofs
from .extractor import Found, TokenExtractor
from .protocol import PROTOCOL, TAKEN, take_tokens

__all__ = [
    "PROTOCOL",
    "SAFE_METHODS",
    "TAKEN",
    "CSRFCheck",
    "CookieTransport",
    "Found",
    "TokenExtractor",
    "came_by_dpop",
    "find_proofs",
    "is_own_origin",
    "take_tokens",
]
