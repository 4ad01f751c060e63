"""`ByteLRU`: a mapping that takes a bounded number of bytes. The least recently used entries go first."""

from collections import OrderedDict
from collections.abc import Callable, ItemsView
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteLRU(Generic[V]):
    """Values by their texts, of which the least recently used are evicted.

    Args:
        limit: Bytes that all entries may cost together. 0 keeps nothing.
        cost: The bytes that an entry takes, by its key and value. It must return the same at every call: a cost that is
            kept for each entry would itself take memory.
    """

    __slots__ = ("_cost", "_limit", "_values", "size")

    def __init__(self, limit: int, cost: Callable[[str, V], int]) -> None:
        self._limit = limit
        self._cost = cost
        # A plain dict that loses its first key again and again takes ever longer to find the next one.
        self._values: OrderedDict[str, V] = OrderedDict()
        self.size = 0
        """Bytes that all entries cost now."""

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> V | None:
        """The value, which is the most recently used one from now on; None where there is none."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: V) -> None:
        """Keep a value, instead of the one that the key had, and evict others until all fit.

        Args:
            key: Its text.
            value: Anything but None. A value that costs more than the limit is not kept.
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
        """Remove a value and return it; None where there is none."""
        value = self._values.pop(key, None)
        if value is not None:
            self.size -= self._cost(key, value)
        return value

    def clear(self) -> None:
        """Remove all values."""
        self._values.clear()
        self.size = 0

    def items(self) -> ItemsView[str, V]:
        """All keys and values, the least recently used first. To read them is no use of them."""
        return self._values.items()
