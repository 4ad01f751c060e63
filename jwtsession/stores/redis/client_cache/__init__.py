"""The near cache: a store that answers loads from the worker's memory while the server tells it of every change."""

from .store import CachedSessionStore

__all__ = ["CachedSessionStore"]
