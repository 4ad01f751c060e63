"""Sessions in Redis or Valkey. Only this folder imports redis-py."""

from redis.asyncio import Redis, RedisCluster

from .client_cache import CachedSessionStore
from .observing import observe
from .store import RedisSessionStore

RedisClient = Redis | RedisCluster
"""A client of the caller's own."""

__all__ = ["CachedSessionStore", "RedisClient", "RedisSessionStore", "observe"]
