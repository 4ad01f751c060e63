"""Reads the rounds of a report: what an application adds to its baseline, and ratios of two applications.

Only figures of the same round are compared: whatever else the machine did in a round was the same for all.
"""

from collections.abc import Callable
from typing import Any

from .plan import BASELINES

Report = dict[str, Any]


def of(report: Report, connections: int, variation: str) -> list[dict[str, Any]]:
    """All applications that were measured so."""
    wanted = (connections, variation)
    return [each for each in report["requests"] if (each["connections"], each["variation"]) == wanted]


def find(report: Report, app: str, connections: int, variation: str = "") -> dict[str, Any] | None:
    """What was measured of this application; None where nothing was."""
    return next((each for each in of(report, connections, variation) if each["app"] == app), None)


def rounds(report: Report, app: str, connections: int, variation: str = "") -> list[dict[str, Any]]:
    """The rounds of this application; none where nothing was measured."""
    found = find(report, app, connections, variation)
    return found["rounds"] if found else []


def added_us(report: Report, app: str, connections: int, variation: str = "") -> list[float]:
    """Microseconds of CPU that a session adds to a request, in each round.

    The baseline is the application's own framework without sessions, in the same variation where that was measured.
    """
    baseline = BASELINES.get(app)
    if baseline is None:
        return []
    where = variation if rounds(report, baseline, connections, variation) else ""
    ours, bare = rounds(report, app, connections, variation), rounds(report, baseline, connections, where)
    return _pairs(ours, bare, "cpu_us", lambda with_session, without: with_session - without)


def shares(report: Report, app: str, other: str, connections: int, variation: str = "") -> list[float]:
    """What one application adds, as a share of what another adds, in each round.

    A round in which noise swallowed the difference has no ratio.
    """
    ours, theirs = (added_us(report, name, connections, variation) for name in (app, other))
    return [a / b for a, b in zip(ours, theirs, strict=True) if b > 0] if ours and theirs else []


def ratios(report: Report, app: str, other: str, name: str, connections: int, variation: str = "") -> list[float]:
    """A figure of one application against another's, in each round."""
    one, two = (rounds(report, each, connections, variation) for each in (app, other))
    return _pairs(one, two, name, lambda ours, theirs: ours / theirs)


def cluster_times(report: Report) -> list[float]:
    """What a load costs in a cluster, in each round, in multiples of what it costs with one server."""
    found = (report["in_process"] or {}).get("cluster")
    return [three / one for one, three in zip(found["one_us"], found["three_us"], strict=True)] if found else []


def _pairs(
    one: list[dict[str, Any]], other: list[dict[str, Any]], name: str, combine: Callable[[float, float], float]
) -> list[float]:
    values = [(a[name], b[name]) for a, b in zip(one, other, strict=True)] if one and other else []
    return [] if any(None in each for each in values) else [combine(a, b) for a, b in values]
