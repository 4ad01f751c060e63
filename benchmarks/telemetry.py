"""What telemetry costs a request: `python -m benchmarks.telemetry`.

Each way runs in a process of its own, and all take turns: the machine's mood meets all of them. A request is what
`get_manager` does for one with a bearer token: it finds and verifies the token, loads the session from a
`MemorySessionStore`, and makes the manager. Nothing of a server or of FastAPI is in the numbers.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

WAYS = {
    "none": "no opentelemetry-api",
    "again": "the same once more: the noise",
    "api": "the API, and no SDK",
    "sdk": "an SDK for metrics",
    "unsampled": "an SDK for metrics and traces; the request is not recorded",
    "recorded": "an SDK for metrics and traces; the request is recorded",
    "every": "an SDK for metrics, and every duration measured",
}
TURNS = 20
EACH = 2000
"""Requests of a turn."""


@contextlib.contextmanager
def without_opentelemetry() -> Iterator[None]:
    """A provider that is made in this block finds no OpenTelemetry, also where FastAPI has imported it."""
    with mock.patch.dict(sys.modules, {"opentelemetry.metrics": None}):
        yield


def _set_up(way: str) -> Any:
    """Set up the SDK, and return a span for the requests to be in."""
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    if way == "every":
        from jwtsession.observability.telemetry import operations

        operations.PAUSE_SECONDS = 0
    if way not in ("unsampled", "recorded"):
        return contextlib.nullcontext()
    trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_ON if way == "recorded" else ALWAYS_OFF))
    return trace.get_tracer("benchmark").start_as_current_span("GET /")


async def _work(way: str) -> None:
    """Answer each line of the standard input with the CPU time of a request in nanoseconds."""
    from starlette.requests import Request

    from jwtsession import MemorySessionStore, SessionProvider
    from jwtsession.testing import AsyncSessionTester

    span = contextlib.nullcontext() if way in ("none", "again", "api") else _set_up(way)
    with without_opentelemetry() if way in ("none", "again") else contextlib.nullcontext():
        sessions = SessionProvider(secret=os.urandom(64).hex(), store=MemorySessionStore())
    async with sessions:  # and not a tester's block, which would make the parts anew
        token = (await AsyncSessionTester(sessions).login({"name": "ann"})).token
        headers = [(b"authorization", b"Bearer " + token.encode())]

        async def ask(times: int) -> None:
            for _ in range(times):
                scope = {"type": "http", "method": "GET", "headers": headers, "query_string": b""}
                await sessions.get_manager(Request(scope))

        with span:
            await ask(EACH)
            for _ in sys.stdin:
                gc.collect()
                gc.disable()
                began = time.process_time_ns()
                await ask(EACH)
                print((time.process_time_ns() - began) / EACH, flush=True)
                gc.enable()


def measure(turns: int, ways: list[str]) -> dict[str, list[float]]:
    """The CPU time of a request, in microseconds, for each way and turn."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for way in ways:
            command = [sys.executable, "-m", "benchmarks.telemetry", "--in-this-process", way]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            workers[way] = stack.enter_context(process)
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(turns):
            for way, worker in workers.items():
                assert worker.stdin is not None  # noqa: S101
                assert worker.stdout is not None  # noqa: S101
                worker.stdin.write("go\n")
                worker.stdin.flush()
                found[way].append(float(worker.stdout.readline()) / 1000)
        for worker in workers.values():
            worker.communicate()
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.telemetry", description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS, help="of 2,000 requests each (default: %(default)s)")
    parser.add_argument("--in-this-process", choices=WAYS, help="what the worker of one way runs")
    arguments = parser.parse_args()
    if arguments.in_this_process:
        asyncio.run(_work(arguments.in_this_process))
        return
    found = measure(arguments.turns, [*WAYS])
    base = found["none"]
    print(f"CPU time of a request in µs, the median of {arguments.turns} turns; what it takes more than without")
    for way, title in WAYS.items():
        more = statistics.median(one - other for one, other in zip(found[way], base, strict=True))
        print(f"  {title:60}{statistics.median(found[way]):8.2f}{more:+8.2f}")


if __name__ == "__main__":
    main()
