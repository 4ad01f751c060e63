"""An SDK for one test: what every provider that the test makes counts by, and what a reader sees of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from jwtsession.observability.telemetry.instruments import Telemetry


class SDK:
    """An SDK that keeps in memory what it gets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._traces = TracerProvider(shutdown_on_exit=False)
        self.tracer: Tracer = self._traces.get_tracer("test")
        self._exporter = InMemorySpanExporter()
        self._traces.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self._metrics = MeterProvider([self._reader], shutdown_on_exit=False)
        self.telemetry = Telemetry(self._metrics.get_meter("jwtsession"), self._traces.get_tracer("jwtsession"))
        monkeypatch.setattr("jwtsession.observability.telemetry.instruments.shared", lambda: self.telemetry)

    def end(self) -> None:
        self._traces.shutdown()
        self._metrics.shutdown()

    def metrics(self) -> dict[str, Any]:
        """What a reader gets now, by the instruments' names."""
        found = self._reader.get_metrics_data()
        if not isinstance(found, MetricsData):
            return {}
        return {
            each.name: each
            for resource in found.resource_metrics
            for scope in resource.scope_metrics
            for each in scope.metrics
        }

    def points(self, name: str) -> dict[tuple[object, ...], Any]:
        """The points of an instrument, by the values of their attributes."""
        metric = self.metrics().get(name)
        points = [] if metric is None else metric.data.data_points
        return {tuple((each.attributes or {}).values()): each for each in points}

    def numbers(self, name: str) -> dict[tuple[object, ...], float]:
        """The numbers of an instrument that is no histogram, without zeros."""
        return {key: each.value for key, each in self.points(name).items() if each.value}

    def counts(self, name: str) -> dict[tuple[object, ...], int]:
        """How many values a histogram has."""
        return {key: each.count for key, each in self.points(name).items()}

    def spans(self, name: str = "jwtsession load") -> list[ReadableSpan]:
        """The spans that have ended."""
        return [each for each in self._exporter.get_finished_spans() if each.name == name]


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SDK]:
    found = SDK(monkeypatch)
    yield found
    found.end()
