"""What the project wants to reach, as ratios from one run, and what a run found: `python -m benchmarks --goals`."""

from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any

from . import single
from .figures import Report, cluster_times, ratios, rounds, shares
from .plan import FROZEN, NAMES

OURS = {"jwtsession": "", "jwtsession-near": ", near cache"}
RIVALS = ("fastapi-redis-sdk", "starsessions", "fastapi-users", "authx")

# The application, the connections, the collector; of the CPU that the hand-written dependency adds to a request.
_SHARES = (
    ("jwtsession", 64, "", 0.20),
    ("jwtsession", 64, FROZEN, 0.14),
    ("jwtsession-near", 64, FROZEN, 0.08),
)
_AGAINST = {"jwtsession": 2.5, "jwtsession-near": 3.2}
_P99 = 1.5
_IDEAL = 1.1
_CLUSTER = 1.3
_MEMORY_MB = {"token cache": 40, "near cache": 35}
_STOP_MS = 20
_TRIPS = {"list_sessions": 45, "revoke_all": 70}  # two and three for each page of 50
_IMPORT_MS = 50
_MANY = 1.1


def reached(report: Report) -> list[dict[str, Any]]:
    """Every goal that the run has figures for: what it is, its limit, and the median with its quartiles."""
    found: list[dict[str, Any]] = []

    def goal(what: str, limit: float, values: Sequence[float], at_least: bool = False) -> None:
        if not values:
            return
        middle = median(values)
        low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [middle] * 3
        met = middle >= limit if at_least else middle <= limit
        found.append(
            {"goal": what, "limit": limit, "at_least": at_least, "met": met}
            | {"median": middle, "p25": low, "p75": high}
        )

    for app, connections, variation, limit in _SHARES:
        what = f"CPU that a session adds, as a share of the hand-written one's, {number_of(connections)}{OURS[app]}"
        goal(_with(what, variation), limit, shares(report, app, "handwritten", connections, variation))
    what = f"p99 against FastAPI alone, {number_of(64)}, {FROZEN}"
    goal(what, _P99, ratios(report, "jwtsession", "bare", "latency_p99_us", 64, FROZEN))
    what = f"CPU that a session adds, against a batched GET + validation, {number_of(1)}"
    goal(what, _IDEAL, shares(report, "jwtsession", "ideal", 1))
    for rival in RIVALS:
        for app, limit in _AGAINST.items():
            what = f"requests per second against {NAMES[rival]}{OURS[app]}"
            goal(what, limit, ratios(report, app, rival, "requests_per_second", 64), at_least=True)
    for app in OURS:
        measured = rounds(report, app, 64)
        goal(f"commands at the server for each request{OURS[app]}", 1.0, [each["commands"] for each in measured])
        # A measurement takes less than a `touch_interval`.
        writes = [round(each["writes"] * each["requests"]) / 64 for each in measured]
        goal(f"writes at the server for each session within `touch_interval`{OURS[app]}", 1.0, writes)
    if (rest := report["in_process"]) is not None:
        for name, trips in rest["round_trips"].items():
            goal(f"round trips of `{name}`, {single.USERS_SESSIONS:,} sessions", _TRIPS[name], [trips])
        for name, size in rest["memory_bytes"].items():
            goal(f"MB of {single.CACHED:,} entries, {name}", _MEMORY_MB[name], [size / 1e6])
        goal("`from jwtsession import SessionProvider`, milliseconds", _IMPORT_MS, [rest["import_ms"]["median"]])
        few, many = rest["loads"]
        if many["sessions"] == single.MANY:
            times = [after / before for before, after in zip(few["rounds"], many["rounds"], strict=True)]
            goal(f"time to load one of {single.MANY:,} sessions against one of {single.FEW:,}", _MANY, times)
        what = "CPU of a load, a cluster of 3 primaries against one server, 64 waiting"
        goal(what, _CLUSTER, cluster_times(report))
        for stop in rest.get("stops", []):
            what = f"longest turn of the event loop in ms, {stop['sessions']:,} sessions: {stop['what']}"
            goal(what, _STOP_MS, [stop["ms"]])
    return found


def text(report: Report) -> str:
    """A table for the terminal."""
    header = ["", "goal", "measured", ""]
    rows = [header, *(_row(each) for each in reached(report))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:3], widths[1:3]), row[3]]).rstrip() for row in rows
    )


def _row(each: dict[str, Any]) -> list[str]:
    digits = 1 if each["median"] >= 10 else 2
    middle, low, high = (f"{each[name]:,.{digits}f}" for name in ("median", "p25", "p75"))
    shown = middle if low == high else f"{middle} ({low}-{high})"
    return [
        each["goal"],
        f"{'≥' if each['at_least'] else '≤'} {each['limit']:g}",
        shown,
        "" if each["met"] else "missed",
    ]


def _with(what: str, variation: str) -> str:
    return f"{what}, {variation}" if variation else what


def number_of(connections: int) -> str:
    """In words."""
    return "1 connection" if connections == 1 else f"{connections} connections"
