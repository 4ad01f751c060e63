"""`SessionLimit`: how many sessions a user may have, and what happens at a login beyond the limit."""

import asyncio
import contextlib
import itertools
import math
from collections.abc import Callable, Sequence

from ...errors import TooManySessionsError
from ...stores import Entry
from ..cutoff import KNOWN_SECONDS, Cutoff
from .entries import EntryCodec
from .pages import PAGE, IndexPages

CEILING = 1000
"""The most sessions of one user if `max_sessions` is not set. At a login beyond it, the oldest sessions end."""

EVICT_PAGES = 10
"""How many pages a login reads, at most, to find the oldest sessions."""


class SessionLimit:
    """Refuses a login beyond the limit, or ends the user's oldest sessions to make room for it.

    Args:
        pages: Reads the index.
        entries: Computes the users' names.
        max_sessions: The most sessions of one user; None means `CEILING`.
        evict: Whether a login beyond the limit ends the oldest session; otherwise it is refused.
        cutoff: Knows which sessions nobody has a token of any more; None if the setting `revoke_before` is off.
    """

    def __init__(
        self,
        pages: IndexPages,
        entries: EntryCodec,
        max_sessions: int | None,
        *,
        evict: bool,
        cutoff: Cutoff | None = None,
    ) -> None:
        self._pages = pages
        self._entries = entries
        self._max_sessions = max_sessions
        self._cutoff = cutoff
        self.refuses = max_sessions is not None and not evict
        """Whether a login beyond the limit is refused."""

    @property
    def most(self) -> int:
        """The most sessions that a user can have."""
        return max(CEILING, self._max_sessions or 0)

    async def check(self, sub: str, session_id: str, replaced: str | None = None, *, count: int | None = None) -> None:
        """Refuse a session if the user has no room for it. Of logins at the same time, those confirmed first succeed.

        Args:
            sub: The user.
            session_id: The session, whose entry is already in the index.
            replaced: A session that ends when this one starts, and so does not count.
            count: How many entries are under the user's name; None if the caller does not know.

        Raises:
            TooManySessionsError: The user has no room for the session.
            StoreUnavailableError: The store did not answer.
        """
        if self._max_sessions is None or not self.refuses:
            return
        others, usable_from = 0, -math.inf
        if self._cutoff is not None:
            await self._cutoff.learn()
            # A session of that second has a token that is refused, because `iat` has whole seconds; and workers that
            # did not know yet have counted uses.
            usable_from = self._cutoff.known + KNOWN_SECONDS
        *former, name = self._entries.names(sub)
        for each in (*former, name):
            if each == name and count is not None and others + count <= self._max_sessions:
                return
            async with contextlib.aclosing(self._pages.living(each)) as pages:
                async for page in pages:
                    for found, entry, _ in page:
                        if each == name and found == session_id and entry.confirmed:
                            return  # entries behind it were confirmed later, so they don't count for it
                        # An entry that is not confirmed is a login that has not finished, or never will: nobody has
                        # its token yet.
                        counts = found not in (session_id, replaced) and (entry.confirmed or each != name)
                        counts = counts and not self._is_acted(each, found, entry)
                        # Whoever was logged out by revoke_before() could not use the session since.
                        others += counts and int(entry.seen) >= usable_from
                        if others >= self._max_sessions:
                            raise TooManySessionsError

    async def make_room(
        self,
        former: Sequence[str],
        name: str,
        count: int,
        replaced: str | None,
        on_ended: Callable[[str], object],
    ) -> int:
        """End the user's oldest sessions beyond the limit, page by page.

        Args:
            former: Older names of the user in the store. The sessions under them are older.
            name: The user's name in the store.
            count: How many entries are under `name`.
            replaced: A session that ends anyway, and so does not count.
            on_ended: Called with the id of each session that ended, page by page.

        Returns:
            How many sessions ended.

        Raises:
            StoreUnavailableError: The store did not answer. Some sessions may have ended.
        """
        limit = self._max_sessions or CEILING
        most = EVICT_PAGES if self._max_sessions else 1
        oldest: list[tuple[str, str, Entry]] = []
        unread = 0
        for each in (*former, name):
            if each == name and len(oldest) + count <= limit:
                return 0
            read = 0
            async with contextlib.aclosing(self._pages.read(each)) as pages:
                async for page in pages:
                    oldest += [
                        (each, found, entry)
                        for found, entry, _ in await self._pages.prune(each, page.entries)
                        # A login that is not confirmed yet will make room for itself.
                        if found != replaced
                        and (entry.confirmed or self._pages.is_old(entry))
                        and not self._is_acted(each, found, entry)
                    ]
                    read += len(page.entries)
                    # Count as of when the page was read, because other logins make room at the same time.
                    unread = page.total - read if page.cursor else 0
                    if read >= most * PAGE:
                        break
        ending = oldest[: max(0, len(oldest) + unread - limit)]
        ended = 0

        def count_ended(session_id: str) -> None:
            nonlocal ended
            ended += 1
            on_ended(session_id)

        for each in (*former, name):
            found = {session_id: entry for user, session_id, entry in ending if user == each}
            for start in range(0, len(found), PAGE):
                part = dict(itertools.islice(found.items(), start, start + PAGE))
                await self._pages.end(each, part, count_ended)
                await asyncio.sleep(0)  # others are served in between, also where the store is in memory
        return ended

    def _is_acted(self, name: str, session_id: str, entry: Entry) -> bool:
        """Whether somebody acts for the user in this session: it does not count, and no login of the user ends it."""
        return self._entries.login(name, session_id, entry).actor is not None
