"""`RoundTrip`: a time limit that is cheaper than a timer for each."""

import asyncio
import math


class RoundTrip:
    """A round trip that must end in time: `AutoPipeline._watch` ends it, with one timer for all of them.

    Does what `asyncio.timeout` does, whose timer for each round trip costs a good part of the round trip.
    """

    __slots__ = ("_cancelling", "_late", "_task", "began", "due")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._task = task
        self._cancelling = task.cancelling()
        self._late = False
        self.began = 0.0
        self.due = math.inf

    def end(self) -> None:
        """Cancel the task: the round trip is late."""
        self._late, self.due = True, math.inf
        self._task.cancel()

    def was_late(self) -> bool:
        """Whether `end()` cancelled the task, and nobody else did."""
        return self._late and self._task.uncancel() <= self._cancelling
