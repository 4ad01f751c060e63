"""Tests of jwtsession.observability.telemetry.operations: durations of a store's operations, and spans of loads."""

import asyncio
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from jwtsession import MemorySessionStore, SessionCorruptError, StoreUnavailableError
from jwtsession.observability.telemetry import operations
from jwtsession.stores import SessionStore, measured
from tests.unit.observability.telemetry.conftest import SDK

OPERATIONS, DURATION = "jwtsession.store.operations", "jwtsession.store.operation.duration"


class Failing(MemorySessionStore):
    """A store that raises."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        raise self.error

    async def touch(self, session_id: str, ttl: int) -> bool:
        raise self.error


@pytest.fixture
def store(sdk: SDK) -> SessionStore:
    return measured(MemorySessionStore(), sdk.telemetry)


async def test_every_operation_is_counted_once_by_its_result(store: SessionStore, sdk: SDK) -> None:
    """`ok`, or why nothing was done."""
    await store.create("a", b"1", 1000)
    await store.load("a")
    await store.load("a", 500, allow_cached=True)
    await store.load("gone")
    await store.update("a", b"1", b"2", 1000)
    await store.update("a", b"1", b"3", 1000)
    await store.update("gone", b"1", b"3", 1000)
    await store.destroy_all(["a"])
    assert sdk.numbers(OPERATIONS) == {
        ("create", "ok"): 1,
        ("load", "ok"): 2,
        ("load", "absent"): 1,
        ("update", "done"): 1,
        ("update", "conflict"): 1,
        ("update", "gone"): 1,
        ("destroy_all", "ok"): 1,
    }


async def test_a_load_that_asks_for_more_knows_whether_the_session_was_there(store: Any, sdk: SDK) -> None:
    """The answer has the value and something else."""
    await store.create("a", b"1", 1000)
    await store.load_once("a", None, "proof", 1000)
    await store.load_once("gone", None, "proof", 1000)
    await store.load_generation("a")
    await store.load_generation("gone")
    found = sdk.numbers(OPERATIONS)
    for name in ("load_once", "load_generation"):
        assert (found[name, "ok"], found[name, "absent"]) == (1, 1)


def caused_by(cause: Exception) -> StoreUnavailableError:
    error = StoreUnavailableError()
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("method", ["load", "touch"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (caused_by(TimeoutError("10.1.2.3")), "TimeoutError"),
        (caused_by(ConnectionResetError("x")), "ConnectionResetError"),
        (caused_by(BrokenPipeError("x")), "ConnectionError"),
        (caused_by(ValueError("x")), "_OTHER"),
        (StoreUnavailableError(), "StoreUnavailableError"),
        (SessionCorruptError(), "SessionCorruptError"),
        (ZeroDivisionError("an id"), "_OTHER"),
    ],
)
async def test_a_failure_says_the_class_of_its_error(sdk: SDK, error: Exception, kind: str, method: str) -> None:
    """A known class, or its nearest base; never a message."""
    store = measured(Failing(error), sdk.telemetry)
    with pytest.raises(type(error)):
        await getattr(store, method)("a", 5)
    assert sdk.numbers(OPERATIONS) == {(method, "error", kind): 1}
    assert sdk.counts(DURATION) == {(method, "error", kind): 1}


async def test_a_cancelled_operation_is_no_result_of_the_store(sdk: SDK) -> None:
    """The client has gone; the error goes on."""
    store = measured(Failing(asyncio.CancelledError()), sdk.telemetry)
    with pytest.raises(asyncio.CancelledError):
        await store.load("a")
    assert sdk.numbers(OPERATIONS) == {}


async def test_a_duration_is_measured_in_seconds(
    store: SessionStore, sdk: SDK, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time between the call and its end, in the buckets of the specification."""
    times = iter([100.0, 100.25])
    monkeypatch.setattr(operations, "perf_counter", lambda: next(times))
    await store.touch("a", 5)
    ((_, point),) = sdk.points(DURATION).items()
    assert point.sum == 0.25
    assert point.explicit_bounds == (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
    assert sdk.metrics()[DURATION].unit == "s"


async def test_a_busy_worker_measures_some_and_counts_all(
    store: SessionStore, sdk: SDK, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One operation of a kind and a result in five milliseconds is measured; of each other kind one too."""
    now = 0.0

    def tick() -> float:
        nonlocal now
        now += 0.00001
        return now

    monkeypatch.setattr(operations, "perf_counter", tick)
    await store.create("a", b"1", 1000)
    for _ in range(1000):
        await store.load("a")
        await store.load("gone")
    assert sdk.numbers(OPERATIONS)["load", "ok"] == sdk.numbers(OPERATIONS)["load", "absent"] == 1000
    counts = sdk.counts(DURATION)
    assert counts["create", "ok"] == 1
    assert 7 <= counts["load", "ok"] <= 9  # of forty milliseconds
    assert 7 <= counts["load", "absent"] <= 9


async def test_a_load_has_a_span_within_a_recorded_one(store: SessionStore, sdk: SDK) -> None:
    """It is internal, has the request's as its parent, and no attribute."""
    await store.create("an id", b"1", 1000)
    with sdk.tracer.start_as_current_span("request") as parent:
        await store.load("an id")
        await store.touch("an id", 1000)
    (span,) = sdk.spans()
    assert span.kind is SpanKind.INTERNAL
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    assert span.status.status_code is StatusCode.UNSET
    assert not span.attributes


async def test_a_load_alone_has_no_span(store: SessionStore, sdk: SDK) -> None:
    """A trace of a load and nothing else says nothing."""
    await store.load("a")
    assert sdk.spans() == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreUnavailableError(), StatusCode.ERROR),
        (SessionCorruptError(), StatusCode.UNSET),
        (asyncio.CancelledError(), StatusCode.UNSET),
    ],
)
@pytest.mark.parametrize("method", ["load", "load_generation"])
async def test_a_span_is_an_error_for_a_503_only(
    sdk: SDK, error: BaseException, status: StatusCode, method: str
) -> None:
    """A 401 is an answer as any other. The span has no message and no event."""
    store = measured(Failing(error), sdk.telemetry)
    with sdk.tracer.start_as_current_span("request"), pytest.raises(type(error)):
        await getattr(store, method)("an id")
    (span,) = sdk.spans()
    assert span.status.status_code is status
    assert span.status.description is None
    assert span.events == ()
    expected = {"error.type": "StoreUnavailableError"} if status is StatusCode.ERROR else {}
    assert dict(span.attributes or {}) == expected


async def test_spans_that_share_a_round_trip_link_to_the_first(sdk: SDK) -> None:
    """Each knows how many loads there were, the recorded ones and others."""
    spans = [sdk.tracer.start_span("jwtsession load") for _ in range(3)]
    sdk.telemetry.operations.shared([None, spans[0], None, *spans[1:]], 1.0)
    for each in spans:
        each.end()
    first, *others = sdk.spans()
    assert first.links == ()
    for each in others:
        assert [link.context.span_id for link in each.links] == [spans[0].get_span_context().span_id]
    assert {dict(each.attributes or {})["jwtsession.store.load.batch"] for each in sdk.spans()} == {5}
    assert sdk.points("jwtsession.store.load.batch")[()].sum == 5


async def test_a_method_that_is_replaced_later_is_called(store: Any, sdk: SDK, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a test that lets a store fail."""

    async def fail(self: object, session_id: str, ttl: int | None = None, **options: Any) -> None:
        raise StoreUnavailableError

    for name in ("load", "touch"):
        monkeypatch.setattr(MemorySessionStore, name, fail)
        with pytest.raises(StoreUnavailableError):
            await getattr(store, name)("a", 1)


async def test_a_measured_store_passes_on_what_it_does_not_measure(sdk: SDK) -> None:
    """Its class has the store's name, for messages; what the store can't do it can't do."""

    class Own(Failing):
        location = "own://"
        index_add = None  # type: ignore[assignment]

    own = Own(ValueError())
    store: Any = measured(own, sdk.telemetry)
    assert (type(store).__name__, repr(store), store.location) == ("Own", repr(own), "own://")
    assert store.error is own.error
    assert store.index_add is None
    assert await store.ping()
    assert sdk.numbers(OPERATIONS) == {}
