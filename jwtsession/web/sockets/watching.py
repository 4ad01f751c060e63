"""`ScopeWatch`: watches the sessions of one open socket or stream."""

from collections.abc import Callable
from typing import Any

from starlette.types import Scope

from ...manager import SessionManager
from ...manager.request import counts_as_use
from ...manager.until_ended import watched
from ...sessions import Ending, Watched
from ..kept import Kept, is_of


class ScopeWatch:
    """Watches the session of every manager that a socket's or a stream's request has.

    Args:
        scope: The request's ASGI scope, which keeps the managers.
        tell: Called once for each session that ends.
    """

    __slots__ = ("_managers", "_scope", "_tell", "_watched")

    def __init__(self, scope: Scope, tell: Callable[[Ending], object]) -> None:
        self._scope = scope
        # Set here, so that the managers are found even if somebody copies the scope for the endpoint.
        self._managers: dict[object, Kept] = scope.setdefault("jwtsession", {})
        self._tell = tell
        self._watched: dict[SessionManager[Any, Any], Watched] = {}

    def refresh(self) -> None:
        """Watch the managers that have a session now, and had none at the last call. Cheap: each message calls this."""
        for kept in self._managers.values():
            manager = kept[0]
            # A driver may use a scope again: then it also keeps a manager of another request.
            if manager not in self._watched and manager.id is not None and is_of(kept, self._scope):
                found = watched(manager, self._tell)
                if found is not None:
                    self._watched[manager] = found

    def used(self) -> None:
        """Count a use of each session, but for one at which the handshake only peeked."""
        for manager, each in self._watched.items():
            if counts_as_use(manager):
                each.used()

    def close(self) -> None:
        """Watch no longer, and forget whom to tell: he may refer to this watch, and a cycle waits for the collector."""
        self._managers, self._tell = {}, _nobody
        while self._watched:
            self._watched.popitem()[1].close()


def _nobody(_: Ending) -> None:
    """Take the place of whom the watch told."""
