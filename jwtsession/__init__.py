"""Typed, revocable sessions for FastAPI: a JWT proves who was given a session id, Redis holds the session."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from .observability import SessionEvent, TokenRedactionFilter
    from .provider import SessionProvider
    from .sessions import SessionInfo
    from .settings import EncryptionSettings, Key, SessionSettings
    from .stores import MemorySessionStore, RedisSessionStore, SessionStore, UserIndexStore
    from .sync import SyncSessionManager, SyncSessionProvider

__version__ = "0.1.0"

# Where each public name is. It is imported when it is first asked for (PEP 562): who wants the models or the settings
# alone, as a command line does, waits for no FastAPI and no redis.
_MODULES = {
    "errors": (
        "AmbiguousTokenError",
        "AuthenticationError",
        "ConfigurationError",
        "ExpiredTokenError",
        "InsufficientScopeError",
        "InvalidArgumentError",
        "InvalidTokenError",
        "JWTSessionError",
        "MissingTokenError",
        "NotStartedError",
        "SessionConflictError",
        "SessionCorruptError",
        "SessionNotFoundError",
        "SessionTooLargeError",
        "StaleAuthenticationError",
        "StoreUnavailableError",
        "TooManySessionsError",
    ),
    "observability": ("SessionEvent", "TokenRedactionFilter"),
    "manager": ("SessionManager",),
    "models": ("Claims", "Session", "Token"),
    "provider": ("SessionProvider",),
    "sessions": ("SessionInfo",),
    "settings": ("EncryptionSettings", "Key", "SessionSettings"),
    "stores": ("MemorySessionStore", "RedisSessionStore", "SessionStore", "UserIndexStore"),
    "sync": ("SyncSessionManager", "SyncSessionProvider"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AmbiguousTokenError",
    "AuthenticationError",
    "Claims",
    "ConfigurationError",
    "EncryptionSettings",
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


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
