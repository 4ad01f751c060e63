"""The load: a process that keeps each of its connections busy with one request after the other.

Takes one task as JSON on a line of standard input, answers with one line of JSON, and so on.
"""

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_TICKS = os.sysconf("SC_CLK_TCK")


class Connection(asyncio.Protocol):
    """One client on one connection."""

    def __init__(self, request: bytes, latencies: list[float]) -> None:
        self._request = request
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
        self._transport.write(self._request)


async def run(port: int, pid: int, token: str, connections: int, seconds: float) -> dict[str, Any]:
    """Load one server.

    Args:
        port: Where it listens, on the loopback interface.
        pid: Its process.
        token: The bearer token of each request.
        connections: How many clients there are.
        seconds: How long they go on.

    Returns:
        Requests a second; the median and the 99th percentile of the latency, and the server's CPU time for a
        request, in microseconds. The CPU time is None where the system has no /proc.
    """
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    clients: list[Connection] = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: Connection(request, latencies), "127.0.0.1", port)
        clients.append(client)
    cpu, start = cpu_seconds(pid), time.perf_counter()
    for client in clients:
        client.run_until(start + seconds)
    await asyncio.gather(*(client.done for client in clients))
    elapsed, cpu_end = time.perf_counter() - start, cpu_seconds(pid)
    for client in clients:
        client.close()
    latencies.sort()
    return {
        "requests_per_second": len(latencies) / elapsed,
        "latency_p50_us": 1e6 * latencies[len(latencies) // 2],
        "latency_p99_us": 1e6 * latencies[len(latencies) * 99 // 100],
        "cpu_us": None if cpu is None or cpu_end is None else 1e6 * (cpu_end - cpu) / len(latencies),
    }


def cpu_seconds(pid: int) -> float | None:
    """The CPU time of a process so far, its threads included; see proc(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS  # utime and stime


def main() -> None:
    """Do what standard input says."""
    import uvloop

    for line in sys.stdin:
        print(json.dumps(uvloop.run(run(**json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
