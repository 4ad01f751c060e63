"""`ByteLRU`: a mapping that takes a bounded number of bytes. The least recently used entries go first."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteLRU(Generic[V]):
    """Values by their texts, of which the least recently used are evicted.

    Args:
        limit: Bytes that all entries may cost together. 0 keeps nothing.
    """

    __slots__ = ("_entries", "_limit", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Each with its cost. A plain dict that loses its first key again and again takes ever longer to find the next.
        self._entries: OrderedDict[str, tuple[V, int]] = OrderedDict()
        self.size = 0
        """Bytes that all entries cost now."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> V | None:
        """The value, which is the most recently used one from now on; None where there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: str, value: V, cost: int) -> None:
        """Keep a value, instead of the one that the key had, and evict others until all fit.

        Args:
            key: Its text.
            value: Anything but None.
            cost: Bytes that the whole entry takes. A value that costs more than the limit is not kept.
        """
        self.pop(key)
        if cost > self._limit:
            return
        self._entries[key] = value, cost
        self.size += cost
        while self.size > self._limit:
            self.size -= self._entries.popitem(last=False)[1][1]

    def pop(self, key: str) -> V | None:
        """Remove a value and return it; None where there is none."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self.size -= entry[1]
        return entry[0]

    def clear(self) -> None:
        """Remove all values."""
        self._entries.clear()
        self.size = 0

    def items(self) -> Iterator[tuple[str, V]]:
        """All keys and values, the least recently used first. To read them is no use of them."""
        return ((key, value) for key, (value, _) in self._entries.items())
