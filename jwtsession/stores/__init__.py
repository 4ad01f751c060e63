"""Where sessions are kept: the `SessionStore` protocol, Redis and Valkey, and memory for tests."""

from .base import FORMER, Entry, IndexAddition, Outcome, SessionStore
from .memory import MemorySessionStore
from .redis import RedisSessionStore

__all__ = ["FORMER", "Entry", "IndexAddition", "MemorySessionStore", "Outcome", "RedisSessionStore", "SessionStore"]
