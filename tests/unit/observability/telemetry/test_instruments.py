"""Tests of jwtsession.observability.telemetry.instruments: what a process has, and where OpenTelemetry is missing."""

import importlib.metadata
import re
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import metrics

from jwtsession import MemorySessionStore, SessionProvider
from jwtsession.observability import shared_telemetry
from jwtsession.observability.telemetry.instruments import Telemetry
from jwtsession.stores.measured import MeasuredStore
from jwtsession.tokens.cache import CountedTokenCache
from tests.conftest import SECRET
from tests.parts import parts
from tests.unit.observability.telemetry.conftest import SDK


def hooks(provider: SessionProvider[Any, Any]) -> set[type]:
    """The classes of what telemetry has put into a provider."""
    ours = (Telemetry, MeasuredStore, CountedTokenCache)
    return {type(each) for each in parts(provider) if isinstance(each, ours)}


def test_all_providers_share_the_instruments() -> None:
    """The SDK forgets the callbacks of a second instrument with the same name."""
    assert shared_telemetry() is shared_telemetry() is not None


def test_without_the_api_a_provider_has_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts are the same as if there was no telemetry at all."""
    assert hooks(SessionProvider(secret=SECRET, store=MemorySessionStore()))
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    assert shared_telemetry() is None
    assert hooks(SessionProvider(secret=SECRET, store=MemorySessionStore())) == set()


def test_an_older_api_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package may have installed one that lacks what the instruments need."""

    class Meter:
        def create_histogram(self, name: str) -> None: ...

    monkeypatch.setattr(metrics, "Meter", Meter)
    assert shared_telemetry() is None


@pytest.mark.slow
def test_the_package_imports_no_instrument() -> None:
    """An import does not get slower: the instruments come with the first provider."""
    code = (
        "import sys; from jwtsession import SessionProvider; print([each for each in sys.modules if 'telem' in each])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "jwtsession.observability.telemetry'" in found
    assert "instruments" not in found


@pytest.mark.slow
def test_the_sdk_may_be_set_up_after_the_provider(tmp_path: Any) -> None:
    """As FastAPI does it at the start of an application. The meter has the package's name and version."""
    code = """
import asyncio
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from jwtsession import MemorySessionStore, SessionProvider
from jwtsession.testing import AsyncSessionTester

providers = [SessionProvider(store=MemorySessionStore(), request_key=key) for key in ("one", "two")]
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
providers.append(SessionProvider(store=MemorySessionStore(), request_key="three"))

async def main():
    for each in providers:
        async with AsyncSessionTester(each) as tester:
            await tester.manager((await tester.login({})).token)
            await tester.manager()

asyncio.run(main())
(scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
print(scope.scope.name, scope.scope.version, scope.schema_url)
(found,) = [each for each in scope.metrics if each.name == "jwtsession.resolutions"]
print(sorted((*each.attributes.values(), each.value) for each in found.data.data_points))
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"JWTSESSION_SECRET": SECRET},
        cwd=tmp_path,
    )
    scope, numbers = run.stdout.splitlines()
    version = importlib.metadata.version("fastapi-jwtsession")
    assert re.fullmatch(rf"jwtsession {re.escape(version)} https://opentelemetry.io/schemas/[\d.]+", scope)
    expected = [
        (each, outcome, source, 1)
        for each in ("one", "three", "two")
        for outcome, source in (("anonymous", "none"), ("ok", "bearer"))
    ]
    assert numbers == str(expected)
    assert run.stderr == ""


def test_instruments_have_the_names_units_and_kinds_of_the_documentation(sdk: SDK) -> None:
    """A counter is a sum that only grows, also where a reader asks for it."""
    telemetry = sdk.telemetry
    telemetry.mutated(3)
    telemetry.operations.alone(1.0)
    telemetry.event("created", None)
    telemetry.near_cache()
    telemetry.resolutions("session")["bearer", "ok"].count += 1
    telemetry.sockets.add(sdk, lambda _: 2)
    telemetry.silence.add(sdk, lambda _: 0.5)
    found = {
        name: (type(each.data).__name__, each.unit, getattr(each.data, "is_monotonic", None))
        for name, each in sdk.metrics().items()
    }
    assert found == {
        "jwtsession.resolutions": ("Sum", "{request}", True),
        "jwtsession.events": ("Sum", "{event}", True),
        "jwtsession.token_cache.requests": ("Sum", "{request}", True),
        "jwtsession.near_cache.requests": ("Sum", "{request}", True),
        "jwtsession.audit.dropped": ("Sum", "{event}", True),
        "jwtsession.sockets": ("Sum", "{socket}", False),
        "jwtsession.near_cache.silence": ("Gauge", "s", None),
        "jwtsession.mutate.attempts": ("Histogram", "{attempt}", None),
        "jwtsession.store.load.batch": ("Histogram", "{load}", None),
    }
