"""`Clock`: a clock that a test moves."""

from collections.abc import Callable
from datetime import timedelta


class Clock:
    """A clock that moves only if a test moves it: `SessionProvider(..., clock=clock)`, `InspectableStore(clock)`.

    Args:
        now: The time at the start, in seconds since the epoch.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        """The time in seconds since the epoch."""
        self._followers: list[Callable[[float], object]] = []

    def __call__(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.now

    def advance(self, seconds: float | timedelta = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Move the clock forward.

        Args:
            seconds: By how many seconds, or a `timedelta`.
            minutes: And by how many minutes.
            hours: And by how many hours.
            days: And by how many days.
        """
        given = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
        by = (given + timedelta(minutes=minutes, hours=hours, days=days)).total_seconds()
        self.now += by
        for each in self._followers:
            each(by)

    def _follow(self, follower: Callable[[float], object]) -> Callable[[], None]:
        """Call a function with the seconds of each `advance`, until the returned function is called."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)
