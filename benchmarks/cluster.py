"""CPU that a load costs in a cluster of three primaries, against one server: `python -m benchmarks.cluster`.

So many loads wait at the same time, of sessions on all nodes. The CPU is that of this process alone. Rounds alternate,
so that whatever else the machine does meets both sides; what is shown is the median with its quartiles.
"""

import argparse
import asyncio
import contextlib
import gc
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

from jwtsession import RedisSessionStore
from tests import reaper
from tests.servers import until, valkey

from .servers import session_of

HOUR = 3_600_000  # in milliseconds
SESSIONS = 1_000
SLOTS = 16_384
WAITING = 64
"""Loads at the same time, for the report."""
LOADS = 3_000
"""Of a round."""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[list[str]]:
    """The URLs of one server and of a cluster of three primaries, which run for the length of a `with`."""
    single, *nodes = [valkey(folder / "single")] + [
        valkey(folder / f"node{number}", "--cluster-enabled", "yes") for number in range(3)
    ]
    try:
        for each in (single, *nodes):
            each.start()
        for number, each in enumerate(nodes):
            each.ask("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
            each.ask("CLUSTER", "ADDSLOTSRANGE", number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
        for each in nodes:
            until(lambda each=each: len(each.ask("CLUSTER", "SLOTS")) == 3, "the cluster")  # type: ignore[misc]
            each.wait_until(b"cluster_state:ok", "CLUSTER", "INFO")
        yield [single.url, "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in nodes)]
    finally:
        for each in (single, *nodes):
            each.kill()


async def cpu_us(store: RedisSessionStore, ids: Sequence[str], waiting: int, loads: int) -> float:
    """Microseconds of this process's CPU for a load, with so many that wait at any time."""

    async def load(mine: Sequence[str]) -> None:
        for each in mine:
            if await store.load(each) is None:
                raise RuntimeError("a session is missing")

    shares = [random.choices(ids, k=loads // waiting) for _ in range(waiting)]
    gc.collect()
    began = time.process_time()
    await asyncio.gather(*map(load, shares))
    return 1e6 * (time.process_time() - began) / (loads // waiting * waiting)


async def measure(urls: Sequence[str], waiting: int, rounds: int, loads: int) -> list[list[float]]:
    """Microseconds of each round, by the URL's place."""
    stores = [RedisSessionStore(url) for url in urls]
    ids = [secrets.token_urlsafe(32) for _ in range(SESSIONS)]
    for store in stores:
        for each in ids:
            await store.create(each, session_of(200), HOUR)
        await cpu_us(store, ids, waiting, loads)  # connects
    found: list[list[float]] = [[] for _ in stores]
    for number in range(rounds):
        for place in range(len(stores))[:: -1 if number % 2 else 1]:
            found[place].append(await cpu_us(stores[place], ids, waiting, loads))
    for store in stores:
        await store.close()
    return found


def cluster_us(rounds: int) -> dict[str, list[float]]:
    """For the report: microseconds of this process's CPU for a load while `WAITING` wait, in each round."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as urls:
        one, three = uvloop.run(measure(urls, WAITING, rounds, LOADS))
    return {"one_us": one, "three_us": three}


def main() -> None:
    """Measure, and show it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, nargs="+", default=[1, WAITING], help="loads at the same time")
    parser.add_argument("--rounds", type=int, default=40, help="of each side")
    parser.add_argument("--loads", type=int, default=LOADS, help="of a round")
    options = parser.parse_args()
    reaper.end_all_with_this_process()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as urls:
        for waiting in options.waiting:
            one, three = uvloop.run(measure(urls, waiting, options.rounds, options.loads))
            ratios = [b / a for a, b in zip(one, three, strict=True)]
            print(f"{waiting} waiting: one server {_shown(one)} µs a load, cluster {_shown(three)} µs", end=": ")
            print(f"ratio {_shown(ratios, 3)}")


def _shown(values: Sequence[float], digits: int = 1) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    main()
