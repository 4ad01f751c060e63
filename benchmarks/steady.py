"""What `python -m benchmarks.instructions` runs under callgrind: `python -m benchmarks.steady EACH`.

A loop and a clock that do the same each time, however busy the machine is, and the requests of `counted`.
"""

import asyncio
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

SLOWER = 1_000
"""By how much the clock is slower: far more than everything under callgrind, also on a busy machine."""


class SameSelector(selectors.DefaultSelector):
    """Shows the event loop what it would see if a server answered at once, and always in the same order.

    The loop gets nothing to read while it has something else to do. Then it gets all answers, in the order of their
    sockets, and not those that came first.

    Attributes:
        settle: Waits until the server has answered all that it was sent; None where one request is in flight.
    """

    settle: Callable[[], object] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready."""
        if timeout is not None and timeout <= 0:
            return []
        ready = super().select(timeout)
        if self.settle is None or not ready:
            return ready
        self.settle()
        return sorted(super().select(0), key=lambda each: each[0].fd)


def settle_by(server: socket.socket) -> Callable[[], object]:
    """How to wait until a Valkey has answered what others have sent it, and it has one thread.

    It reads what all have sent, and then writes to all: the second answer comes after those to all who wrote before.
    """

    def settle() -> None:
        for _ in range(2):
            server.sendall(b"PING\r\n")
            server.recv(64)

    return settle


class Steady:
    """A clock that is slower than everything under callgrind, and stands still while requests are counted.

    No time limit ends early, and no heartbeat is counted.

    Args:
        server: A connection to the Valkey.
    """

    def __init__(self, server: socket.socket) -> None:
        self.selector = SameSelector()
        self._settle = settle_by(server)
        self._monotonic = time.monotonic
        self._stands: float | None = None

    def monotonic(self) -> float:
        """Stands for `time.monotonic`."""
        return self._monotonic() / SLOWER if self._stands is None else self._stands

    def prepare(self, in_flight: int) -> None:
        """Called before so many requests are counted at a time; with 0 when no more will be."""
        if in_flight == 0:
            self._stands = None
        elif self._stands is None:
            self._stands = self.monotonic()
        self.selector.settle = self._settle if in_flight > 1 else None


def main(each: int) -> None:
    """Send all requests, of each client so many."""
    place = urlsplit(os.environ["JWTSESSION_REDIS_URL"])
    with socket.create_connection((place.hostname, place.port)) as server:
        steady = Steady(server)
        time.monotonic = steady.monotonic  # before others take hold of it
        from .callgrind import Callgrind
        from .counted import cases, run

        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(steady.selector)) as runner:
            runner.run(run(cases(), each, Callgrind(), steady.prepare))


if __name__ == "__main__":
    main(int(sys.argv[1]))
