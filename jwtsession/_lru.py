"""`ByteLRU`: a mapping with a limit in bytes. It removes the entries first that were not used for longest."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_GENERATIONS = 4


class ByteLRU(Generic[K, V]):
    """A mapping that evicts the entries that were not used for longest.

    Each generation of entries has a plain dict: an ordered mapping would take 50 bytes more for each entry, and would
    change at each read. A new entry goes into the youngest generation, and so does an older one when it is used. When
    a quarter of the limit has been put there, the next one begins. Evicted are entries of the oldest generation. Within
    a generation the order of use is not known.

    Args:
        limit: How many bytes all entries may take together. 0 keeps nothing.
        cost: Returns how many bytes an entry takes, from its key and value. It must always return the same number for
            an entry: the mapping does not keep the number, because that would take memory.
    """

    __slots__ = ("_cost", "_limit", "_older", "_put", "_young", "size")

    def __init__(self, limit: int, cost: Callable[[K, V], int]) -> None:
        self._limit = limit
        self._cost = cost
        self._young: dict[K, V] = {}
        self._put = 0
        self._older: list[dict[K, V]] = []
        self.size = 0
        """How many bytes all entries take now."""

    def __len__(self) -> int:
        return len(self._young) + sum(map(len, self._older))

    def get(self, key: K) -> V | None:
        """Return a value, which counts as its use; None if there is none."""
        try:
            return self._young[key]  # faster than `dict.get`
        except KeyError:
            value = self._pop_older(key)
            if value is not None:
                self._young[key] = value
            return value

    def put(self, key: K, value: V) -> None:
        """Keep a value in place of the key's old value, and evict entries until all fit.

        Args:
            key: The key.
            value: The value; not None. An entry that takes more than the limit is not kept.
        """
        self.pop(key)
        cost = self._cost(key, value)
        if cost > self._limit:
            return
        while self.size + cost > self._limit:
            self._evict()
        self._put += cost
        if self._put > self._limit // _GENERATIONS and len(self._older) < _GENERATIONS:
            self._older.append(self._young)
            self._young, self._put = {}, cost
        self._young[key] = value
        self.size += cost

    def pop(self, key: K) -> V | None:
        """Remove a value and return it; None if there is none."""
        value = self._young.pop(key, None)
        if value is None:
            value = self._pop_older(key)
        if value is not None:
            self.size -= self._cost(key, value)
        return value

    def clear(self) -> None:
        """Remove all values."""
        self._young = {}
        self._put = 0
        self._older = []
        self.size = 0

    def items(self) -> Iterator[tuple[K, V]]:
        """All keys and values, the oldest generation first. Reading them does not count as use."""
        generations = [*self._older, self._young]
        return chain.from_iterable(generation.items() for generation in generations)

    def _pop_older(self, key: K) -> V | None:
        for generation in self._older:
            value = generation.pop(key, None)
            if value is not None:
                return value
        return None

    def _evict(self) -> None:
        while self._older and not self._older[0]:
            del self._older[0]
        if not self._older:
            # All entries were used since the youngest generation began. `popitem` takes the last: the one used first.
            self._older.append(dict(reversed(self._young.items())))
            self._young = {}
        self.size -= self._cost(*self._older[0].popitem())
