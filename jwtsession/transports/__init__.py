"""The places of a request that may hold a token: those of RFC 6750, those of the Node original, and a cookie."""

from .cookie import CookieTransport
from .csrf import SAFE_METHODS, CSRFCheck
from .extractor import Found, TokenExtractor

__all__ = ["SAFE_METHODS", "CSRFCheck", "CookieTransport", "Found", "TokenExtractor"]
