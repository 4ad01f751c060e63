"""Tests of jwtsession.observability.telemetry.counters: numbers that a reader asks for."""

import gc

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from jwtsession.observability.telemetry import counters
from jwtsession.observability.telemetry.counters import OTHER, Counter, Gauge


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def meters(reader: InMemoryMetricReader) -> MeterProvider:
    return MeterProvider([reader], shutdown_on_exit=False)


def points(reader: InMemoryMetricReader) -> list[tuple[dict[str, object], float]]:
    found = reader.get_metrics_data()
    if found is None:
        return []
    return [
        (dict(point.attributes or {}), point.value)  # type: ignore[union-attr]
        for resource in found.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


def test_a_reader_gets_the_number_of_each_set_of_attributes(
    meters: MeterProvider, reader: InMemoryMetricReader
) -> None:
    """Also the second time: numbers only grow."""
    counter = Counter(meters.get_meter("m").create_observable_counter, "n", "{x}", "d", ["a", "b"])
    counter.add("1", "2")
    counter.add("1", "2")
    counter.add("1", "3")
    expected: list[tuple[dict[str, object], float]] = [({"a": "1", "b": "2"}, 2), ({"a": "1", "b": "3"}, 1)]
    assert points(reader) == expected == points(reader)


def test_the_number_of_series_has_a_limit(
    meters: MeterProvider, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values beyond it count together, so that nothing is lost."""
    monkeypatch.setattr(counters, "MOST_SERIES", 3)
    counter = Counter(meters.get_meter("m").create_observable_counter, "n", "{x}", "d", ["a"])
    for number in range(10):
        counter.add(str(number))
    assert points(reader) == [({"a": each}, 1) for each in "012"] + [({"a": OTHER}, 7)]


def test_a_gauge_asks_those_that_live(meters: MeterProvider, reader: InMemoryMetricReader) -> None:
    """It keeps nobody alive, and who has no number does not count."""

    class Source:
        number: float | None = 2

    gauge: Gauge[Source] = Gauge(meters.get_meter("m").create_observable_gauge, "n", "s", "d", max)
    one, other, silent = Source(), Source(), Source()
    other.number, silent.number = 5, None
    for each in (one, other, silent):
        gauge.add(each, lambda source: source.number)
    del each
    assert points(reader) == [({}, 5)]
    del other
    gc.collect()
    assert points(reader) == [({}, 2)]
    del one
    gc.collect()
    assert points(reader) == []
