"""What a request costs, in its path through the package and by telemetry: the tools that tell work."""

import asyncio
import contextlib
import importlib
import itertools
import os
from pathlib import Path

import pytest
from fastapi import FastAPI

from jwtsession import MemorySessionStore, SessionProvider


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The benchmarks' application, on a store of its own."""
    monkeypatch.setenv("JWTSESSION_SECRET", os.urandom(64).hex())
    monkeypatch.setenv("JWTSESSION_REDIS_URL", "redis://127.0.0.1:1/0")
    from benchmarks import apps

    return apps.with_sessions(SessionProvider(apps.UserSession, store=MemorySessionStore()))


def test_a_request_that_fails_is_not_measured(app: FastAPI) -> None:
    """It would be a cheap one."""
    from benchmarks import direct

    async def without_token() -> None:
        async with app.router.lifespan_context(app):
            await direct.ask(app, [])

    with pytest.raises(RuntimeError, match="401 for GET /"):
        asyncio.run(without_token())


async def test_the_path_of_a_request_is_every_call_of_the_package_and_none_of_others(app: FastAPI) -> None:
    """In order, with the file of each; who calls is less deep than who is called."""
    from benchmarks import path

    found = await path.trace(app)
    names = [name for _, _, name in found.calls]
    order = ["Authenticator.authenticate", "MemorySessionStore.load", "SessionDependency.__call__"]
    assert sorted(order, key=names.index) == order
    assert all((path.PACKAGE / file).is_file() for file in found.files)
    assert {file for _, file, _ in found.calls} == found.files
    assert "stores/memory.py" in found.files
    depths = [depth for depth, _, _ in found.calls]
    assert all(after <= before + 1 for before, after in itertools.pairwise(depths))


def test_waiting_and_going_on_are_counted_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that waits has not ended: it is called once, and there are two switches, or four with the wait."""
    from benchmarks import path

    (tmp_path / "path_outer.py").write_text("import path_inner\nasync def outer(): await path_inner.inner()\n")
    (tmp_path / "path_inner.py").write_text("import asyncio\nasync def inner(): await asyncio.sleep(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(path, "PACKAGE", tmp_path)
    outer = importlib.import_module("path_outer").outer

    async def record() -> path.Trace:
        found = path.Trace()
        with found.recording():
            await outer()
        return found

    found = asyncio.run(record())
    assert found.calls == [(0, "path_outer.py", "outer"), (1, "path_inner.py", "inner")]
    assert (found.switches, found.switches_and_waits) == (2, 4)


@pytest.mark.parametrize("missing", [True, False])
async def test_without_opentelemetry_a_request_runs_nothing_of_telemetry(
    monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    """With it one function more runs, around the load, and now and then one that measures."""
    monkeypatch.setenv("JWTSESSION_SECRET", os.urandom(64).hex())
    monkeypatch.setenv("JWTSESSION_REDIS_URL", "redis://127.0.0.1:1/0")
    from benchmarks import apps, path, telemetry

    with telemetry.without_opentelemetry() if missing else contextlib.nullcontext():
        provider = SessionProvider(apps.UserSession, store=MemorySessionStore())
    found = await path.trace(apps.with_sessions(provider))
    measuring = [(file, name) for _, file, name in found.calls if "telemetry" in file or file == "stores/measured.py"]
    place, now_and_then = "observability/telemetry/operations.py", {"Operations._begin", "Sampled.record"}
    always = [each for each in measuring if each[1] not in now_and_then]
    assert always == ([] if missing else [(place, "Operations._measured_load.<locals>.load")])
    assert not missing or measuring == []


@pytest.mark.slow
def test_the_cost_of_telemetry_is_measured_side_by_side() -> None:
    """Every way takes its turns, and a recorded span costs more than nothing."""
    from benchmarks import telemetry

    found = telemetry.measure(3, ["none", "api", "recorded"])
    assert {way: len(turns) for way, turns in found.items()} == {"none": 3, "api": 3, "recorded": 3}
    assert min(found["recorded"]) > min(found["none"]) > 0
