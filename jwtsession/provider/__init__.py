"""`SessionProvider`: the one object that an application makes."""

from .session_provider import SessionProvider

__all__ = ["SessionProvider"]
