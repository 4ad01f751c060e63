"""Where sessions are kept: the `SessionStore` protocol, Redis and Valkey, and memory for tests."""

from .base import FORMER, Entry, IndexAddition, IndexPage, Outcome, SessionStore
from .memory import MemorySessionStore
from .redis import RedisSessionStore

__all__ = [
    "FORMER",
    "Entry",
    "IndexAddition",
    "IndexPage",
    "MemorySessionStore",
    "Outcome",
    "RedisSessionStore",
    "SessionStore",
]
