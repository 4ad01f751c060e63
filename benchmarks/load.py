"""The load: a process that keeps each of its connections busy with one request after the other.

Takes one task as JSON on a line of standard input, answers with one line of JSON, and so on.
"""

import asyncio
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

from .cpu import cpu_seconds

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One client on one connection."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float]) -> None:
        self._requests = requests
        self._latencies = latencies
        self._transport: asyncio.Transport
        self._received = b""
        self._sent = 0.0
        self._deadline = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def connection_lost(self, exc: Exception | None) -> None:
        """A server that hangs up fails the run."""
        if not self.done.done():
            self.done.set_exception(ConnectionError("the server closed the connection"))

    def run_until(self, deadline: float) -> None:
        """Send requests until then."""
        self._deadline = deadline
        self._send()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """At the end of an answer take the time and send the next request."""
        self._received += data
        head = self._received.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(self._received, 0, head)
        if head < 4 or length is None or len(self._received) < head + int(length[1]):
            return
        now = time.perf_counter()
        if not self._received.startswith(b"HTTP/1.1 200 "):
            if not self.done.done():
                self.done.set_exception(RuntimeError(self._received.decode(errors="replace")))
            return
        self._latencies.append(now - self._sent)
        self._received = b""
        if now < self._deadline:
            self._send()
        else:
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


async def run(
    port: int, pids: Sequence[int], headers: Sequence[dict[str, str]], connections: int, seconds: float
) -> dict[str, Any]:
    """Load one server.

    Args:
        port: Where it listens, on the loopback interface.
        pids: Its processes.
        headers: Those of the requests. Each connection takes its share of them, one after the other, again and again.
        connections: How many clients there are.
        seconds: How long they go on.

    Returns:
        How many requests, and how many a second; the median and the 99th percentile of the latency, and the server's
        CPU time for a request, in microseconds, None where the system has no /proc; how busy the load itself was.
    """
    requests = [_request(port, each) for each in headers]
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    clients: list[Connection] = []
    for number in range(connections):
        mine = itertools.cycle(requests[number % len(requests) :: connections])
        _, client = await loop.create_connection(lambda mine=mine: Connection(mine, latencies), "127.0.0.1", port)  # type: ignore[misc]
        clients.append(client)
    cpu, own, start = cpu_seconds(pids), time.process_time(), time.perf_counter()
    for client in clients:
        client.run_until(start + seconds)
    await asyncio.gather(*(client.done for client in clients))
    elapsed, own, cpu_end = time.perf_counter() - start, time.process_time() - own, cpu_seconds(pids)
    for client in clients:
        client.close()
    latencies.sort()
    return {
        "requests": len(latencies),
        "requests_per_second": len(latencies) / elapsed,
        "latency_p50_us": 1e6 * latencies[len(latencies) // 2],
        "latency_p99_us": 1e6 * latencies[len(latencies) * 99 // 100],
        "cpu_us": None if cpu is None or cpu_end is None else 1e6 * (cpu_end - cpu) / len(latencies),
        "load_busy": own / elapsed,
    }


def _request(port: int, headers: dict[str, str]) -> bytes:
    lines = ["GET / HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def main() -> None:
    """Do what standard input says."""
    import uvloop

    for line in sys.stdin:
        print(json.dumps(uvloop.run(run(**json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
