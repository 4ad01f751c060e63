"""Events for a log or a SIEM, and access logs without tokens."""

from .access_log import ACCESS_LOGGERS, TokenRedactionFilter
from .client import client_address, client_network
from .events import AuditTrail, EventName, EventReason, SessionEvent

__all__ = [
    "ACCESS_LOGGERS",
    "AuditTrail",
    "EventName",
    "EventReason",
    "SessionEvent",
    "TokenRedactionFilter",
    "client_address",
    "client_network",
]
