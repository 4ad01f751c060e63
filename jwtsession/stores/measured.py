"""`MeasuredStore`: a decorator of any store, which measures its operations."""

from typing import TYPE_CHECKING, Any, cast

from .base import CutoffStore, SessionStore, TicketStore, UserIndexStore
from .forwards import ForwardStore
from .generations import RotationStore
from .redis import CachedSessionStore, RedisSessionStore, observe
from .replay import ReplayStore

if TYPE_CHECKING:
    from ..observability import Telemetry

_CONTRACTS = (SessionStore, UserIndexStore, TicketStore, CutoffStore, ReplayStore, RotationStore, ForwardStore)
OPERATIONS = tuple(
    name
    for contract in _CONTRACTS
    for name in vars(contract)
    if not name.startswith("_") and name not in ("open", "close", "ping")
)
"""The methods that are measured: every question to the store, but whether it answers at all."""


class MeasuredStore:
    """Measures the operations of a store, and passes on all else.

    Args:
        store: The store. A near cache measures its loads itself: most of them ask nobody.
        telemetry: Measures.
    """

    def __init__(self, store: SessionStore, telemetry: "Telemetry") -> None:
        self._store = store
        self.location = getattr(store, "location", id(store))
        """Where the sessions are: the same for all that measure one store."""
        for name in OPERATIONS:
            if name == "load" and isinstance(store, CachedSessionStore):
                self.load = store.load  # slower by `__getattr__`
            elif callable(getattr(store, name, None)):
                setattr(self, name, telemetry.operations.measured(name, store))

    def __repr__(self) -> str:
        return repr(self._store)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def measured(store: SessionStore, telemetry: "Telemetry") -> SessionStore:
    """Return the store for the parts of a provider that ask it.

    Args:
        store: The store.
        telemetry: Measures.
    """
    if isinstance(store, (RedisSessionStore, CachedSessionStore)):
        observe(store, telemetry)
    # Messages of errors name the class of the application's store.
    made = type(type(store).__name__, (MeasuredStore,), {})
    return cast("SessionStore", made(store, telemetry))
