"""A report as text for the terminal, and as the docs' page "Performance"."""

from statistics import median

from . import charts as drawings
from .figures import Report, cluster_times, find, of
from .plan import FROZEN, NAMES
from .prose import ADVICE, HOW_COLLECTOR, INTRODUCTION, NOTES
from .single import CACHED
from .tables import Row, added, collections, tables

_LEAD = ("bare", "jwtsession", "jwtsession-near", "handwritten")
"""The applications of the first table."""
_TITLES = {"bare": "no session", "jwtsession": "jwtsession", "jwtsession-near": "with the near cache"}

_LEADING = (
    ("CPU of a request", "cpu_us", 1, " µs"),
    ("requests a second", "requests_per_second", 1, ""),
    ("the slowest 1 % take longer than", "latency_p99_us", 1_000, " ms"),
)


def text(report: Report) -> str:
    """All tables."""
    parts = [_about(report)]
    for title, header, rows in tables(report):
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in [header, *rows]
        ]
        parts.append("\n".join([title, *lines]))
    return "\n\n".join(parts)


def markdown(report: Report) -> str:
    """The page."""
    values = {
        "lead": _lead(report),
        "expected": _expected(report),
        "about": _about(report),
        "advice": ADVICE.format(collector=_collector(report)),
        "charts": "\n\n".join(_charts(report)),
    }
    parts = [INTRODUCTION.format(**values)]
    parts += [f"## {title}\n\n{_markdown(header, rows)}" for title, header, rows in tables(report)]
    return "\n\n".join([*parts, NOTES]) + "\n"


def _markdown(header: Row, rows: list[Row]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---", *["---:"] * (len(header) - 1)], *rows])


def _lead(report: Report) -> str:
    """The three figures that most readers look for: CPU, throughput, the slowest requests."""
    apps = [app for app in _LEAD if find(report, app, 64)]
    rows = []
    for variation, when in (("", ""), (FROZEN, ", `gc.freeze()`")):
        costs = [each for app in apps if (each := find(report, app, 64, variation))]
        if len(costs) == len(apps):
            rows += [
                [
                    f"{what}{when}",
                    *(f"{each[name]['median'] / unit:,.0f}{suffix}" if each[name] else "?" for each in costs),
                ]
                for what, name, unit, suffix in _LEADING
            ]
    table = _markdown(["", *(_TITLES.get(app, "by hand") for app in apps)], rows)
    return f"What one worker does for 64 clients that ask at the same time:\n\n{table}"


def _expected(report: Report) -> str:
    """What a user may expect, in sentences. A run without a figure has no sentence about it."""
    lines = []
    adds = added(report, 64)
    if adds.keys() >= {"jwtsession", "handwritten"}:
        near = f", {adds['jwtsession-near']:.0f} µs with the near cache" if "jwtsession-near" in adds else ""
        lines.append(
            f"**CPU.** A session adds {adds['jwtsession']:.0f} µs to a request{near}; a dependency by hand (PyJWT,"
            f" redis-py) adds {adds['handwritten']:.0f} µs."
        )
    lines.append(
        "**Redis.** One command in one round trip for each request that asks for a session, and requests that wait at"
        " the same time share a round trip. One write for each session within `touch_interval`, a minute by default."
        " [Rotation](guides/rotation.md) adds one command, in the same round trip, and so does"
        " [DPoP](guides/dpop.md#what-it-costs), which also has a signature to check for each request."
    )
    small, large = (_cpu(report, variation) for variation in ("", "64 KB"))
    if small and large:
        lines.append(
            f"**Size.** A request with a session of 64 KB, the largest, takes {large / small:.1f} times the CPU of one"
            " with a session of 200 bytes."
        )
    if rest := report["in_process"]:
        sizes = {name: size / 1e6 for name, size in rest["memory_bytes"].items()}
        lines.append(
            "**Memory.** In each worker at most what `token_cache_bytes` and `near_cache_bytes` permit:"
            f" {CACHED:,} tokens take {sizes['token cache']:.0f} MB, as many sessions {sizes['near cache']:.0f} MB."
        )
        few, many = (each["us"]["median"] for each in rest["loads"])
        counts = [each["sessions"] for each in rest["loads"]]
        lines.append(
            f"**Many sessions.** To load one of {counts[1]:,} takes {many / few:.2f} times as long as one of"
            f" {counts[0]:,}."
        )
        trips = rest["round_trips"]
        lines.append(
            f"**A user's sessions.** `list_sessions` takes {trips['list_sessions']} round trips, `revoke_all`"
            f" {trips['revoke_all']}, for 1,000 sessions of one user: in pages, so that others are served in between."
        )
        if times := cluster_times(report):
            lines.append(
                f"**A cluster.** With 64 loads that wait, one costs {median(times):.2f} times as much CPU in a cluster"
                " of 3 primaries as with one server."
            )
        if stops := rest.get("stops"):
            longest, most = max(each["ms"] for each in stops), max(each["sessions"] for each in stops)
            lines.append(
                f"**A user with {most:,} sessions** keeps the event loop for {longest:.0f} ms at a time at most (the"
                " garbage collector aside), in `list_sessions`, `revoke_all`, and a login that ends other sessions."
            )
        lines.append(f"**Start.** `from jwtsession import SessionProvider` takes {rest['import_ms']['median']:.0f} ms.")
    return "\n".join(f"- {line}" for line in lines)


def _collector(report: Report) -> str:
    """The table of what the collector does, with what it says; nothing if that was not counted."""
    table = collections(report)
    if table is None:
        return ""
    title, header, rows = table
    how = HOW_COLLECTOR.format(date=report["collector"]["time"][:10])
    return f"\n{title}:\n\n{_markdown(header, rows)}\n\n{how}\n"


def _cpu(report: Report, variation: str) -> float | None:
    """Microseconds of CPU that a request takes, with a session of ours."""
    ours = find(report, "jwtsession", 64, variation)
    return float(ours["cpu_us"]["median"]) if ours and ours["cpu_us"] else None


def _about(report: Report) -> str:
    versions, effort = report["versions"], report["effort"]
    machine = report["machine"]
    cores = f"{machine['cores']} {'core' if machine['cores'] == 1 else 'cores'}"
    commit = (report["commit"] or "unknown")[:7] + " and changes" * report["changed_files"]
    return (
        f"{report['time'][:10]}, commit {commit}."
        f" jwtsession {versions['jwtsession']}, FastAPI {versions['fastapi']}, Python {versions['python']},"
        f" {report['engine'].capitalize()}. {machine['processor']}, {cores}."
        f" Medians of {effort['rounds']} rounds of {effort['seconds']:g} seconds each."
    )


def _charts(report: Report) -> list[str]:
    served = {NAMES[each["app"]]: each["requests_per_second"]["median"] for each in of(report, 64, "")}
    adds = {NAMES[app]: value for app, value in added(report, 64).items()}
    return [
        drawings.bars("Requests per second, 64 connections", served, "jwtsession"),
        drawings.bars("µs of CPU that a session adds, 64 connections", adds, "jwtsession"),
    ]
