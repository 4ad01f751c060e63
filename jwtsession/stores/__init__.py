"""Where sessions are kept: the `SessionStore` protocol, Redis and Valkey, and memory for tests."""

from .base import Entry, Outcome, SessionStore
from .memory import MemorySessionStore
from .redis import RedisSessionStore

__all__ = ["Entry", "MemorySessionStore", "Outcome", "RedisSessionStore", "SessionStore"]
