"""`SessionManager`: the session of one request, and the methods that change it."""

from .session_manager import SessionManager

__all__ = ["SessionManager"]
