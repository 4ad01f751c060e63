"""Typed, revocable sessions for FastAPI: a JWT proves who was given a session id, Redis holds the session."""

from ._key import Key
from .accesslog import TokenRedactionFilter
from .audit import SessionEvent
from .errors import (
    AmbiguousTokenError,
    AuthenticationError,
    ConfigurationError,
    ExpiredTokenError,
    InsufficientScopeError,
    InvalidArgumentError,
    InvalidTokenError,
    JWTSessionError,
    MissingTokenError,
    NotStartedError,
    SessionConflictError,
    SessionCorruptError,
    SessionNotFoundError,
    SessionTooLargeError,
    StaleAuthenticationError,
    StoreUnavailableError,
    TooManySessionsError,
)
from .manager import SessionManager
from .models import Claims, Session, Token
from .provider import SessionProvider
from .settings import SessionSettings
from .stores import MemorySessionStore, RedisSessionStore, SessionStore, UserIndexStore
from .sync import SyncSessionManager, SyncSessionProvider
from .users import SessionInfo

__version__ = "0.1.0"

__all__ = [
    "AmbiguousTokenError",
    "AuthenticationError",
    "Claims",
    "ConfigurationError",
    "ExpiredTokenError",
    "InsufficientScopeError",
    "InvalidArgumentError",
    "InvalidTokenError",
    "JWTSessionError",
    "Key",
    "MemorySessionStore",
    "MissingTokenError",
    "NotStartedError",
    "RedisSessionStore",
    "Session",
    "SessionConflictError",
    "SessionCorruptError",
    "SessionEvent",
    "SessionInfo",
    "SessionManager",
    "SessionNotFoundError",
    "SessionProvider",
    "SessionSettings",
    "SessionStore",
    "SessionTooLargeError",
    "StaleAuthenticationError",
    "StoreUnavailableError",
    "SyncSessionManager",
    "SyncSessionProvider",
    "Token",
    "TokenRedactionFilter",
    "TooManySessionsError",
    "UserIndexStore",
]
