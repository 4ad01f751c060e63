"""Typed sessions: reading, writing, encryption, timeouts, the index of each user's sessions, and the life cycle."""

from .admin import SessionAdmin
from .clients import Clients
from .cutoff import Cutoff
from .edits import Edits, Verb
from .encryption import AESGCMSealer, PlaintextSealer, Sealer, is_sealed
from .eviction import AtRisk, EvictionWatch
from .forwards import Forwards
from .index.entries import LABEL_CHARACTERS, Login, SessionInfo, check_label
from .index.user_index import UserIndex
from .instances import Former, refuse_lost_changes, remembered
from .lifecycle import SessionLifecycle
from .new_session import NewSession
from .node import drop_bookkeeping
from .repository import LoadCheck, Record, SessionRepository
from .reuse import Reuse
from .rotation import Rotation, RotationCheck
from .roundtrip import check_model
from .serialization import MAX_SESSION_BYTES, Migrate, SessionSerializer
from .tickets import TICKET_SECONDS, Tickets, new_ticket, origin_name, ticket_name
from .timeouts import SessionToken, Timeouts
from .uses import Uses
from .watch.session_watch import SessionWatch
from .watch.watched import Ending, Watched

__all__ = [
    "LABEL_CHARACTERS",
    "MAX_SESSION_BYTES",
    "TICKET_SECONDS",
    "AESGCMSealer",
    "AtRisk",
    "Clients",
    "Cutoff",
    "Edits",
    "Ending",
    "EvictionWatch",
    "Former",
    "Forwards",
    "LoadCheck",
    "Login",
    "Migrate",
    "NewSession",
    "PlaintextSealer",
    "Record",
    "Reuse",
    "Rotation",
    "RotationCheck",
    "Sealer",
    "SessionAdmin",
    "SessionInfo",
    "SessionLifecycle",
    "SessionRepository",
    "SessionSerializer",
    "SessionToken",
    "SessionWatch",
    "Tickets",
    "Timeouts",
    "UserIndex",
    "Uses",
    "Verb",
    "Watched",
    "check_label",
    "check_model",
    "drop_bookkeeping",
    "is_sealed",
    "new_ticket",
    "origin_name",
    "refuse_lost_changes",
    "remembered",
    "ticket_name",
]
