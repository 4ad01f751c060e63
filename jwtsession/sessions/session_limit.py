"""`SessionLimit`: how many sessions a user may have, and what happens to one more."""

import contextlib
import itertools
from collections.abc import Sequence

from ..errors import TooManySessionsError
from ..stores import Entry
from .index_entries import EntryCodec
from .index_pages import PAGE, IndexPages

CEILING = 1000
"""The most sessions of one user where `max_sessions` sets no limit. Beyond it the oldest end."""

EVICT_PAGES = 10
"""A login reads so many pages to find the oldest sessions."""


class SessionLimit:
    """Refuses a login that is one too many, or makes room for it.

    Args:
        pages: Of the index.
        entries: Names the users.
        max_sessions: The most sessions of one user; None for `CEILING`.
        evict: Beyond that end the oldest session, instead of refusing the login.
    """

    def __init__(self, pages: IndexPages, entries: EntryCodec, max_sessions: int | None, *, evict: bool) -> None:
        self._pages = pages
        self._entries = entries
        self._max_sessions = max_sessions
        self.refuses = max_sessions is not None and not evict
        """Whether a login beyond the limit is refused."""

    @property
    def most(self) -> int:
        """The most sessions that a user can have."""
        return max(CEILING, self._max_sessions or 0)

    async def check(self, sub: str, session_id: str, replaced: str | None = None, *, count: int | None = None) -> None:
        """Refuse a session if there is no room for it. Of sessions at the same time those confirmed first have room.

        Args:
            sub: The user.
            session_id: The session, which has entered.
            replaced: A session that ends when this one starts, and does not count.
            count: How many entries are under the user's name, where that is known.

        Raises:
            TooManySessionsError: There is no room.
        """
        if self._max_sessions is None or not self.refuses:
            return
        others = 0
        *former, name = self._entries.names(sub)
        for each in (*former, name):
            if each == name and count is not None and others + count <= self._max_sessions:
                return
            async with contextlib.aclosing(self._pages.living(each)) as pages:
                async for page in pages:
                    for found, entry, _ in page:
                        if each == name and found == session_id and entry.confirmed:
                            return  # who comes behind it is none of its business
                        # What is not confirmed is a login under way, or one that was given up: nobody has its token.
                        others += found not in (session_id, replaced) and (entry.confirmed or each != name)
                        if others >= self._max_sessions:
                            raise TooManySessionsError

    async def make_room(self, former: Sequence[str], name: str, count: int, replaced: str | None) -> list[str]:
        """End the oldest sessions beyond the limit; those that there were.

        Args:
            former: Other names of the user, whose sessions are older.
            name: The user's name.
            count: How many entries are under it.
            replaced: A session that does not count.
        """
        limit = self._max_sessions or CEILING
        most = EVICT_PAGES if self._max_sessions else 1
        oldest: list[tuple[str, str, Entry]] = []
        unread = 0
        for each in (*former, name):
            if each == name and len(oldest) + count <= limit:
                return []
            read = 0
            async with contextlib.aclosing(self._pages.read(each)) as pages:
                async for page in pages:
                    oldest += [
                        (each, found, entry)
                        for found, entry, _ in await self._pages.prune(each, page.entries)
                        # What is not confirmed yet will make room itself.
                        if found != replaced and (entry.confirmed or self._pages.is_old(entry))
                    ]
                    read += len(page.entries)
                    # As it was when the page was read: meanwhile others make room as well.
                    unread = page.total - read if page.cursor else 0
                    if read >= most * PAGE:
                        break
        ending = oldest[: max(0, len(oldest) + unread - limit)]
        ended: list[str] = []
        for each in (*former, name):
            found = {session_id: entry for user, session_id, entry in ending if user == each}
            for start in range(0, len(found), PAGE):
                ended += await self._pages.end(each, dict(itertools.islice(found.items(), start, start + PAGE)))
        return ended
