"""`Clock`: time that a test turns."""


class Clock:
    """Time that moves when a test says so: `SessionProvider(..., clock=clock)`, `InspectableStore(clock)`.

    Args:
        now: The time at the start, in seconds since the epoch.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        """The time in seconds since the epoch."""

    def __call__(self) -> float:
        """The time in seconds since the epoch."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Args:
            seconds: How much later it is.
        """
        self.now += seconds
