"""The tables of a report, for the terminal and for the page."""

from statistics import median, quantiles
from typing import Any

from . import collector
from .figures import Report, added_us, find, of
from .goals import number_of
from .plan import FROZEN, NAMES, THRESHOLD
from .single import CACHED

Row = list[str]
Table = tuple[str, Row, list[Row]]
"""The title, the header, the rows."""

_COSTS = ["requests/s", "latency p50, ms", "p99, ms", "CPU, µs", "a session adds, µs"]
_FIRST = 64
"""The table with so many connections comes first."""
_COLLECTORS = {"": "default", FROZEN: "frozen", THRESHOLD: "at 50,000"}


def tables(report: Report) -> list[Table]:
    """All of them. What was not measured has no row."""
    numbers = sorted(
        {each["connections"] for each in report["requests"]}, key=lambda number: (number != _FIRST, number)
    )
    found = [(number_of(number), ["", *_COSTS], _rows(report, of(report, number, ""))) for number in numbers]
    found += _collectors(report)
    varied = [each for each in report["requests"] if each["variation"] not in _COLLECTORS]
    found.append((f"Other sessions, keys, servers and Pythons, {number_of(64)}", ["", *_COSTS], _rows(report, varied)))
    if rest := report["in_process"]:
        rows = [[each["what"], shown(each["us"], 1)] for name in ("tokens", "store") for each in rest[name]]
        rows += [[f"load one of {each['sessions']:,} sessions", shown(each["us"], 1)] for each in rest["loads"]]
        found.append(("In one process, one call after the other", ["", "µs"], rows))
        rows = [[f"{name}, {CACHED:,} entries", f"{size / 1e6:.0f}"] for name, size in rest["memory_bytes"].items()]
        found.append(("Memory", ["", "MB"], rows))
    peers = report["peers"] | {_server(name): {"missing": why} for name, why in report["missing"].items()}
    rows = [[name, ", ".join(f"{package} {version}" for package, version in peers[name].items())] for name in peers]
    found.append(("Beside it", ["", "versions"], rows))
    return [each for each in found if each[2]]


def _rows(report: Report, measured: list[dict[str, Any]]) -> list[Row]:
    rows = []
    for each in measured:
        name = f"{each['variation']}: {NAMES[each['app']]}" if each["variation"] else NAMES[each["app"]]
        added = added_us(report, each["app"], each["connections"], each["variation"])
        latencies = [shown(each[latency], 2, 1_000) for latency in ("latency_p50_us", "latency_p99_us")]
        costs = [shown(each["requests_per_second"], 0), *latencies, shown(each["cpu_us"], 0)]
        rows.append([name, *costs, shown(_summary(added), 0) if added else ""])
    return rows


def _collectors(report: Report) -> list[Table]:
    """How the collector runs makes the columns."""
    apps = [name for name in NAMES if any(find(report, name, 64, way) for way in (FROZEN, THRESHOLD))]
    header = ["", *_COLLECTORS.values()]
    found: list[Table] = []
    for name, title, digits, unit in (("cpu_us", "CPU, µs", 0, 1), ("latency_p99_us", "p99, ms", 2, 1_000)):
        rows = [
            [NAMES[app], *(shown(each[name], digits, unit) if each else "" for each in _ways(report, app))]
            for app in apps
        ]
        found.append((f"Python's collector, {number_of(64)}: {title}", header, rows))
    return found


def collections(report: Report) -> Table | None:
    """What `python -m benchmarks.collector` has counted; None if the report has nothing of that."""
    if "collector" not in report:
        return None
    found = {(each["python"], each["way"], each["app"]): each for each in report["collector"]["rows"]}
    apps = [app for app in collector.APPS if any(app == each for _, _, each in found)]
    rows = [
        [f"Python {python}, {way}", *(_collected(found.get((python, way, app))) for app in apps)]
        for python, way in dict.fromkeys((python, way) for python, way, _ in found)
    ]
    title = f"What the collector takes of each request by CPU, and its longest stop, {number_of(collector.CLIENTS)}"
    return title, ["", *(NAMES[app] for app in apps)], rows


def _collected(row: collector.Row | None) -> str:
    return f"{collector.us(row):.0f} µs, {1_000 * row['longest']:.1f} ms" if row else ""


def _ways(report: Report, app: str) -> list[dict[str, Any] | None]:
    return [find(report, app, 64, way) for way in _COLLECTORS]


def _server(name: str) -> str:
    app, _, variation = name.partition(", ")
    return ", ".join([NAMES.get(app, app), *([variation] if variation else [])])


def _summary(values: list[float]) -> dict[str, float]:
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": middle, "p25": low, "p75": high}


def shown(value: dict[str, float] | None, digits: int, unit: float = 1) -> str:
    """The median, and the quartiles where they differ."""
    if value is None:
        return "?"
    middle, low, high = (f"{value[name] / unit:,.{digits}f}" for name in ("median", "p25", "p75"))
    return middle if low == high else f"{middle} ({low}-{high})"


def added(report: Report, connections: int) -> dict[str, float]:
    """The median of what a session adds, in microseconds of CPU, for each application."""
    return {app: median(values) for app in NAMES if (values := added_us(report, app, connections))}
