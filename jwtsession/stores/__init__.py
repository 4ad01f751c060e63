"""Where sessions are kept: the `SessionStore` protocol, Redis and Valkey, and memory for tests."""

from .base import (
    FORMER,
    Entry,
    IndexAddition,
    IndexedSessionStore,
    IndexPage,
    Outcome,
    SessionStore,
    UserIndexStore,
    has_user_index,
)
from .memory import MemorySessionStore
from .redis import RedisSessionStore

__all__ = [
    "FORMER",
    "Entry",
    "IndexAddition",
    "IndexPage",
    "IndexedSessionStore",
    "MemorySessionStore",
    "Outcome",
    "RedisSessionStore",
    "SessionStore",
    "UserIndexStore",
    "has_user_index",
]
