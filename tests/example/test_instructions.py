"""The gate of instructions: what is counted, what is expected, and what makes it fail."""

import asyncio
import gc
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import callgrind, counted, instructions, steady
from benchmarks.expected import Expected, here

from .shop import ROOT

HERE = {"python": "CPython 3.11.2", "architecture": "x86_64", "redis": "8.1.0"}
EXPECTED = Expected(HERE, {"read": {"1": 100_000, "64": 50_000}})


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> dict[str, counted.Case]:
    """Those that need no server."""
    monkeypatch.setenv("JWTSESSION_SECRET", os.urandom(64).hex())
    monkeypatch.setenv("JWTSESSION_REDIS_URL", "redis://127.0.0.1:1/0")
    found = counted.cases()
    return {name: found[name] for name in ("bare", "memory")}


class Orders:
    """Stands for callgrind."""

    def __init__(self) -> None:
        self.given: list[tuple[str, int]] = []
        self.asked = 0
        self.start, self.stop, self.zero = (self._order(name) for name in ("start", "stop", "zero"))

    def dump(self, name: str) -> Callable[[], object]:
        return self._order(name)

    def _order(self, name: str) -> Callable[[], object]:
        return lambda: self.given.append((name, self.asked if gc.isenabled() else -self.asked))


@pytest.mark.slow
async def test_requests_are_counted_between_two_orders(cases: dict[str, counted.Case]) -> None:
    """Logins and the first requests, which fill caches, come before; the collector rests while they are counted."""
    orders = Orders()
    for case in cases.values():

        @case.app.middleware("http")
        async def note(request, call_next):  # type: ignore[no-untyped-def]
            orders.asked += 1
            return await call_next(request)

    await counted.run(cases, 2, orders)  # type: ignore[arg-type]
    names = [name for name, _ in orders.given]
    parts = [f"{name} {in_flight}" for name in cases for in_flight in counted.IN_FLIGHT]
    assert names == ["start", *(name for part in parts for name in ("zero", part)), "stop"]
    marks = [asked for _, asked in orders.given[1:-1]]
    assert max(marks) < 0
    assert [before - after for before, after in zip(marks[::2], marks[1::2], strict=True)] == [
        counted.sent(in_flight, 2) for _ in cases for in_flight in counted.IN_FLIGHT
    ]
    assert gc.isenabled()


async def test_a_request_with_another_answer_is_not_counted(cases: dict[str, counted.Case]) -> None:
    """It would be a cheap one."""
    app = cases["memory"].app
    async with app.router.lifespan_context(app):
        with pytest.raises(RuntimeError, match="401 for GET, not 200"):
            await counted.send_all(app, [[counted.Request([])]])


def test_every_case_has_a_title(cases: dict[str, counted.Case]) -> None:
    """And no title is left over, and the file of expected counts has each case."""
    assert [*counted.cases()] == [*instructions.TITLES]
    counts = Expected.read(instructions.EXPECTED).counts
    assert {case: [*each] for case, each in counts.items()} == {case: ["1", "64"] for case in instructions.TITLES}


def test_the_loop_sees_answers_only_when_it_has_nothing_else_to_do() -> None:
    """Then it sees all of them, in the order of their sockets, after the server has answered all."""
    pairs = [socket.socketpair() for _ in range(3)]
    with steady.SameSelector() as selector:
        for ours, _ in pairs:
            selector.register(ours, selectors.EVENT_READ)
        pairs[2][1].send(b"x")
        assert selector.select(0) == []
        assert [key.fileobj for key, _ in selector.select(None)] == [pairs[2][0]]
        selector.settle = lambda: [theirs.send(b"x") for _, theirs in pairs]
        assert [key.fileobj for key, _ in selector.select(1)] == [ours for ours, _ in pairs]
    for each in (end for pair in pairs for end in pair):
        each.close()


def test_a_loop_runs_on_that_selector() -> None:
    """Timers and sockets work."""

    async def talk() -> bytes:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        theirs.send(b"hello")
        await asyncio.sleep(0.000_1)
        found = await reader.readexactly(5)
        writer.close()
        theirs.close()
        return found

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(steady.SameSelector())) as runner:
        assert runner.run(talk()) == b"hello"


def test_the_total_is_read_from_a_file_of_callgrind() -> None:
    """With the name that the program gave it; calls have counts too."""
    output = (
        "desc: Trigger: Client Request: read 64\n\nevents: Ir\nsummary: 11\n\nfn=(1) x\ncalls=1 7\n0 3\n\ntotals: 12\n"
    )
    assert callgrind.total(output) == ("read 64", 12)
    with pytest.raises(ValueError, match="no file of callgrind"):
        callgrind.total("desc: Trigger: Program termination\ntotals: 12\n")


@pytest.mark.parametrize("now", [101_999, 98_001])
def test_two_percent_are_noise(now: int) -> None:
    """In both directions."""
    assert [*EXPECTED.off({"read": {"1": now, "64": 50_000}})] == []


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (102_001, "read, 1 in flight: 102,001, which is 2.0% more than 100,000"),
        (90_000, "read, 1 in flight: 90,000, which is 10.0% less than 100,000"),
    ],
)
def test_more_than_two_percent_are_told_in_both_directions(now: int, message: str) -> None:
    """What became faster must be written down too, or it could get lost again unseen."""
    assert [*EXPECTED.off({"read": {"1": now, "64": 50_000}})] == [message]
    assert "make instructions COUNTS=--update" in instructions.verdict({"read": {"1": now, "64": 50_000}}, EXPECTED)


def test_a_case_that_one_side_lacks_is_told() -> None:
    """A new one has to be written down, and one that is gone to be taken out."""
    assert [*EXPECTED.off({"read": {"1": 100_000}, "new": {"1": 7}})] == [
        "read, 64 in flight: not counted",
        "new, 1 in flight: 7, and the file expects nothing",
    ]


def test_other_versions_are_not_compared() -> None:
    """Each difference is named."""
    assert EXPECTED.not_comparable(HERE) == []
    assert EXPECTED.not_comparable(HERE | {"redis": "8.2.0"}) == ["redis is 8.2.0 here, and 8.1.0 in the file"]
    assert EXPECTED.not_comparable({"architecture": "x86_64", "redis": "8.1.0"}) == [
        "python is missing here, and CPython 3.11.2 in the file"
    ]


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Where there is none nothing is expected."""
    EXPECTED.write(tmp_path / "counts.json")
    assert Expected.read(tmp_path / "counts.json") == EXPECTED
    assert Expected.read(tmp_path / "none.json") == Expected({}, {})


def test_the_table_shows_what_a_session_adds() -> None:
    """Beside FastAPI alone, beside an empty dependency, and as a share of what the hand-written one adds."""
    counts = {name: {"1": 100, "64": 100} for name in instructions.TITLES}
    counts |= {"empty": {"1": 200, "64": 200}, "handwritten": {"1": 1200, "64": 1200}, "read": {"1": 300, "64": 250}}
    lines = [*instructions.table(counts, Expected({}, {"read": {"1": 200, "64": 500}}))]
    assert [line.split()[-6:] for line in lines if "a session is read" in line] == [
        ["300", "200", "+50.0%", "+200", "+100", "0.100"],
        ["250", "500", "-50.0%", "+150", "+50", "0.050"],
    ]


@pytest.mark.parametrize(("in_ci", "status"), [(False, 0), (True, 1)])
def test_what_can_not_be_compared_is_skipped_and_fails_in_ci(
    in_ci: bool, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the reason is told, before anything is counted."""
    monkeypatch.setattr(sys, "argv", ["instructions", "--check"])
    monkeypatch.setattr(callgrind, "unavailable", str)
    monkeypatch.setattr(instructions, "EXPECTED", tmp_path / "counts.json")
    monkeypatch.delenv("NO_SKIP", raising=False)
    if in_ci:
        monkeypatch.setenv("NO_SKIP", "1")
    Expected(here() | {"redis": "1.0"}, {}).write(instructions.EXPECTED)
    assert instructions.main() == status
    assert "and 1.0 in the file" in capsys.readouterr().err
    monkeypatch.setattr(callgrind, "unavailable", lambda: "valgrind is not installed")
    assert instructions.main() == status
    assert "valgrind is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "found", "status"), [("--check", 101, 0), ("--check", 103, 1), ("--check", 97, 1), ("--update", 150, 0)]
)
def test_the_command_compares_or_writes_the_file(
    option: str, found: int, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It fails where a count is another, and writes only when it is told to."""

    def counts(number: int) -> dict[str, Any]:
        return {name: {"1": number, "64": number} for name in instructions.TITLES} | {"empty": {"1": 1, "64": 1}}

    monkeypatch.setattr(sys, "argv", ["instructions", option])
    monkeypatch.setattr(callgrind, "unavailable", str)
    monkeypatch.setattr(instructions, "EXPECTED", tmp_path / "counts.json")
    monkeypatch.setattr(instructions, "count", lambda *_: counts(found))
    Expected(here(), counts(100)).write(instructions.EXPECTED)
    assert instructions.main() == status
    assert Expected.read(instructions.EXPECTED).counts == counts(150 if option == "--update" else 100)


@pytest.mark.ci
@pytest.mark.skipif(bool(callgrind.unavailable()), reason=callgrind.unavailable())
def test_a_program_orders_its_own_counts(tmp_path: Path) -> None:
    """What stands between `zero` and `dump` is counted, the same each time, and nothing else."""
    (tmp_path / "counting.py").write_text(
        "import sys\n"
        "from benchmarks.callgrind import Callgrind\n"
        "orders = Callgrind()\n"
        "orders.start()\n"
        "for name in sys.argv[1:]:\n"
        "    dump = orders.dump(name)\n"
        "    orders.zero()\n"
        "    sum(range(10_000))\n"
        "    dump()\n"
        "orders.stop()\n"
        "sum(range(100_000))\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    found = callgrind.counts("counting", ["first", "second", "third"], environment, tmp_path)
    assert found.keys() == {"first", "second", "third"}
    assert found["third"] == pytest.approx(found["second"], rel=0.02)
    assert 10_000 < found["third"] < 2_000_000
    with pytest.raises(RuntimeError, match="No module named"):
        callgrind.counts("no_such_module", [], environment, tmp_path)


def test_orders_do_nothing_without_callgrind() -> None:
    """They are code that a processor passes over."""
    if callgrind.unavailable():
        pytest.skip(callgrind.unavailable())
    code = "from benchmarks.callgrind import Callgrind as C; c = C(); c.start(); c.zero(); c.dump('x')(); c.stop()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
