"""`EvictionWatch`: logs a warning if a server may evict what sessions depend on while the sessions live on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import StoreUnavailableError
from ..stores import SessionStore

logger = logging.getLogger("jwtsession")

_LOOK_AGAIN_SECONDS = 300.0

_EVICTS = (
    "the session store evicts keys when its memory is full (maxmemory-policy %s): it may lose %s"
    " Set maxmemory-policy to noeviction. Servers: %s"
)
_WILL_EVICT = (
    "the session store will evict keys as soon as it has a maxmemory (maxmemory-policy %s): it may then"
    " lose %s Set maxmemory-policy to noeviction. Servers: %s"
)
_UNKNOWN = (
    "the session store does not tell its maxmemory-policy: make sure that it is noeviction. Otherwise it may lose"
    " %s With the right +info the store tells it. Servers: %s"
)
_INDEX = (
    "a user's index before the sessions. revoke_all, destroy_others and max_sessions then miss these sessions, and"
    " raise no error."
)
_PROOFS = "the proofs of possession that were used. Somebody who has such a proof can then use it once more."
_GENERATIONS = "which token of a session is the newest. A token that was replaced is then good again."
_CUTOFF = "the time of revoke_before(). The tokens that it refused are then good again."


@dataclass(frozen=True)
class AtRisk:
    """What of a provider a server would lose that evicts keys."""

    has_index: bool = False
    """There is an index of each user's sessions."""
    has_proofs: bool = False
    """The store remembers which proofs of possession (DPoP) were used."""
    has_generations: bool = False
    """The store knows the newest token of each session, for rotation."""
    has_cutoff: bool = False
    """The setting `revoke_before` is on. Its key has no time to live."""

    def __bool__(self) -> bool:
        return self.has_index or self.has_proofs or self.has_generations or self.has_cutoff

    @property
    def lost(self) -> str:
        """What is lost and what follows from it, as sentences that continue "it may lose"."""
        parts = [_INDEX] * self.has_index + [_PROOFS] * self.has_proofs + [_GENERATIONS] * self.has_generations
        return " and ".join([*parts, *[_CUTOFF] * self.has_cutoff])

    def is_safe(self, policy: str) -> bool:
        """Whether a server with this `maxmemory-policy` keeps all of it."""
        expires = self.has_index or self.has_proofs or self.has_generations
        return not self or policy.startswith("noeviction" if expires else ("noeviction", "volatile"))


class EvictionWatch:
    """Checks the servers' `maxmemory-policy` when the application starts, and at some of the pings.

    A server that restarted, or a server that replaced it, may have another policy. So the first successful ping after
    a failed one checks again, and so does a ping when the last check is five minutes old.

    Args:
        store: Its `eviction_policies` gives the policies. The watch does nothing for a store without this method.
        clock: Returns the time in seconds.
        at_risk: What an eviction would lose.
    """

    def __init__(self, store: SessionStore, clock: Callable[[], float], at_risk: AtRisk) -> None:
        self._ask: Callable[[], Any] | None = getattr(store, "eviction_policies", None)
        self._clock = clock
        self._at_risk = at_risk
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
            self._say(found)

    def _say(self, found: dict[str, tuple[str, int] | None]) -> None:
        bad = {name: told for name, told in found.items() if told is not None and not self._at_risk.is_safe(told[0])}
        if bad:
            full = any(limit for _, limit in bad.values())
            policies = ", ".join(sorted({policy for policy, _ in bad.values()}))
            level, message = (logging.ERROR, _EVICTS) if full else (logging.WARNING, _WILL_EVICT)
            logger.log(level, message, policies, self._at_risk.lost, _names(bad))
        unknown = [name for name, told in found.items() if told is None]
        if unknown:
            logger.info(_UNKNOWN, self._at_risk.lost, _names(unknown))


def _names(servers: "dict[str, Any] | list[str]") -> str:
    return ", ".join(sorted(servers))
