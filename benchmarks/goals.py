"""What the project wants to reach, as ratios from one run, and what a run found."""

from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import Any

from . import single
from .plan import NAMES

Report = dict[str, Any]

PEERS = ("starsessions", "fastapi-users", "authx")
OURS = {"jwtsession": "", "jwtsession-near": ", near cache"}

# Of the CPU that the hand-written dependency adds to a request.
_SHARES = (("jwtsession", 64, 0.20), ("jwtsession-near", 64, 0.08), ("jwtsession", 1, 0.60))
_AGAINST = {
    "original": {"jwtsession": 1.2, "jwtsession-near": 1.6},
    **{peer: {"jwtsession": 2.5, "jwtsession-near": 3.2} for peer in PEERS},
}
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

    for app, connections, limit in _SHARES:
        what = f"CPU that a session adds, as a share of the hand-written one's, {number_of(connections)}{OURS[app]}"
        goal(what, limit, shares(report, app, connections))
    for peer, limits in _AGAINST.items():
        for app, limit in limits.items():
            what = f"requests per second against {NAMES[peer]}{OURS[app]}"
            goal(what, limit, _ratios(report, app, peer, 64, "requests_per_second"), at_least=True)
    for app in OURS:
        measured = rounds(report, app, 64)
        goal(f"commands at the server for each request{OURS[app]}", 1.0, [each["commands"] for each in measured])
        # A measurement takes less than a `touch_interval`.
        writes = [round(each["writes"] * each["requests"]) / 64 for each in measured]
        goal(f"writes at the server for each session within `touch_interval`{OURS[app]}", 1.0, writes)
    if (rest := report["in_process"]) is not None:
        for name, trips in rest["round_trips"].items():
            goal(f"round trips of `{name}`, {single.USERS_SESSIONS:,} sessions", _TRIPS[name], [trips])
        goal("`import jwtsession`, milliseconds", _IMPORT_MS, [rest["import_ms"]["median"]])
        few, many = rest["loads"]
        if many["sessions"] == single.MANY:
            ratios = [after / before for before, after in zip(few["rounds"], many["rounds"], strict=True)]
            goal(f"time to load one of {single.MANY:,} sessions against one of {single.FEW:,}", _MANY, ratios)
    return found


def rounds(report: Report, app: str, connections: int, variation: str = "") -> list[dict[str, Any]]:
    """What was measured of an application in each round; nothing where it was not measured."""
    for each in report["requests"]:
        if (each["app"], each["connections"], each["variation"]) == (app, connections, variation):
            measured: list[dict[str, Any]] = each["rounds"]
            return measured
    return []


def added_us(report: Report, app: str, connections: int) -> list[float]:
    """Microseconds of CPU that an application adds to a bare request, in each round."""
    return _each_round(report, (app, "bare"), connections, "cpu_us", lambda ours, bare: ours - bare)


def shares(report: Report, app: str, connections: int) -> list[float]:
    """What an application adds, as a share of what the hand-written dependency adds, in each round.

    Whatever else the machine did in a round was the same for all. A round in which noise swallowed the difference has
    no ratio.
    """
    ours, by_hand = added_us(report, app, connections), added_us(report, "handwritten", connections)
    return [a / b for a, b in zip(ours, by_hand, strict=True) if b > 0] if ours else []


def _ratios(report: Report, app: str, peer: str, connections: int, name: str) -> list[float]:
    return _each_round(report, (app, peer), connections, name, lambda ours, theirs: ours / theirs)


def _each_round(
    report: Report, apps: tuple[str, str], connections: int, name: str, of: Callable[[float, float], float]
) -> list[float]:
    one, other = ([each[name] for each in rounds(report, app, connections)] for app in apps)
    if not one or not other or None in one or None in other:
        return []
    return [of(a, b) for a, b in zip(one, other, strict=True)]


def number_of(connections: int) -> str:
    """In words."""
    return "1 connection" if connections == 1 else f"{connections} connections"
