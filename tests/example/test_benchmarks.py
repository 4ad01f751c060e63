"""The benchmark runs, its report says what somebody needs who measures again, and the docs' page is made of one."""

import asyncio
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures, goals, page, plan, serve

from .shop import ROOT, clean_environment

OURS = ("bare", "empty", "ideal", "handwritten", "jwtsession", "jwtsession-near")
RESULTS = ROOT / "benchmarks" / "results.json"


def benchmark(*arguments: str, folder: Path) -> str:
    # Without the programs of the machine: there is no Node.
    environment = clean_environment() | {"TMPDIR": str(folder), "PATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a tiny run printed, and its report."""
    folder = tmp_path_factory.mktemp("bench")
    report = folder / "new" / "report.json"
    tiny = ("--quick", "--rounds", "2", "--seconds", "0.1", "--only", *OURS, "original")
    printed = benchmark(*tiny, "--json", str(report), folder=folder)
    assert printed.endswith(f"{report}\n")
    assert list(folder.iterdir()) == [report.parent]  # the folders of the servers are gone
    return printed, json.loads(report.read_text())


@pytest.mark.ci
def test_the_report_is_what_somebody_needs_who_measures_again(ran: tuple[str, dict[str, Any]]) -> None:
    """Versions, engine, machine, commit and effort; every round of every figure; and what could not be had."""
    _, found = ran
    assert found["engine"].startswith("valkey ")
    assert {"python", "fastapi", "redis", "PyJWT", "jwtsession", "uvicorn"} <= found["versions"].keys()
    assert {"system", "processor", "cores"} <= found["machine"].keys()
    assert {"time", "commit", "changed_files"} <= found.keys()
    assert found["effort"]["rounds"] == 2
    assert found["missing"] == {"original": "node is not installed"}
    assert {(each["app"], each["connections"], each["variation"]) for each in found["requests"]} == {
        *((app, connections, "") for app in OURS for connections in (1, 64)),
        *((app, 64, plan.FROZEN) for app in OURS if app not in ("empty", "ideal")),
    }
    for each in found["requests"]:
        assert len(each["rounds"]) == 2
        for name in ("requests_per_second", "latency_p50_us", "latency_p99_us"):
            assert 0 < each[name]["p25"] <= each[name]["median"] <= each[name]["p75"], name
        assert each["latency_p50_us"]["median"] <= each["latency_p99_us"]["median"]


@pytest.mark.ci
def test_requests_cost_the_commands_that_the_docs_promise(ran: tuple[str, dict[str, Any]]) -> None:
    """One command at the server for a request, and no write within `touch_interval`; none with the near cache."""
    for each in ran[1]["requests"]:
        commands, writes = each["commands"]["median"], each["writes"]["median"]
        expected = {"handwritten": (1, 1), "ideal": (1, 0), "jwtsession": (1, 0)}.get(each["app"], (0, 0))
        assert (commands, writes) == pytest.approx(expected, abs=0.05), each["app"]


@pytest.mark.ci
def test_goals_are_told_of_what_a_run_measured(ran: tuple[str, dict[str, Any]]) -> None:
    """A goal is met or not by its median; there is none of what was not measured, and none in the tables."""
    printed, found = ran
    reached = goals.reached(found)
    assert {each["goal"] for each in reached} >= {
        "CPU that a session adds, as a share of the hand-written one's, 64 connections",
        "CPU that a session adds, against a batched GET + validation, 1 connection",
        "round trips of `list_sessions`, 1,000 sessions",
        "round trips of `revoke_all`, 1,000 sessions",
        "`from jwtsession import SessionProvider`, milliseconds",
    }
    assert not any("starsessions" in each["goal"] for each in reached)
    told = goals.text(found)
    for each in reached:
        median, limit = each["median"], each["limit"]
        assert each["met"] == (median >= limit if each["at_least"] else median <= limit)
        assert each["goal"] in told
        assert each["goal"] not in printed
    assert told.count("missed") == sum(not each["met"] for each in reached)
    trips = [each["median"] for each in reached if each["goal"].startswith("round trips")]
    assert trips == [42, 64]


def test_each_rival_has_a_row_for_each_collector() -> None:
    """Every application in Python runs with the collector as it comes, frozen, and with a threshold; no other does."""
    points = {
        (point.app, point.variation) for group in plan.groups([*plan.NAMES], (1, 64), True) for point in group.points
    }
    for app in plan.APPS:
        ways = {way for way in ("", plan.FROZEN, plan.THRESHOLD) if (app.name, way) in points}
        assert ways == ({""} if app.target.endswith(".js") else {"", plan.FROZEN, plan.THRESHOLD}), app.name


def test_every_server_of_a_group_is_measured() -> None:
    """No server runs beside the others for nothing, and no point has no server."""
    for group in plan.groups([*plan.NAMES], (1, 64), True):
        assert {point.runs_on for point in group.points} == {server.name for server in group.servers}


def test_the_baseline_has_the_versions_of_those_that_are_compared_with_it() -> None:
    """What FastAPI's applications stand on is the same in every environment, so that only sessions differ."""
    shared = ("fastapi", "starlette", "pydantic", "pydantic_core", "anyio", "uvicorn", "uvloop", "httptools", "hiredis")
    constraints = pins(ROOT / "constraints.txt")
    for peer in sorted(
        {app.peer for app in plan.APPS if app.peer and app.baseline == "bare"} - {"original", "fastify"}
    ):
        found = pins(ROOT / "benchmarks" / "peers" / f"{peer}.txt")
        for name in shared:
            assert found.get(canonical(name), constraints[canonical(name)]) == constraints[canonical(name)], (
                peer,
                name,
            )


def canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def pins(file: Path) -> dict[str, str]:
    """The versions in a file of requirements."""
    lines = [line.split("==") for line in file.read_text().splitlines() if "==" in line and not line.startswith("#")]
    return {canonical(name): version.split()[0] for name, version in lines}


def test_lock_files_name_no_registry() -> None:
    """The packages of Node come from whatever registry npm is told to use."""
    locks = [*(ROOT / "benchmarks" / "peers").rglob("package-lock.json")]
    assert len(locks) == 2
    for lock in locks:
        assert '"resolved"' not in lock.read_text()


def test_a_frozen_application_is_out_of_the_collectors_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """`GC_FREEZE` freezes when the application has started, not before; requests are passed on as they are."""
    frozen: list[str] = []
    monkeypatch.setattr("gc.freeze", lambda: frozen.append("now"))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            assert not frozen
            await send({"type": "lifespan.startup.complete"})
        else:
            await send(scope["type"])

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        app = serve.frozen(application)
        await app({"type": "http"}, None, send)
        assert not frozen
        await app({"type": "lifespan"}, None, send)

    asyncio.run(run())
    assert frozen == ["now"]
    assert sent == ["http", {"type": "lifespan.startup.complete"}]


def test_the_page_is_what_the_committed_run_printed() -> None:
    """`docs/performance.md` holds the figures of `benchmarks/results.json`, of a whole run, and no others."""
    found = json.loads(RESULTS.read_text())
    made = page.markdown(found)
    assert (ROOT / "docs" / "performance.md").read_text() == made
    # A user is told what to expect; what the project wants to reach is its own affair.
    assert made.index("requests a second") < made.index("**CPU.**") < made.index("## What an application can do")
    assert made.index("## What an application can do") < made.index("requests/s")
    assert "goal" not in made.lower()
    assert "missed" not in made
    assert found["missing"] == {}
    assert found["effort"]["variations"] is True
    assert found["in_process"] is not None
    assert not found["changed_files"]


def test_the_readme_says_what_the_committed_run_measured() -> None:
    """The ratio of requests, the share of the CPU and the two times are those of the page, in words."""
    found = json.loads(RESULTS.read_text())
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("- **Cheap.**")]
    assert "twice as many requests" in line
    assert 2 <= statistics.median(figures.ratios(found, "jwtsession", "handwritten", "requests_per_second", 64)) < 2.5
    assert "less than a third of its CPU" in line
    assert 0.2 < statistics.median(figures.shares(found, "jwtsession", "handwritten", 64)) < 1 / 3
    p99 = {
        each["variation"]: round(each["latency_p99_us"]["median"] / 1000)
        for each in found["requests"]
        if (each["app"], each["connections"]) == ("jwtsession", 64)
    }
    assert "34 ms instead of 81" in line
    assert (p99["collector frozen"], p99[""]) == (34, 81)


def test_the_benchmark_of_proofs_runs() -> None:
    """It prints for both algorithms what a proof costs beside its signature."""
    command = [sys.executable, "-m", "benchmarks.proofs", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["ES256", "EdDSA"]
    assert done.stdout.count("times that") == 2
