"""`Throttle`: what is worth doing once in an interval, for each of many keys."""

from collections import OrderedDict
from collections.abc import Callable

_KEPT = 10_000


class Throttle:
    """When something was last done, for the keys that came last.

    Args:
        interval: Seconds in which once is enough.
        clock: The time, in seconds.
    """

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        self._interval = interval
        self._clock = clock
        # A plain dict that loses its first key again and again takes ever longer to find the next one.
        self._done: OrderedDict[str, float] = OrderedDict()

    def due(self, key: str, at_most: float | None = None) -> bool:
        """Whether the interval, or these seconds, have passed. A clock that was set back counts as passed."""
        interval = self._interval if at_most is None else min(self._interval, at_most)
        return abs(self._clock() - self._done.get(key, 0.0)) >= interval

    def done(self, key: str) -> None:
        """It has just been done."""
        self._done[key] = self._clock()
        self._done.move_to_end(key)
        if len(self._done) > _KEPT:
            self._done.popitem(last=False)  # forgetting it costs one time too many, nothing else
