"""Events for a log or a SIEM, access logs without tokens, metrics and spans."""

from typing import TYPE_CHECKING

from .access_log import ACCESS_LOGGERS, TokenRedactionFilter
from .client import client_address, client_network
from .events import AuditTrail, EventName, EventReason, SessionEvent
from .telemetry import shared_telemetry

if TYPE_CHECKING:  # these need OpenTelemetry, which may be missing
    from .telemetry import Operations as Operations
    from .telemetry import Resolutions as Resolutions
    from .telemetry import Series as Series
    from .telemetry import Telemetry as Telemetry

__all__ = [
    "ACCESS_LOGGERS",
    "AuditTrail",
    "EventName",
    "EventReason",
    "SessionEvent",
    "TokenRedactionFilter",
    "client_address",
    "client_network",
    "shared_telemetry",
]
