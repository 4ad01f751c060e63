"""The benchmark runs, its report says what somebody needs who measures again, and the docs' page is made of one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .shop import ROOT, clean_environment

OURS = ("bare", "empty", "handwritten", "jwtsession", "jwtsession-near")
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
        timeout=240,
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
    assert {(each["app"], each["connections"]) for each in found["requests"]} == {
        (app, connections) for app in OURS for connections in (1, 64)
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
        expected = {"handwritten": (1, 1), "jwtsession": (1, 0)}.get(each["app"], (0, 0))
        assert (commands, writes) == pytest.approx(expected, abs=0.05), each["app"]


@pytest.mark.ci
def test_goals_stand_beside_what_was_measured(ran: tuple[str, dict[str, Any]]) -> None:
    """A goal is met or not by its median; there is none of what was not measured. The tables name every one."""
    printed, found = ran
    assert {each["goal"] for each in found["goals"]} >= {
        "CPU that a session adds, as a share of the hand-written one's, 64 connections",
        "round trips of `list_sessions`, 1,000 sessions",
        "round trips of `revoke_all`, 1,000 sessions",
        "`import jwtsession`, milliseconds",
    }
    assert not any("Node" in each["goal"] for each in found["goals"])
    for each in found["goals"]:
        median, limit = each["median"], each["limit"]
        assert each["met"] == (median >= limit if each["at_least"] else median <= limit)
        assert each["goal"] in printed
    trips = [each["median"] for each in found["goals"] if each["goal"].startswith("round trips")]
    assert trips == [42, 64]


def test_the_page_is_what_the_committed_run_printed() -> None:
    """`docs/performance.md` holds the figures of `benchmarks/results.json`, of a whole run, and no others."""
    from benchmarks import page

    found = json.loads(RESULTS.read_text())
    made = page.markdown(found)
    assert (ROOT / "docs" / "performance.md").read_text() == made
    # A user is told what to expect; what the project wants to reach is its own affair.
    assert made.index("**CPU.**") < made.index("## What an application can do") < made.index("requests/s")
    assert "goal" not in made.lower()
    assert "missed" not in made
    assert found["missing"] == {}
    assert found["effort"]["variations"] is True
    assert found["in_process"] is not None
    assert not found["changed_files"]


def test_the_readme_says_what_the_committed_run_measured() -> None:
    """Its two shares are those of the run's first two goals, in words."""
    plain, near = (each["median"] for each in json.loads(RESULTS.read_text())["goals"][:2])
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("- **Cheap.**")]
    assert "a little more than a third of the CPU" in line
    assert 1 / 3 < plain < 0.38
    assert "with the near cache about a seventh" in line
    assert 0.125 < near < 0.16


def test_the_benchmark_of_proofs_runs() -> None:
    """It prints for both algorithms what a proof costs beside its signature."""
    command = [sys.executable, "-m", "benchmarks.proofs", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["ES256", "EdDSA"]
    assert done.stdout.count("times that") == 2
