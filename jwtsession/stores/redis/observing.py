"""Lets telemetry see what a store does by itself: the round trips that loads share, and its near cache."""

from typing import TYPE_CHECKING

from .client_cache import CachedSessionStore
from .client_cache.observed import ObservedLoads
from .store import RedisSessionStore

if TYPE_CHECKING:
    from ...observability import Telemetry


def observe(store: RedisSessionStore | CachedSessionStore, telemetry: "Telemetry") -> None:
    """Count from now on how many loads share a round trip, and what the near cache answers.

    Args:
        store: The store.
        telemetry: Counts.
    """
    store._connections.observe(telemetry.operations)
    if isinstance(store, CachedSessionStore):
        measured = telemetry.operations.measured
        loads = measured("load", store._store), measured("load", store._executor, "read")
        store._observed = ObservedLoads(telemetry.near_cache(), *loads)
        telemetry.silence.add(store, CachedSessionStore.silence)
