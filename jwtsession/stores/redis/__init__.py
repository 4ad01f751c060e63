"""Sessions in Redis or Valkey. Only this folder imports redis-py."""

from .client_cache import CachedSessionStore
from .store import RedisSessionStore

__all__ = ["CachedSessionStore", "RedisSessionStore"]
