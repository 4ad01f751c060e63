"""`Telemetry`: the instruments of this process. All providers share them."""

import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import Histogram, Meter, MeterProvider
from opentelemetry.trace import Tracer

from .counters import Counter, Gauge, Series
from .operations import Operations
from .resolutions import Resolutions

NAME = "jwtsession"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions whose `error.type` and units are meant."""

DURATIONS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
ATTEMPTS = (1, 2, 3, 4, 6, 8, 16, 32)

RESULTS = ("hit", "miss", "bypass")
"""Of a question to a cache. `bypass`: the cache was not asked."""


class Telemetry:
    """The instruments, and what the parts of providers call.

    Args:
        meter: Makes the instruments.
        tracer: Makes the spans.
    """

    def __init__(self, meter: Meter, tracer: Tracer) -> None:
        counter, up_down = meter.create_observable_counter, meter.create_observable_up_down_counter
        self._resolutions = Counter(
            counter,
            "jwtsession.resolutions",
            "{request}",
            "Requests whose session was looked for",
            ("provider", "outcome", "source"),
        )
        operations = Counter(
            counter,
            "jwtsession.store.operations",
            "{operation}",
            "Operations of the session store",
            ("operation", "result", "error.type"),
        )
        durations = _histogram(
            meter,
            "jwtsession.store.operation.duration",
            "s",
            "How long operations of the session store took, with their second attempts",
            DURATIONS_SECONDS,
        )
        batches = _histogram(
            meter, "jwtsession.store.load.batch", "{load}", "How many loads shared a round trip", BATCHES
        )
        self.operations = Operations(tracer, operations, durations, batches)
        """Measures the operations of stores."""
        self._events = Counter(
            counter, "jwtsession.events", "{event}", "Events in the life of sessions", ("name", "reason")
        )
        # An alert sees how a counter grows, and would not see the first one of a counter that was not there before.
        self._events.series("reuse_detected", "none")
        tokens = Counter(counter, "jwtsession.token_cache.requests", "{request}", "Tokens to verify", ("result",))
        self.token_cache = {each: tokens.series(each) for each in RESULTS}
        """Counts questions to the caches of verified tokens, by their results."""
        self._near_cache = Counter(
            counter, "jwtsession.near_cache.requests", "{request}", "Loads, where a near cache is on", ("result",)
        )
        self._attempts = _histogram(
            meter, "jwtsession.mutate.attempts", "{attempt}", "Attempts of one mutate()", ATTEMPTS
        )
        self.sockets: Gauge[Any] = Gauge(
            up_down, "jwtsession.sockets", "{socket}", "Open sockets and streams that end with their session", sum
        )
        """Asks for the number of open sockets and streams."""
        self.silence: Gauge[Any] = Gauge(
            meter.create_observable_gauge,
            "jwtsession.near_cache.silence",
            "s",
            "Since the last sign of life of the server that reports changes to the near cache",
            max,
        )
        """Asks for the seconds of silence of the servers."""
        self._dropped = Counter(
            counter, "jwtsession.audit.dropped", "{event}", "Events that a slow on_event hook did not get"
        ).series()

    def resolutions(self, provider: str) -> Resolutions:
        """Return what counts the requests of one provider.

        Args:
            provider: Its name, one of few.
        """
        return Resolutions(self._resolutions, provider)

    def near_cache(self) -> dict[str, Series]:
        """Return what counts the questions to a near cache, by their results."""
        return {each: self._near_cache.series(each) for each in RESULTS}

    def event(self, name: str, reason: str | None) -> None:
        """Count an event.

        Args:
            name: What happened.
            reason: Why, one of few; None for no reason.
        """
        self._events.add(name, reason or "none")

    def dropped(self) -> None:
        """Count an event that the hook did not get."""
        self._dropped.count += 1

    def mutated(self, attempts: int) -> None:
        """Note a `mutate()`.

        Args:
            attempts: How often it tried.
        """
        self._attempts.record(attempts)


def _histogram(meter: Meter, name: str, unit: str, description: str, bounds: Sequence[float]) -> Histogram:
    return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=bounds)


_lock = threading.Lock()
_made: tuple[MeterProvider, Telemetry] | None = None


def shared() -> Telemetry:
    """Return the instruments of this process.

    The SDK takes the callbacks of the first instrument with a name, and forgets those of a second one, so all providers
    share one. If no SDK is set up yet, the API's stand-ins pass on to the one that is set up later.
    """
    global _made
    with _lock:
        current = metrics.get_meter_provider()
        if _made is None or (_made[0] is not current and not _stands_in(_made[0])):
            number = _version()
            meter = metrics.get_meter(NAME, number, schema_url=SCHEMA_URL)
            _made = current, Telemetry(meter, trace.get_tracer(NAME, number, schema_url=SCHEMA_URL))
        return _made[1]


def _stands_in(provider: MeterProvider) -> bool:
    """Whether a provider is the API's own, which passes on to an SDK."""
    return type(provider).__module__.startswith("opentelemetry.metrics")


def _version() -> str:
    try:
        return version("fastapi-jwtsession")
    except PackageNotFoundError:
        return ""
