"""`SessionListing`: lists a user's sessions. However many they are, no step of it stops the event loop for long."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable

from ...errors import InvalidArgumentError
from ...stores import Entry
from .entries import EntryCodec, Login, SessionInfo
from .pages import IndexPages

STEP = 1000
"""How many sessions are sorted in one step: less than a millisecond."""


class SessionListing:
    """Lists users' sessions.

    Args:
        pages: Reads the index.
        entries: Computes the users' names, and decodes the data of logins.
        clock: Returns the time in seconds since the epoch.
        most: The most sessions that a user can have.
    """

    def __init__(self, pages: IndexPages, entries: EntryCodec, clock: Callable[[], float], most: int) -> None:
        self._pages = pages
        self._entries = entries
        self._clock = clock
        self._most = most

    async def sessions(self, sub: str, current_id: str | None = None, limit: int | None = None) -> list[SessionInfo]:
        """Return the user's sessions, the one used last first; at most as many as a user can have.

        The session that asks is one of them, however long ago it was used.

        Args:
            sub: The user.
            current_id: The session that asks.
            limit: At most so many, those used last; None for all.

        Raises:
            InvalidArgumentError: No user can have this `sub`, or `limit` is not a positive `int`.
            StoreUnavailableError: The store did not answer.
        """
        most = self._most if limit is None else min(self._most, _checked(limit))
        found: dict[str, SessionInfo] = {}
        own: SessionInfo | None = None
        for name in self._entries.names(sub):
            async for page in self._pages.living(name):
                now = self._clock()
                for each, entry, left in page:
                    login = self._entries.login(name, each, entry)
                    if login.acts_for is None:  # otherwise it is a session of that user
                        found[each] = _info(each, login, entry, now + left / 1000, found.get(each), current_id)
                own = found.get(current_id or "", own)
                if len(found) > max(2 * most, STEP):
                    found = {info.id: info async for part in _last_used(found.values(), most) for info in part}
        listed = [info async for part in _last_used(found.values(), most) for info in part]
        if own is not None and not any(info.current for info in listed):
            listed[-1] = own
        return listed


def _info(
    session_id: str, login: Login, entry: Entry, expires: float, before: SessionInfo | None, current_id: str | None
) -> SessionInfo:
    """Describe a session. `before` is what an entry under an older name says of it."""
    if before is not None and login.client is None:
        # A use recorded this entry under a newer name, without the client's data of the login.
        login = Login(before.created, before.client, before.user_agent, login.label, before.actor)
    return SessionInfo(
        session_id,
        login.created,
        entry.seen,
        expires,
        login.client,
        login.user_agent,
        login.label,
        login.actor,
        session_id == current_id,
    )


async def _last_used(found: Iterable[SessionInfo], most: int) -> AsyncGenerator[list[SessionInfo]]:
    """Yield those used last, the latest first, `STEP` at a time. Others are served between two steps."""
    sessions = list(found)
    runs: list[list[SessionInfo]] = []
    for start in range(0, len(sessions), STEP):
        if start:
            await asyncio.sleep(0)
        runs.append(sorted(sessions[start : start + STEP], key=_last_seen, reverse=True))
    # One sort of all of them would be one long call. It would give the same order: this is as stable.
    merged = itertools.islice(heapq.merge(*runs, key=_last_seen, reverse=True), most)
    while part := list(itertools.islice(merged, STEP)):
        yield part
        if len(part) == STEP:
            await asyncio.sleep(0)


def _last_seen(info: SessionInfo) -> float:
    return info.last_seen


def _checked(limit: object) -> int:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise InvalidArgumentError("limit: must be a positive whole number")
    return limit
