"""The test kit: testers of an application's own provider, a clock, and a store to look into. For tests only."""

from .async_tester import AsyncSessionTester
from .clock import Clock
from .login import Login
from .store import InspectableStore, StoredGeneration, StoredSession
from .tester import SessionTester

__all__ = [
    "AsyncSessionTester",
    "Clock",
    "InspectableStore",
    "Login",
    "SessionTester",
    "StoredGeneration",
    "StoredSession",
]
