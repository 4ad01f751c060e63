"""Where sessions are kept: the contracts of a store, Redis and Valkey, and memory for tests."""

from .base import (
    FORMER,
    CutoffStore,
    Entry,
    IndexAddition,
    IndexedSessionStore,
    IndexPage,
    Outcome,
    SessionStore,
    TicketStore,
    UserIndexStore,
    has_cutoff,
    has_tickets,
    has_user_index,
    reports_changes,
)
from .forwards import ForwardStore, has_forwards
from .generations import (
    Generation,
    LoadedGeneration,
    Rotated,
    RotationStore,
    Verdict,
    has_rotation,
    judge,
)
from .measured import measured
from .memory import MemorySessionStore
from .redis import CachedSessionStore, RedisClient, RedisSessionStore
from .replay import ReplayStore, has_proofs

ServerStore = RedisSessionStore | CachedSessionStore
"""Stores on a server, which other providers may use too. Their connections belong to one event loop."""

__all__ = [
    "FORMER",
    "CachedSessionStore",
    "CutoffStore",
    "Entry",
    "ForwardStore",
    "Generation",
    "IndexAddition",
    "IndexPage",
    "IndexedSessionStore",
    "LoadedGeneration",
    "MemorySessionStore",
    "Outcome",
    "RedisClient",
    "RedisSessionStore",
    "ReplayStore",
    "Rotated",
    "RotationStore",
    "ServerStore",
    "SessionStore",
    "TicketStore",
    "UserIndexStore",
    "Verdict",
    "has_cutoff",
    "has_forwards",
    "has_proofs",
    "has_rotation",
    "has_tickets",
    "has_user_index",
    "judge",
    "measured",
    "reports_changes",
]
