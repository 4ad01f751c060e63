"""The places of a request that may hold a token."""

from .extractor import TokenFinder

__all__ = ["TokenFinder"]
