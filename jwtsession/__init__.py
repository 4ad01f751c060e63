"""Typed, revocable sessions for FastAPI: the client's JWT names a session, and Redis holds the session's data."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import (
        AmbiguousTokenError,
        AuthenticationError,
        ConfigurationError,
        CSRFError,
        ExpiredTokenError,
        ImpersonationError,
        InsufficientLevelError,
        InsufficientScopeError,
        InvalidArgumentError,
        InvalidClientError,
        InvalidProofError,
        InvalidTokenError,
        JWTSessionError,
        LoginRequiredError,
        MissingTokenError,
        NotStartedError,
        ProofNonceError,
        SessionConflictError,
        SessionCorruptError,
        SessionNotFoundError,
        SessionTooLargeError,
        StaleAuthenticationError,
        StoreUnavailableError,
        TokenReusedError,
        TooManySessionsError,
    )
    from .manager import SessionManager
    from .models import Claims, Session, Ticket, Token
    from .observability import SessionEvent, TokenRedactionFilter
    from .provider import SessionProvider
    from .remote import Introspection
    from .sessions import SessionInfo
    from .settings import (
        CookieSettings,
        DPoPSettings,
        EncryptionSettings,
        Key,
        RotationSettings,
        SessionSettings,
        WebSocketSettings,
    )
    from .stores import (
        CutoffStore,
        ForwardStore,
        MemorySessionStore,
        RedisSessionStore,
        ReplayStore,
        RotationStore,
        SessionStore,
        TicketStore,
        UserIndexStore,
    )
    from .sync import SyncSessionManager, SyncSessionProvider
    from .verifier import SessionVerifier
    from .web.login_redirect import safe_next
    from .web.outgoing import SessionMiddleware
    from .web.routers.clients import client_credentials
    from .web.routers.views import SessionView

__version__ = "0.1.0"

# The module of each public name. `__getattr__` imports the module when somebody first uses the name (PEP 562): a
# command line that needs only the models or the settings does not wait for FastAPI and redis.
_MODULES = {
    "errors": (
        "AmbiguousTokenError",
        "AuthenticationError",
        "CSRFError",
        "ConfigurationError",
        "ExpiredTokenError",
        "ImpersonationError",
        "InsufficientLevelError",
        "InsufficientScopeError",
        "InvalidArgumentError",
        "InvalidClientError",
        "InvalidProofError",
        "InvalidTokenError",
        "JWTSessionError",
        "LoginRequiredError",
        "MissingTokenError",
        "NotStartedError",
        "ProofNonceError",
        "SessionConflictError",
        "SessionCorruptError",
        "SessionNotFoundError",
        "SessionTooLargeError",
        "StaleAuthenticationError",
        "StoreUnavailableError",
        "TokenReusedError",
        "TooManySessionsError",
    ),
    "observability": ("SessionEvent", "TokenRedactionFilter"),
    "manager": ("SessionManager",),
    "models": ("Claims", "Session", "Ticket", "Token"),
    "provider": ("SessionProvider",),
    "remote": ("Introspection",),
    "sessions": ("SessionInfo",),
    "settings": (
        "CookieSettings",
        "DPoPSettings",
        "EncryptionSettings",
        "Key",
        "RotationSettings",
        "SessionSettings",
        "WebSocketSettings",
    ),
    "stores": (
        "CutoffStore",
        "ForwardStore",
        "MemorySessionStore",
        "RedisSessionStore",
        "ReplayStore",
        "RotationStore",
        "SessionStore",
        "TicketStore",
        "UserIndexStore",
    ),
    "sync": ("SyncSessionManager", "SyncSessionProvider"),
    "verifier": ("SessionVerifier",),
    "web.login_redirect": ("safe_next",),
    "web.outgoing": ("SessionMiddleware",),
    "web.routers.clients": ("client_credentials",),
    "web.routers.views": ("SessionView",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AmbiguousTokenError",
    "AuthenticationError",
    "CSRFError",
    "Claims",
    "ConfigurationError",
    "CookieSettings",
    "CutoffStore",
    "DPoPSettings",
    "EncryptionSettings",
    "ExpiredTokenError",
    "ForwardStore",
    "ImpersonationError",
    "InsufficientLevelError",
    "InsufficientScopeError",
    "Introspection",
    "InvalidArgumentError",
    "InvalidClientError",
    "InvalidProofError",
    "InvalidTokenError",
    "JWTSessionError",
    "Key",
    "LoginRequiredError",
    "MemorySessionStore",
    "MissingTokenError",
    "NotStartedError",
    "ProofNonceError",
    "RedisSessionStore",
    "ReplayStore",
    "RotationSettings",
    "RotationStore",
    "Session",
    "SessionConflictError",
    "SessionCorruptError",
    "SessionEvent",
    "SessionInfo",
    "SessionManager",
    "SessionMiddleware",
    "SessionNotFoundError",
    "SessionProvider",
    "SessionSettings",
    "SessionStore",
    "SessionTooLargeError",
    "SessionVerifier",
    "SessionView",
    "StaleAuthenticationError",
    "StoreUnavailableError",
    "SyncSessionManager",
    "SyncSessionProvider",
    "Ticket",
    "TicketStore",
    "Token",
    "TokenRedactionFilter",
    "TokenReusedError",
    "TooManySessionsError",
    "UserIndexStore",
    "WebSocketSettings",
    "client_credentials",
    "safe_next",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, "__version__"})
