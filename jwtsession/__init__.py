"""Typed, revocable sessions for FastAPI: a JWT proves who was given a session id, Redis holds the session."""

from .errors import (
    AmbiguousTokenError,
    AuthenticationError,
    ConfigurationError,
    ExpiredTokenError,
    InvalidArgumentError,
    InvalidTokenError,
    JWTSessionError,
    MissingTokenError,
    SessionConflictError,
    SessionCorruptError,
    SessionNotFoundError,
    SessionTooLargeError,
    StoreUnavailableError,
)
from .manager import SessionManager, SyncSessionManager
from .models import Claims, Session, Token
from .provider import SessionProvider
from .settings import SessionSettings
from .stores import MemorySessionStore, RedisSessionStore, SessionStore

__version__ = "0.1.0"

__all__ = [
    "AmbiguousTokenError",
    "AuthenticationError",
    "Claims",
    "ConfigurationError",
    "ExpiredTokenError",
    "InvalidArgumentError",
    "InvalidTokenError",
    "JWTSessionError",
    "MemorySessionStore",
    "MissingTokenError",
    "RedisSessionStore",
    "Session",
    "SessionConflictError",
    "SessionCorruptError",
    "SessionManager",
    "SessionNotFoundError",
    "SessionProvider",
    "SessionSettings",
    "SessionStore",
    "SessionTooLargeError",
    "StoreUnavailableError",
    "SyncSessionManager",
    "Token",
]
