"""`MemoryUserIndex`: one user in `MemorySessionStore`. In a large index a page takes as long as in a small one."""

import bisect
import random

from .base import Entry, IndexPage


class MemoryUserIndex:
    """The entries of one user, in the order in which they were added or confirmed."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._places: list[tuple[int, str]] = []
        """Each entry's order and session id, ascending."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, session_id: str) -> Entry | None:
        """The entry of a session; None if it has none."""
        return self._entries.get(session_id)

    def put(self, session_id: str, entry: Entry) -> None:
        """Add an entry, or replace that of the same session."""
        old = self._entries.get(session_id)
        if old is None or old.order != entry.order:
            self.remove(session_id)
            bisect.insort(self._places, (entry.order, session_id))
        self._entries[session_id] = entry

    def remove(self, session_id: str) -> None:
        """Remove an entry, if it is there."""
        old = self._entries.pop(session_id, None)
        if old is not None:
            del self._places[bisect.bisect_left(self._places, (old.order, session_id))]

    def page(self, cursor: int, limit: int) -> IndexPage:
        """See `UserIndexStore.index_page`."""
        start = bisect.bisect_left(self._places, (cursor + 1, ""))
        places = self._places[start : start + limit]
        has_more = start + limit < len(self._places)
        return IndexPage({each: self._entries[each] for _, each in places}, places[-1][0] if has_more else 0, len(self))

    def sample(self, count: int) -> dict[str, Entry]:
        """So many entries at random; all if there are no more."""
        places = random.sample(self._places, min(count, len(self._places)))
        return {each: self._entries[each] for _, each in places}
