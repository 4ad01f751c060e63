"""The places of a request that may hold a token: RFC 6750 section 2, and those where the original looks."""

from .extractor import TokenExtractor

__all__ = ["TokenExtractor"]
