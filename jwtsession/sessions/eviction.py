"""`EvictionWatch`: logs a warning if a server may evict a user's index while the user's sessions live on."""

import logging
from collections.abc import Callable
from typing import Any

from ..errors import StoreUnavailableError
from ..stores import SessionStore

logger = logging.getLogger("jwtsession")

_LOOK_AGAIN_SECONDS = 300.0

_EVICTS = (
    "the session store evicts keys when its memory is full (maxmemory-policy %s): it may lose a user's index before"
    " the sessions. revoke_all, destroy_others and max_sessions then miss these sessions, and raise no error."
    " Set maxmemory-policy to noeviction. Servers: %s"
)
_WILL_EVICT = (
    "the session store will evict keys as soon as it has a maxmemory (maxmemory-policy %s): it may then lose a user's"
    " index before the sessions. revoke_all, destroy_others and max_sessions then miss these sessions, and raise no"
    " error. Set maxmemory-policy to noeviction. Servers: %s"
)
_UNKNOWN = (
    "the session store does not tell its maxmemory-policy: make sure that it is noeviction. Otherwise revoke_all,"
    " destroy_others and max_sessions may miss sessions, and raise no error. With the right +info the store tells it."
    " Servers: %s"
)


class EvictionWatch:
    """Checks the servers' `maxmemory-policy` when the application starts, and at some of the pings.

    A server that restarted, or a server that replaced it, may have another policy. So the first successful ping after
    a failed one checks again, and so does a ping when the last check is five minutes old.

    Args:
        store: Its `eviction_policies` gives the policies. The watch does nothing for a store without this method.
        clock: Returns the time in seconds.
    """

    def __init__(self, store: SessionStore, clock: Callable[[], float]) -> None:
        self._ask: Callable[[], Any] | None = getattr(store, "eviction_policies", None)
        self._clock = clock
        self._looked: float | None = None
        self._said: object = None

    async def pinged(self, answers: bool) -> None:
        """Check again if it is time for it. `Lifespan.ping` calls this after each ping.

        Args:
            answers: Whether the ping succeeded.
        """
        if not answers:
            self._looked = None
        elif self._looked is None or abs(self._clock() - self._looked) >= _LOOK_AGAIN_SECONDS:
            await self.look()

    async def look(self) -> None:
        """Ask the servers for their policies and log a change. Never raises: without an answer, the next ping asks."""
        if self._ask is None:
            return
        try:
            found: dict[str, tuple[str, int] | None] = await self._ask()
        except StoreUnavailableError:
            self._looked = None
            return
        self._looked = self._clock()
        if found != self._said:
            self._said = found
            _say(found)


def _say(found: dict[str, tuple[str, int] | None]) -> None:
    bad = {name: told for name, told in found.items() if told is not None and told[0] != "noeviction"}
    if bad:
        full = any(limit for _, limit in bad.values())
        policies = ", ".join(sorted({policy for policy, _ in bad.values()}))
        logger.log(logging.ERROR if full else logging.WARNING, _EVICTS if full else _WILL_EVICT, policies, _names(bad))
    unknown = [name for name, told in found.items() if told is None]
    if unknown:
        logger.info(_UNKNOWN, _names(unknown))


def _names(servers: "dict[str, Any] | list[str]") -> str:
    return ", ".join(sorted(servers))
