"""`Counter` and `Gauge`: numbers that this process keeps, and that OpenTelemetry asks for when it collects.

To add 1 to an instrument of OpenTelemetry's SDK takes about as long as a tenth of a request. To add 1 to a number takes
nothing, and the reader sees the same counter.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Observation

T = TypeVar("T")

OTHER = "_OTHER"
"""Stands for the values beyond the limit: OpenTelemetry's own word for a value that is not known."""

MOST_SERIES = 500
"""How many series a counter has at most. OpenTelemetry folds more than 2,000 into one, in silence."""


class Series:
    """The number of one set of attributes. The event loop adds to `count`; a reader's thread only reads it."""

    __slots__ = ("attributes", "count")

    def __init__(self, attributes: dict[str, str]) -> None:
        self.attributes = attributes
        self.count = 0


class Counter:
    """Counts what happens, by attributes with few values each.

    Args:
        create: Makes the instrument: a method of a meter.
        name: The instrument's name.
        unit: What it counts, as UCUM writes it.
        description: What it counts, for people.
        keys: The names of its attributes.
    """

    def __init__(
        self, create: Callable[..., object], name: str, unit: str, description: str, keys: Iterable[str] = ()
    ) -> None:
        self._keys = tuple(keys)
        self._series: dict[tuple[str, ...], Series] = {}
        create(name, [self._observe], unit, description)

    def series(self, *values: str) -> Series:
        """Return the number for the attributes' values. A caller that adds often keeps it.

        Args:
            values: In the order of the keys. An empty one is an attribute that is not there.
        """
        found = self._series.get(values)
        if found is not None:
            return found
        if len(self._series) >= MOST_SERIES:
            values = (OTHER,) * len(values)
        # `setdefault` is one step: several threads get the same object.
        attributes = {key: value for key, value in zip(self._keys, values, strict=True) if value}
        return self._series.setdefault(values, Series(attributes))

    def add(self, *values: str) -> None:
        """Count once, for the attributes' values."""
        self.series(*values).count += 1

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(each.count, each.attributes) for each in [*self._series.values()]]


class Gauge(Generic[T]):
    """A number that objects know, each as long as it lives.

    Args:
        create: Makes the instrument: a method of a meter.
        name: The instrument's name.
        unit: Its unit, as UCUM writes it.
        description: What it is, for people.
        fold: Makes one number of those of several objects.
    """

    def __init__(
        self,
        create: Callable[..., object],
        name: str,
        unit: str,
        description: str,
        fold: Callable[[list[float]], float],
    ) -> None:
        self._fold = fold
        self._lock = threading.Lock()
        self._readers: WeakKeyDictionary[T, Callable[[T], float | None]] = WeakKeyDictionary()
        create(name, [self._observe], unit, description)

    def add(self, source: T, read: Callable[[T], float | None]) -> None:
        """Ask an object from now on. The gauge does not keep it alive.

        Args:
            source: The object.
            read: Returns its number; None if it has none now.
        """
        with self._lock:
            self._readers[source] = read

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            readers = [*self._readers.items()]
        found = [number for number in (read(source) for source, read in readers) if number is not None]
        return [Observation(self._fold(found))] if found else []
