"""`Operations`: how long a store's operations take, and the spans of loads."""

import math
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from enum import Enum
from time import perf_counter
from typing import Any

from opentelemetry.metrics import Histogram
from opentelemetry.trace import (
    ProxyTracer,
    ProxyTracerProvider,
    Span,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    get_tracer_provider,
)

from ...errors import JWTSessionError, StoreUnavailableError
from .counters import OTHER, Counter, Series

PAUSE_SECONDS = 0.005
"""The least time between two measurements of the same kind: see `Sampled`."""

_LOOK_SECONDS = 1.0
"""How often it is looked whether there is an SDK for traces by now."""

SPAN = "jwtsession load"
"""The name of the spans."""

_LOADS = {"load", "load_once", "load_generation"}

ERRORS = {
    "AuthenticationError",
    "AuthorizationError",
    "BusyLoadingError",
    "ClusterDownError",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "MasterDownError",
    "MaxConnectionsError",
    "NoPermissionError",
    "OSError",
    "OutOfMemoryError",
    "ReadOnlyError",
    "ResponseError",
    "RuntimeError",
    "TimeoutError",
    "TryAgainError",
}
"""Classes of errors that may be an attribute. An application's store may raise others."""

_loading: ContextVar[Span | None] = ContextVar("jwtsession_loading", default=None)


class Sampled:
    """Measurements of one kind for a histogram, at most one in each `PAUSE_SECONDS`.

    The SDK needs 8 µs for a measurement, which would be a tenth of a request. So a busy worker measures 200 operations
    of a kind in a second, evenly over the time, and the others are only counted.
    """

    __slots__ = ("_attributes", "_histogram", "due")

    def __init__(self, histogram: Histogram, attributes: dict[str, str] | None = None) -> None:
        self._histogram = histogram
        self._attributes = attributes
        self.due = 0.0
        """When the next value is recorded, in seconds."""

    def record(self, value: float, now: float) -> None:
        """Record a value, if it is time for the next one.

        Args:
            value: The value.
            now: The time in seconds, always of the same clock.
        """
        if now >= self.due:
            self.due = now + PAUSE_SECONDS
            self._histogram.record(value, self._attributes)


class _Result:
    """What is known of one result of one operation."""

    __slots__ = ("durations", "series")

    def __init__(self, series: Series, durations: Histogram) -> None:
        self.series = series
        self.durations = Sampled(durations, series.attributes)


class Operations:
    """Counts and measures the operations of stores.

    Args:
        tracer: Makes the spans of loads.
        count: Counts the operations.
        durations: Has the seconds that they took.
        batches: Has the numbers of loads that shared a round trip.
    """

    def __init__(self, tracer: Tracer, count: Counter, durations: Histogram, batches: Histogram) -> None:
        self._tracer = tracer
        self._count = count
        self._durations = durations
        self._batches = Sampled(batches)
        self._look_at = -math.inf
        self._results: dict[tuple[str, str, str], _Result] = {}

    def measured(self, name: str, store: object, method: str | None = None) -> Callable[..., Awaitable[Any]]:
        """Return a method of a store that is measured.

        Args:
            name: The operation's name.
            store: Has the method.
            method: The method's name; None if it is the operation's.
        """
        if (name, method) == ("load", None):
            return self._measured_load(store)
        called, loads = method or name, name in _LOADS

        async def measure(*args: Any, **options: Any) -> Any:
            span = self._begin() if loads else None
            began = perf_counter()
            try:
                # The method is looked up at each call: a test may put another one in its place.
                found = await getattr(store, called)(*args, **options)
            except BaseException as error:
                self._failed(name, began, error, span)
                raise
            now = perf_counter()
            if loads:
                # Some loads ask for more in the same round trip: the value comes first.
                value = found[0] if isinstance(found, (tuple, list)) else found
                result = self._result(name, "absent" if value is None else "ok")
            else:
                result = self._result(name, found.value if isinstance(found, Enum) else "ok")
            result.series.count += 1
            result.durations.record(now - began, now)
            if span is not None:
                _end(span)
            return found

        return measure

    def _measured_load(self, store: Any) -> Callable[..., Awaitable[bytes | None]]:
        """As `measured`, for `SessionStore.load`: nearly every request runs this."""
        done, absent = self._result("load", "ok"), self._result("load", "absent")

        async def load(session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
            began = perf_counter()
            span = self._begin() if began >= self._look_at else None
            try:
                found: bytes | None = await store.load(session_id, ttl, allow_cached=allow_cached)
            except BaseException as error:
                self._failed("load", began, error, span)
                raise
            now = perf_counter()
            result = absent if found is None else done
            result.series.count += 1
            if now >= result.durations.due:
                result.durations.record(now - began, now)
            if span is not None:
                _end(span)
            return found

        return load

    def joined(self) -> Span | None:
        """The span of the load that is about to wait for others, if it is recorded."""
        return _loading.get()

    def shared(self, spans: Sequence[Span | None], now: float) -> None:
        """Note a round trip of several loads. Each span has a link to the first one's.

        Args:
            spans: For each load what `joined` returned.
            now: The time in seconds of the event loop.
        """
        self._batches.record(len(spans), now)
        recorded = [each for each in spans if each is not None]
        for each in recorded:
            each.set_attribute("jwtsession.store.load.batch", len(spans))
        for each in recorded[1:]:
            each.add_link(recorded[0].get_span_context())

    def alone(self, now: float) -> None:
        """Note a round trip of one load.

        Args:
            now: The time in seconds of the event loop.
        """
        if now >= self._batches.due:
            self._batches.record(1, now)

    def _begin(self) -> Span | None:
        """The span of a load, within a recorded one: a load alone says nothing, and most requests are not recorded."""
        if self._look_at:
            # The API's own provider passes on to an SDK as soon as there is one. Without one nothing is recorded.
            waits = isinstance(self._tracer, ProxyTracer) and isinstance(get_tracer_provider(), ProxyTracerProvider)
            self._look_at = perf_counter() + _LOOK_SECONDS if waits else 0.0
        if not get_current_span().is_recording():
            return None
        span = self._tracer.start_span(SPAN)
        _loading.set(span)
        return span

    def _failed(self, name: str, began: float, error: BaseException, span: Span | None) -> None:
        now = perf_counter()
        if isinstance(error, Exception):  # the end of a request that was cancelled is no result of the store
            result = self._result(name, "error", _kind(error))
            result.series.count += 1
            result.durations.record(now - began, now)
        if span is not None:
            if isinstance(error, StoreUnavailableError):
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", _kind(error))
            _end(span)

    def _result(self, operation: str, result: str, error: str = "") -> _Result:
        key = operation, result, error
        found = self._results.get(key)
        return found or self._results.setdefault(key, _Result(self._count.series(*key), self._durations))


def _end(span: Span) -> None:
    _loading.set(None)
    span.end()


def _kind(error: Exception) -> str:
    """The class of an error: that of the server's or the network's, if there is one. Never its message."""
    cause = error.__cause__ if isinstance(error, StoreUnavailableError) else None
    if cause is not None:
        names = [each.__name__ for each in type(cause).__mro__]
        return next((each for each in names if each in ERRORS), OTHER)
    return type(error).__name__ if isinstance(error, JWTSessionError) else OTHER
