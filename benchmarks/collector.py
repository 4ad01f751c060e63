"""Counts what Python's garbage collector does for a request, on each Python: `python -m benchmarks.collector`.

Each application runs in a process of its own under uvicorn, and 64 clients ask at the same time. Python tells of each
collection; its CPU time is that of the thread, so what else the machine does changes it little. `--into` puts the
figures into the report of a run of `python -m benchmarks`, for the docs' page.
"""

import argparse
import datetime
import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests import reaper

from .plan import BY_NAME, SMALL
from .serve import COUNTS
from .servers import Machine, machine

PYTHONS = ("3.11", "3.12", "3.13")
APPS = ("bare", "handwritten", "jwtsession", "jwtsession-near")
WAYS: dict[str, dict[str, str]] = {
    "default": {},
    "frozen": {"GC_FREEZE": "1"},
    "frozen when warm": {},
    "at 50,000": {"GC_THRESHOLD": "50000"},
    "frozen, at 50,000": {"GC_FREEZE": "1", "GC_THRESHOLD": "50000"},
}
"""How the collector runs, and the environment that makes it so: see `serve`."""
WHEN_WARM = "frozen when warm"
CLIENTS = 64

Row = dict[str, Any]


def one_way(bench: Machine, python: str, way: str, apps: Sequence[str], rounds: int, seconds: float) -> list[Row]:
    """What the collector does in each of these applications, which take turns.

    Args:
        bench: What runs them.
        python: The Python that runs them, `3.13`.
        way: One of `WAYS`.
        apps: Their names.
        rounds: How many turns each has.
        seconds: The length of a turn.

    Returns:
        A row for each application, with its requests, the collections of each generation, their CPU time and that of
        the longest in seconds; of an application that can't be had here there is none.
    """
    here = python == ".".join(platform.python_version_tuple()[:2])
    where: dict[str, Any] = {} if here else {"peer": "jwtsession", "python": python}
    rows: dict[str, Row] = {}
    for name in apps:
        app = BY_NAME[name]
        environment = {**app.environment, **WAYS[way], "GC_COUNTS": "1"}
        bench.start(replace(app, environment=environment, **where))
        if name in bench.servers:
            _measure(bench, name, seconds)  # imports, connection pools, caches
            version = platform.python_version() if here else bench.servers[name].versions["python"]
            rows[name] = {"python": version, "way": way, "app": name, "requests": 0, "collections": [0, 0, 0]}
            rows[name] |= {"seconds": 0.0, "longest": 0.0}
            bench.servers[name].ask("POST" if way == WHEN_WARM else "GET", {}, COUNTS)
    for _ in range(rounds):
        for name, row in rows.items():
            row["requests"] += _measure(bench, name, seconds)
            _, found = bench.servers[name].ask("GET", {}, COUNTS)
            row["collections"] = [sum(each) for each in zip(row["collections"], found["collections"], strict=True)]
            row["seconds"] += found["seconds"]
            row["longest"] = max(row["longest"], found["longest"])
    bench.stop()
    return [*rows.values()]


def _measure(bench: Machine, name: str, seconds: float) -> int:
    sessions = bench.servers[name].sessions(SMALL, CLIENTS)
    requests: int = bench.measure(name, sessions, CLIENTS, seconds)["requests"]
    return requests


def us(row: Row) -> float:
    """Microseconds of CPU that the collector takes of each request."""
    return float(1e6 * row["seconds"] / row["requests"])


def per_1000(row: Row) -> list[float]:
    """The collections for 1,000 requests, of each generation."""
    return [1_000 * each / row["requests"] for each in row["collections"]]


def line(row: Row) -> str:
    """What was counted, for the terminal."""
    young, middle, old = per_1000(row)
    return (
        f"Python {row['python']:7} {row['way']:18} {row['app']:16} {us(row):6.1f} µs a request, longest"
        f" {1_000 * row['longest']:5.1f} ms; for 1,000 requests {young:6.2f}, {middle:5.2f}, {old:5.2f} collections"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collector", description=__doc__)
    parser.add_argument("--pythons", nargs="+", default=PYTHONS, metavar="PYTHON", help="default: %(default)s")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS], metavar="WAY", help="default: all of them")
    parser.add_argument("--apps", nargs="+", choices=APPS, default=APPS, metavar="APP", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each round (default: %(default)s)")
    parser.add_argument("--into", type=Path, metavar="JSON", help="the report to put the figures into")
    arguments = parser.parse_args()
    reaper.end_all_with_this_process()
    rows: list[Row] = []
    with machine() as bench:
        for python in arguments.pythons:
            for way in arguments.ways:
                found = one_way(bench, python, way, arguments.apps, arguments.rounds, arguments.seconds)
                print(*map(line, found), sep="\n", flush=True)
                rows += found
        for name, reason in bench.missing.items():
            print(f"{name}: {reason}")
    if arguments.into:
        report = json.loads(arguments.into.read_text())
        report["collector"] = {"time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "rows": rows}
        arguments.into.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
