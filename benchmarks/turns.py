"""The turns of an event loop, in which it serves no other request, and the round trips to a server."""

import asyncio
import gc
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from redis.asyncio.connection import Connection

T = TypeVar("T")


class Turns(selectors.DefaultSelector):
    """The selector of an event loop that measures the loop's turns: what runs between two looks at the sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()
        gc.callbacks.append(self._collected)

    def reset(self) -> None:
        """Forget what was measured."""
        self.longest = 0.0
        """The longest turn without the garbage collector, in milliseconds of CPU time."""
        self.longest_with_collector = 0.0
        """The longest turn, in milliseconds of CPU time."""
        self._collector = 0.0
        self._since = self._collecting_since = time.thread_time()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """End a turn, look at the sockets, and begin the next turn."""
        turn = 1e3 * (time.thread_time() - self._since)
        self.longest = max(self.longest, turn - self._collector)
        self.longest_with_collector = max(self.longest_with_collector, turn)
        ready = super().select(timeout)
        self._collector, self._since = 0.0, time.thread_time()
        return ready

    def close(self) -> None:
        """Stop."""
        gc.callbacks.remove(self._collected)
        super().close()

    def _collected(self, phase: str, _: object) -> None:
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            self._collector += 1e3 * (time.thread_time() - self._collecting_since)


def run(main: Callable[[Turns], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in an event loop of its own, whose turns are measured."""
    turns = Turns()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(turns)) as runner:
        return runner.run(main(turns))


class CountingConnection(Connection):
    """A connection to a server that counts how often somebody waits for it."""

    trips = 0
    """The round trips of all connections."""
    _sent = False

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Send something, so that the next reply is one to wait for."""
        self._sent = True
        await super().send_packed_command(*args, **kwargs)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for a reply."""
        CountingConnection.trips += self._sent
        self._sent = False
        return await super().read_response(*args, **kwargs)
