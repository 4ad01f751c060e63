"""`ByteLRU`: a mapping with a limit in bytes. It removes the least recently used entries first."""

from collections import OrderedDict
from collections.abc import Callable, ItemsView
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteLRU(Generic[V]):
    """A mapping from texts to values that evicts the least recently used entries.

    Args:
        limit: How many bytes all entries may take together. 0 keeps nothing.
        cost: Returns how many bytes an entry takes, from its key and value. It must always return the same number for
            an entry: the mapping does not keep the number, because that would take memory.
    """

    __slots__ = ("_cost", "_limit", "_values", "size")

    def __init__(self, limit: int, cost: Callable[[str, V], int]) -> None:
        self._limit = limit
        self._cost = cost
        # Not a plain dict: the more first keys a dict has lost, the longer it searches for the next one.
        self._values: OrderedDict[str, V] = OrderedDict()
        self.size = 0
        """How many bytes all entries take now."""

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> V | None:
        """Return a value and make it the most recently used one; None if there is none."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: V) -> None:
        """Keep a value in place of the key's old value, and evict entries until all fit.

        Args:
            key: The key.
            value: The value; not None. An entry that takes more than the limit is not kept.
        """
        self.pop(key)
        cost = self._cost(key, value)
        if cost > self._limit:
            return
        self._values[key] = value
        self.size += cost
        while self.size > self._limit:
            self.size -= self._cost(*self._values.popitem(last=False))

    def pop(self, key: str) -> V | None:
        """Remove a value and return it; None if there is none."""
        value = self._values.pop(key, None)
        if value is not None:
            self.size -= self._cost(key, value)
        return value

    def clear(self) -> None:
        """Remove all values."""
        self._values.clear()
        self.size = 0

    def items(self) -> ItemsView[str, V]:
        """All keys and values, the least recently used first. Reading them does not make them recently used."""
        return self._values.items()
