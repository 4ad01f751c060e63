"""What the benchmark counts of Python's garbage collector, and how the docs' page shows it."""

import asyncio
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import collector, page, serve, servers, tables
from tests.asgi import ask

from .shop import ROOT

RESULTS = ROOT / "benchmarks" / "results.json"


@pytest.fixture
def counted() -> Iterator[Any]:
    """An application that answers the kind of its scope, and counts."""
    before = gc.callbacks[:]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418})

    gc.disable()
    yield serve.counted(application)
    gc.enable()
    gc.callbacks[:] = before


def test_collections_are_counted_by_generation_since_the_last_question(counted: Any) -> None:
    """Each is counted once, with the CPU time of all of them and of the longest; every other request is passed on."""

    async def run() -> list[Any]:
        await ask(counted, "GET", serve.COUNTS)
        for generation in (0, 0, 1, 2):
            gc.collect(generation)
        return [(await ask(counted, "GET", path)) for path in (serve.COUNTS, serve.COUNTS, "/")]

    first, second, other = asyncio.run(run())
    found = first.json()
    assert found["collections"] == [2, 1, 1]
    assert 0 < found["longest"] <= found["seconds"] < 5
    assert second.json() == {"collections": [0, 0, 0], "seconds": 0, "longest": 0}
    assert other.status == 418


def test_an_application_freezes_when_it_is_told_to(counted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a POST, before the count begins anew: the collection that comes before it is not counted."""
    frozen: list[str] = []
    monkeypatch.setattr("gc.freeze", lambda: frozen.append("now"))

    async def run() -> Any:
        await ask(counted, "GET", serve.COUNTS)
        assert not frozen
        await ask(counted, "POST", serve.COUNTS)
        return (await ask(counted, "GET", serve.COUNTS)).json()

    assert asyncio.run(run())["collections"] == [0, 0, 0]
    assert frozen == ["now"]


def row(way: str, app: str, requests: int = 2_000, **changes: Any) -> collector.Row:
    found = {"python": "3.11.7", "way": way, "app": app, "requests": requests, "collections": [200, 20, 2]}
    return found | {"seconds": 0.1, "longest": 0.0421} | changes


def test_figures_are_for_one_request_and_for_a_thousand() -> None:
    """From sums over all rounds."""
    found = row("default", "bare")
    assert (collector.us(found), collector.per_1000(found)) == (50, [100, 10, 1])
    assert "50.0 µs a request, longest  42.1 ms; for 1,000 requests 100.00, 10.00,  1.00" in collector.line(found)


def test_the_page_shows_what_was_counted_where_the_collector_is_explained() -> None:
    """A row for each Python and way, a column for each application; without figures no table."""
    report = json.loads(RESULTS.read_text())
    report.pop("collector", None)
    assert tables.collections(report) is None
    without = page.markdown(report)
    rows = [row("default", "bare"), row("default", "jwtsession", seconds=0.2), row("frozen", "jwtsession")]
    made = page.markdown(report | {"collector": {"time": "2026-11-26T10:00:00+00:00", "rows": rows}})
    assert "{" not in made.partition("## Side by side")[0]
    start = made.index("What the collector takes of each request")
    assert made.index("## The garbage collector") < start < made.index("What to know before you freeze")
    table = made[start:].split("\n\n")[1].splitlines()
    assert table == [
        "|  | FastAPI alone | jwtsession |",
        "| --- | ---: | ---: |",
        "| Python 3.11.7, default | 50 µs, 42.1 ms | 100 µs, 42.1 ms |",
        "| Python 3.11.7, frozen |  | 50 µs, 42.1 ms |",
    ]
    assert "counted it on 2026-11-26" in made
    assert without == made[: start - 1] + made[made.index("\nWhat to know before you freeze") :]


@pytest.mark.ci
def test_each_way_makes_the_collector_work_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this Python, with real servers: the threshold ends nearly all collections; what is frozen is not looked at."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with servers.machine() as bench:
        python = collector.PYTHONS[0]
        found = {way: collector.one_way(bench, python, way, ["handwritten"], 2, 0.5) for way in collector.WAYS}
    rows = {way: each for way, (each,) in found.items()}
    assert all(each["requests"] > 0 for each in rows.values())
    for way in ("at 50,000", "frozen, at 50,000"):
        assert sum(collector.per_1000(rows[way])) < sum(collector.per_1000(rows["default"])) / 5
