"""The test kit: a clock, a store that can be looked into, and logins without a request. For tests only."""

from .clock import Clock
from .store import InspectableStore, StoredGeneration, StoredSession
from .tester import AsyncSessionTester, Login

__all__ = ["AsyncSessionTester", "Clock", "InspectableStore", "Login", "StoredGeneration", "StoredSession"]
