"""Routers with ready-made endpoints."""

from ._access import SessionAccess, checked_prefix
from ._page import page_router
from .admin import admin_router
from .health import health_router
from .jwks import jwks_router
from .refresh import refresh_router
from .sessions import SessionEndpoint, session_router
from .tokens import token_router
from .views import Locate, SessionView, Views

__all__ = [
    "Locate",
    "SessionAccess",
    "SessionEndpoint",
    "SessionView",
    "Views",
    "admin_router",
    "checked_prefix",
    "health_router",
    "jwks_router",
    "page_router",
    "refresh_router",
    "session_router",
    "token_router",
]
