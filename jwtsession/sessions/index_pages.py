"""`IndexPages`: the entries of one user, read and ended page by page, so that others are served in between."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping

from ..stores import FORMER, Entry, IndexedSessionStore, IndexPage

IN_FLIGHT_SECONDS = 10.0
"""An entry without a session may so long be that of a login that is under way."""

PAGE = 50
"""Entries that are read or ended in one go. The event loop and the server serve others in between."""

PAUSE = 1.0
"""After each page but the last, others have the event loop and the server for so many times as long as it took."""


class IndexPages:
    """Reads users' indices, and ends sessions together with their entries.

    Args:
        store: Of the sessions and of the index.
        clock: The time in seconds since the epoch.
    """

    def __init__(self, store: IndexedSessionStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def end(self, name: str, entries: Mapping[str, Entry]) -> list[str]:
        """End these sessions; those that there were."""
        if not entries:
            return []
        # In this order: a crash in between leaves entries without sessions, never sessions without an entry.
        ended = await self._store.destroy_all([*entries])
        await self._store.index_prune(name, entries)
        return [each for each, there in zip(entries, ended, strict=True) if there]

    async def read(self, name: str) -> AsyncGenerator[IndexPage]:
        """The entries under a user's name."""
        cursor = 0
        while True:
            began = time.perf_counter()
            page = await self._store.index_page(name, cursor, PAGE)
            yield page
            cursor = page.cursor
            if not cursor:
                return
            await asyncio.sleep(PAUSE * (time.perf_counter() - began))

    async def living(self, name: str) -> AsyncGenerator[list[tuple[str, Entry, int]]]:
        """Sessions that are there, with their milliseconds left. Entries of those that are not are taken out."""
        async with contextlib.aclosing(self.read(name)) as pages:
            async for page in pages:
                yield await self.prune(name, page.entries)

    async def prune(self, name: str, entries: Mapping[str, Entry]) -> list[tuple[str, Entry, int]]:
        """Take out those of the entries whose sessions have ended; the others, with their milliseconds left."""
        left = await self._store.remaining([*entries]) if entries else []
        gone: dict[str, Entry] = {}
        living: list[tuple[str, Entry, int]] = []
        for (each, entry), remaining in zip(entries.items(), left, strict=True):
            if remaining:
                living.append((each, entry, remaining))
            elif (entry.confirmed and not name.startswith(FORMER)) or self.is_old(entry):
                gone[each] = entry
        if gone:
            await self._store.index_prune(name, gone)
        return living

    def is_old(self, entry: Entry) -> bool:
        """Whether no login can be under way any more that has made this entry."""
        # A login enters first and is stored then; the format of before does not tell which has been.
        return abs(self._clock() - entry.seen) >= IN_FLIGHT_SECONDS
