"""`IndexPages`: reads and ends the entries of one user page by page, so that others are served in between."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping

from ...stores import FORMER, Entry, IndexedSessionStore, IndexPage

IN_FLIGHT_SECONDS = 10.0
"""For so long after its creation, an entry without a session may belong to a login that is not finished yet."""

PAGE = 50
"""How many entries are read or ended in one step. The event loop and the server serve others between two steps."""

PAUSE = 1.0
"""The pause after each page but the last, as a multiple of the time that reading the page took."""


class IndexPages:
    """Reads users' indices, and ends sessions together with their entries.

    Args:
        store: Holds the sessions and the index.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(self, store: IndexedSessionStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def end(self, name: str, entries: Mapping[str, Entry], on_ended: Callable[[str], object]) -> None:
        """End these sessions and remove their entries.

        Args:
            name: The user's name in the store.
            entries: The entries to end, by session id.
            on_ended: Called with the id of each session that existed, as soon as all of them have ended.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        if not entries:
            return
        # Sessions first: a crash in between leaves entries without sessions, and never a session without an entry.
        ended = await self._store.destroy_all([*entries])
        # Tell now: if the next line fails, no later call finds these sessions.
        for each, there in zip(entries, ended, strict=True):
            if there:
                on_ended(each)
        await self._store.index_prune(name, entries)

    async def read(self, name: str) -> AsyncGenerator[IndexPage]:
        """Yield the entries under a user's name, page by page, with a pause after each page."""
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
        """Yield the existing sessions, page by page, and remove the entries of ended ones.

        Each item is the session's id, its entry, and the milliseconds that it has left.
        """
        async with contextlib.aclosing(self.read(name)) as pages:
            async for page in pages:
                yield await self.prune(name, page.entries)

    async def prune(self, name: str, entries: Mapping[str, Entry]) -> list[tuple[str, Entry, int]]:
        """Remove those of the entries whose sessions have ended.

        Returns:
            The other entries: the session's id, its entry, and the milliseconds that it has left.
        """
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
        """Whether the login that made this entry must be finished or dead by now."""
        # A login adds its entry before it stores its session. In the former format the entry does not say whether the
        # session has been stored.
        return abs(self._clock() - entry.seen) >= IN_FLIGHT_SECONDS
