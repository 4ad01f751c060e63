"""`Clock`: a clock that a test moves."""


class Clock:
    """A clock that moves only if a test moves it: `SessionProvider(..., clock=clock)`, `InspectableStore(clock)`.

    Args:
        now: The time at the start, in seconds since the epoch.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        """The time in seconds since the epoch."""

    def __call__(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Args:
            seconds: By how many seconds.
        """
        self.now += seconds
