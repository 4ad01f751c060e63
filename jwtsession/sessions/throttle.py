"""`Throttle`: limits an action to once in an interval, for each of many keys."""

from collections import OrderedDict
from collections.abc import Callable

# How many keys are remembered.
_KEPT = 10_000


class Throttle:
    """Remembers when the action was last done for each key. It remembers only the most recent keys.

    Args:
        interval: Seconds after which the action is due again.
        clock: Returns the time in seconds.
    """

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        self._interval = interval
        self._clock = clock
        # Not a plain dict: the more first keys a dict has lost, the longer it searches for the next one.
        self._done: OrderedDict[str, float] = OrderedDict()

    def due(self, key: str, at_most: float | None = None) -> bool:
        """Whether the action is due for a key. If the clock was set back by an interval, it is due.

        Args:
            key: The key.
            at_most: A shorter interval in seconds for this key.
        """
        interval = self._interval if at_most is None else min(self._interval, at_most)
        return abs(self._clock() - self._done.get(key, 0.0)) >= interval

    def done(self, key: str) -> None:
        """Remember that the action has just been done for a key."""
        self._done[key] = self._clock()
        self._done.move_to_end(key)
        if len(self._done) > _KEPT:
            self._done.popitem(last=False)  # the action is done once too often for this key, which does no harm
