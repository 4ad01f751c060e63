"""Events for a log or a SIEM, and access logs without tokens."""

from .access_log import ACCESS_LOGGERS, TokenRedactionFilter
from .events import AuditTrail, EventName, SessionEvent, client_address

__all__ = ["ACCESS_LOGGERS", "AuditTrail", "EventName", "SessionEvent", "TokenRedactionFilter", "client_address"]
