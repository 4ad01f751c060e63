"""Routers with ready-made endpoints."""

from .health import health_router
from .jwks import jwks_router
from .refresh import refresh_router
from .tokens import token_router

__all__ = ["health_router", "jwks_router", "refresh_router", "token_router"]
