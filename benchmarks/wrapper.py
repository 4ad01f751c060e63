"""Measures what `SessionMiddleware` costs: `python -m benchmarks.wrapper`. It needs a Linux and a minute.

One request after the other, in this process, by one event loop and without sockets: to an application without sessions,
and to one whose endpoint has its session from a bearer token and a `MemorySessionStore`. Rounds with and without the
middleware take turns, and CPU time is measured, so that other processes disturb little. The result is the median of the
differences between neighbours.
"""

import argparse
import asyncio
import gc
import os
import statistics
import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from jwtsession import SessionMiddleware

from .counted import Case, cases
from .direct import Headers, ask, log_in
from .servers import machine

ROUND = 200
"""Requests of a round."""


async def round_of(app: FastAPI, headers: Headers) -> float:
    """Microseconds of CPU for each request of a round."""
    start = time.process_time_ns()
    for _ in range(ROUND):
        await ask(app, headers)
    return (time.process_time_ns() - start) / ROUND / 1_000


async def compare(app: FastAPI, headers: Headers, rounds: int) -> tuple[float, float]:
    """Microseconds of a request without the middleware, and what the middleware adds."""
    router: Any = app.router
    present = router.middleware_stack
    inside: Any = present.app if isinstance(present, SessionMiddleware) else present
    stacks = inside, SessionMiddleware(inside)
    bare, added = [], []
    for number in range(rounds):
        taken = [0.0, 0.0]
        for which in (number % 2, 1 - number % 2):
            router.middleware_stack = stacks[which]
            gc.collect()
            taken[which] = await round_of(app, headers)
        bare.append(taken[0])
        added.append(taken[1] - taken[0])
    router.middleware_stack = present
    return statistics.median(bare), statistics.median(added)


async def measure(found: Mapping[str, Case], rounds: int) -> None:
    """Measure two applications, and print the results."""
    for name, title in (("bare", "without sessions"), ("memory", "with a session by bearer token")):
        app = found[name].app
        async with app.router.lifespan_context(app):
            alone, added = await compare(app, await log_in(app), rounds)
        print(f"{title}: {alone:.1f} microseconds, and {added:+.2f} by SessionMiddleware")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wrapper", description=__doc__)
    parser.add_argument("--rounds", type=int, default=150, help="pairs of rounds (default: %(default)s)")
    arguments = parser.parse_args()
    with machine() as bench:
        os.environ.update(bench.environment())
        asyncio.run(measure(cases(), arguments.rounds))


if __name__ == "__main__":
    main()
