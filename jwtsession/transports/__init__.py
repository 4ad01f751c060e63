"""The places of a request that may hold a token: those of RFC 6750 section 2, and those of the Node original."""

from .extractor import TokenExtractor

__all__ = ["TokenExtractor"]
