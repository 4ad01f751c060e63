"""A report as text for the terminal, and as the docs' page "Performance"."""

from statistics import median
from typing import Any

from . import charts as drawings
from . import goals
from .plan import COLD_SESSIONS, NAMES
from .single import CACHED

Report = dict[str, Any]
Row = list[str]


def text(report: Report) -> str:
    """All tables, and which goals were reached."""
    parts = [_about(report)]
    reached = (
        [("Goals", ["", "goal", "measured"], [_goal(each) for each in report["goals"]])] if report["goals"] else []
    )
    for title, header, rows in [*reached, *_tables(report)]:
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in [header, *rows]
        ]
        parts.append("\n".join([title, *lines]))
    return "\n\n".join(parts)


def markdown(report: Report) -> str:
    """The page."""
    charts = "\n\n".join(_charts(report))
    parts = [_INTRODUCTION.format(expected=_expected(report), about=_about(report), charts=charts)]
    for title, header, rows in _tables(report):
        lines = ["| " + " | ".join(row) + " |" for row in [header, ["---", *["---:"] * (len(header) - 1)], *rows]]
        parts.append("\n".join([f"## {title}", "", *lines]))
    parts.append(_NOTES)
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """# Performance

<!-- Made by `python -m benchmarks --page`: change benchmarks/page.py, not this. -->

What to expect of a session's cost, and what an application can do about it.

{expected}

These are figures of one run on one machine:

**{about}**

Machines differ, and so do runs. What holds elsewhere are the ratios between figures of one run. `make bench` makes all
of these figures anew where you are, `make bench BENCH=--quick` some of them in about two minutes.

## What an application can do

- Ask for the session where it is needed. An endpoint that does not ask pays nothing, and Redis is not asked.
- `pip install 'fastapi-jwtsession[hiredis]'` and uvicorn's `standard` extra: the parser of Redis's protocol, the event
  loop and the parser of HTTP that were measured here.
- Keep Redis near. Its distance is added to each request once, however many requests wait.
- `gc.set_threshold(50_000)` where the application starts. Python's garbage collector looks at young objects after every
  700 of them, by default, and requests that wait for Redis at the same time make many that live for a moment. It pays
  where many requests are under way at once, and costs some memory: see *collector at 50,000* below.
- The [near cache](guides/near-cache.md), where a session may be served a moment longer than it lives.
- More workers: each has its own caches, and they share nothing but Redis.
- Keep sessions small. What is large and seldom needed belongs into a database.

## Side by side

Each application is one FastAPI process under uvicorn (uvloop, httptools) with one endpoint, which needs a session and
answers two things that it holds; the original is the same on Express. All were measured in one run, in rounds that took
turns, on the same core, with the same Valkey beside them.

{charts}"""

_NOTES = f"""## What is measured

- *FastAPI alone* is an endpoint without a session. What another application takes more of the processor is what its
  session adds.
- *A dependency that does nothing* answers the same without a session: what FastAPI itself takes for any dependency, and
  so the least that a session can add.
- *PyJWT + redis-py by hand* is a dependency of ten lines: `jwt.decode`, `GETEX`, `json.loads`.
- *starsessions* uses its `RedisStore` and rolling sessions; *fastapi-users* its `RedisStrategy`, with users from a
  dictionary, for nothing; *AuthX* has no store, so nothing that it issues can be revoked.
- The Python ones among them have a pool of 1,000 connections to the store: with redis-py's 100 they would answer some
  of 256 clients with 500.
- CPU is the time that the server's process spends, by the system's account. Where a cell has a range, these are the
  quartiles over the rounds.
- Sessions of 200 bytes, HS256, one worker and warm caches, where nothing else is said. Every client has its own
  session.
- *Cold caches*: each request brings a token that its worker has not seen, {COLD_SESSIONS:,} of them.
- *Collector at 50,000*: the application has called `gc.set_threshold(50_000)`.
- *Two workers* share what cores are left when the load has one."""


def _expected(report: Report) -> str:
    """What a user may expect, in sentences. A run without a figure has no sentence about it."""
    lines = []
    added = {app: median(found) for app in NAMES if (found := goals.added_us(report, app, 64))}
    if added.keys() >= {"jwtsession", "handwritten"}:
        near = f", {added['jwtsession-near']:.0f} µs with the near cache" if "jwtsession-near" in added else ""
        lines.append(
            f"**CPU.** With 64 clients a session adds {added['jwtsession']:.0f} µs to a request{near}; a dependency by"
            f" hand adds {added['handwritten']:.0f} µs."
        )
    rates = {each["app"]: each["requests_per_second"]["median"] for each in _of(report, 64, "")}
    if rates.keys() >= {"jwtsession", "bare"}:
        near = f", {rates['jwtsession-near']:,.0f} with the near cache" if "jwtsession-near" in rates else ""
        lines.append(
            f"**Throughput.** A worker that answers {rates['bare']:,.0f} requests a second without sessions answers"
            f" {rates['jwtsession']:,.0f} with them{near}."
        )
    lines.append(
        "**Redis.** One command in one round trip for each request that asks for a session, and requests that wait at"
        " the same time share a round trip. One write for each session within `touch_interval`, a minute by default."
        " [Rotation](guides/rotation.md) adds one command, in the same round trip, and so does"
        " [DPoP](guides/dpop.md#what-it-costs), which also has a signature to check for each request."
    )
    small, large = (_cpu(report, 64, variation) for variation in ("", "64 KB"))
    if small and large:
        lines.append(
            f"**Size.** A request with a session of 64 KB, the largest, takes {large / small:.1f} times the CPU of one"
            " with a session of 200 bytes."
        )
    if rest := report["in_process"]:
        trips = rest["round_trips"]
        few, many = (each["us"]["median"] for each in rest["loads"])
        counts = [each["sessions"] for each in rest["loads"]]
        lines.append(
            f"**Many sessions.** To load one of {counts[1]:,} takes {many / few:.2f} times as long as one of"
            f" {counts[0]:,}."
        )
        lines.append(
            f"**A user's sessions.** `list_sessions` takes {trips['list_sessions']} round trips, `revoke_all`"
            f" {trips['revoke_all']}, for 1,000 sessions of one user: in pages, so that others are served in between."
        )
        sizes = {name: size / 1e6 for name, size in rest["memory_bytes"].items()}
        lines.append(
            "**Memory.** In each worker at most what `token_cache_bytes` and `near_cache_bytes` permit:"
            f" {CACHED:,} tokens take {sizes['token cache']:.0f} MB, as many sessions {sizes['near cache']:.0f} MB."
        )
        lines.append(f"**Start.** `import jwtsession` takes {rest['import_ms']['median']:.0f} ms.")
    return "\n".join(f"- {line}" for line in lines)


def _of(report: Report, connections: int, variation: str) -> list[Report]:
    wanted = (connections, variation)
    return [each for each in report["requests"] if (each["connections"], each["variation"]) == wanted]


def _cpu(report: Report, connections: int, variation: str) -> float | None:
    """Microseconds of CPU that a request takes, with a session of ours."""
    ours = [each["cpu_us"] for each in _of(report, connections, variation) if each["app"] == "jwtsession"]
    return float(ours[0]["median"]) if ours and ours[0] else None


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


def _tables(report: Report) -> list[tuple[str, Row, list[Row]]]:
    requests = report["requests"]
    tables: list[tuple[str, Row, list[Row]]] = []
    header = ["", "requests/s", "latency p50, ms", "p99, ms", "CPU, µs", "a session adds, µs"]
    for connections in sorted({each["connections"] for each in requests}):
        rows = [
            [NAMES[each["app"]], *_costs(each), _added(report, each)]
            for each in requests
            if each["connections"] == connections and not each["variation"]
        ]
        tables.append((goals.number_of(connections), header, rows))
    if varied := [each for each in requests if each["variation"]]:
        rows = [[f"{each['variation']}: {NAMES[each['app']]}", *_costs(each)] for each in varied]
        tables.append(("Other sessions, keys and workers, 64 connections", header[:-1], rows))
    if rest := report["in_process"]:
        rows = [[each["what"], _shown(each["us"], 1)] for name in ("tokens", "store") for each in rest[name]]
        rows += [[f"load one of {each['sessions']:,} sessions", _shown(each["us"], 1)] for each in rest["loads"]]
        tables.append(("In one process, one call after the other", ["", "µs"], rows))
        rows = [[f"{name}, {CACHED:,} entries", f"{size / 1e6:.0f}"] for name, size in rest["memory_bytes"].items()]
        tables.append(("Memory", ["", "MB"], rows))
    if peers := report["peers"] | {NAMES[name]: {"missing": reason} for name, reason in report["missing"].items()}:
        rows = [[name, ", ".join(f"{package} {version}" for package, version in peers[name].items())] for name in peers]
        tables.append(("Beside it", ["", "versions"], rows))
    return tables


def _goal(each: dict[str, Any]) -> Row:
    limit = f"{'≥' if each['at_least'] else '≤'} {each['limit']:g}"
    digits = 1 if each["median"] >= 10 else 2
    return [each["goal"], limit, _shown(each, digits) + ("" if each["met"] else " (missed)")]


def _costs(each: dict[str, Any]) -> Row:
    latencies = [_shown(each[name], 2, 1_000) for name in ("latency_p50_us", "latency_p99_us")]
    return [_shown(each["requests_per_second"], 0), *latencies, _shown(each["cpu_us"], 0)]


def _added(report: Report, each: dict[str, Any]) -> str:
    added = goals.added_us(report, each["app"], each["connections"])
    return f"{median(added):.0f}" if added and each["app"] not in ("bare", "original") else ""


def _shown(value: dict[str, float] | None, digits: int, unit: float = 1) -> str:
    if value is None:
        return "?"
    middle, low, high = (f"{value[name] / unit:,.{digits}f}" for name in ("median", "p25", "p75"))
    return middle if low == high else f"{middle} ({low}-{high})"


def _charts(report: Report) -> list[str]:
    here = _of(report, 64, "")
    served = {NAMES[each["app"]]: each["requests_per_second"]["median"] for each in here}
    drawn = [drawings.bars("Requests per second, 64 connections", served, "jwtsession")]
    for connections in (64, 1):
        added = {
            NAMES[app]: median(values)
            for app in NAMES
            if app not in ("bare", "original") and (values := goals.added_us(report, app, connections))
        }
        drawn.append(
            drawings.bars(f"µs of CPU that a session adds, {goals.number_of(connections)}", added, "jwtsession")
        )
    return drawn
