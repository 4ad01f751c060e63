"""`UserIndex`: the sessions of one user, so that they can be listed, limited and ended together."""

import contextlib
from collections.abc import Callable, Mapping, Sequence

from ..errors import StoreUnavailableError
from ..stores import IndexedSessionStore
from .encryption import Sealer
from .index_entries import EntryCodec, Login, SessionInfo
from .index_pages import IndexPages
from .session_limit import SessionLimit
from .throttle import Throttle

REVOKE_ROUNDS = 100
"""`revoke_all` looks again at most so often where sessions have come meanwhile."""

SAMPLE = 20
"""Each login finds out of so many entries whether their sessions have ended. Of a user with more it looks at some at
random: those that have ended are a small part then, however many there were."""


class UserIndex:
    """The index of each user's sessions. A crash at any point leaves at worst an entry without a session.

    A session is entered before it is stored and confirmed after it, and an entry is removed only as it was read: so
    nobody who takes a login that is under way for dead can leave a session that no index names. Entries without a
    session are removed as they are read, and some with each login.

    Args:
        store: Of the sessions and of the index.
        sealer: Encrypts what is kept of a login.
        keys: Keys of the users' names in the store. Entries are written under the first name, and found under all.
        max_sessions: The most sessions of one user.
        evict: Beyond that end the oldest, instead of refusing the login.
        touch_interval: Seconds between two notes of when a session was last seen.
        max_age: Idle timeout in seconds.
        clock: The time in seconds since the epoch.
    """

    def __init__(
        self,
        store: IndexedSessionStore,
        sealer: Sealer,
        *,
        keys: Sequence[bytes],
        max_sessions: int | None,
        evict: bool,
        touch_interval: float,
        max_age: int,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._entries = EntryCodec(keys, sealer)
        self._pages = IndexPages(store, clock)
        self._limit = SessionLimit(self._pages, self._entries, max_sessions, evict=evict)
        self._has_limit = max_sessions is not None
        self._slack = max_age * 1000
        self._clock = clock
        self._notes = Throttle(touch_interval, clock)
        self.check_limit = self._limit.check

    async def add(self, sub: str, session_id: str, login: Login, ttl: int) -> None:
        """Put a session into the index that is about to be stored.

        Raises:
            InvalidArgumentError: No user can have this `sub`.
            StoreUnavailableError: The store did not answer.
        """
        name = self._entries.names(sub)[-1]
        data = self._entries.seal(name, session_id, login)
        await self._store.index_add(name, session_id, data, self._clock(), self._life(ttl), confirmed=False)

    async def confirm(
        self, sub: str, session_id: str, login: Login, ttl: int, *, moved: bool, replaced: str | None = None
    ) -> list[str] | None:
        """Confirm that a session that has entered is stored, and end the oldest of the user's beyond the limit.

        After a session was stored: before it, what comes in between would go unnoticed.

        Args:
            sub: The user.
            session_id: The session.
            login: As it entered.
            ttl: Milliseconds that it lives.
            moved: It is an old session under a new id.
            replaced: A session that ends when this one starts, and does not count.

        Returns:
            Those that were ended. None where it was `moved`, and somebody took it out of the index, to end it.

        Raises:
            TooManySessionsError: It is one too many.
            StoreUnavailableError: The store did not answer.
        """
        *former, name = self._entries.names(sub)
        added = await self._store.index_add(
            name,
            session_id,
            self._entries.seal(name, session_id, login),
            self._clock(),
            self._life(ttl),
            only_if_present=moved,
            sample=SAMPLE,
        )
        if not added.is_present:
            return None
        self._notes.done(session_id)
        ended: list[str] = []
        if not self._limit.refuses:
            ended = await self._limit.make_room(former if self._has_limit else [], name, added.total, replaced)
        elif not moved:
            await self.check_limit(sub, session_id, replaced, count=added.total)
        if added.total > 1 and not ended:
            with contextlib.suppress(StoreUnavailableError):  # the next login does it
                await self._pages.prune(name, added.sample)
        return ended

    async def note_use(self, sub: str, session_id: str, login: Login, ttl: int) -> None:
        """Note that a session was used. What can't be noted is noted the next time: the session is used all the same.

        Ask `is_due` first.
        """
        self._notes.done(session_id)
        name = self._entries.names(sub)[-1]
        data = self._entries.seal(name, session_id, login)
        with contextlib.suppress(StoreUnavailableError):
            added = await self._store.index_add(name, session_id, data, self._clock(), self._life(ttl))
            if not added.was_present:
                # From before the index, or it has ended since it was loaded: then it must not come back into it.
                if (await self._store.remaining([session_id]))[0] == 0:
                    await self._store.index_remove(name, [session_id])
                elif not self._limit.refuses:
                    await self._limit.make_room([], name, added.total, None)

    def is_due(self, session_id: str) -> bool:
        """Whether `seen` was not told of the session within `touch_interval`."""
        return self._notes.due(session_id)

    async def remove(self, sub: str, session_id: str) -> None:
        """Take a session out of the index."""
        await self._store.index_remove(self._entries.names(sub)[-1], [session_id])

    async def has(self, sub: str, session_id: str) -> bool:
        """Whether the session is this user's."""
        for name in reversed(self._entries.names(sub)):
            if await self._store.index_has(name, session_id):
                return True
        return False

    async def sessions(self, sub: str) -> list[SessionInfo]:
        """The user's sessions, the one used last first; at most as many as a user can have."""
        most = self._limit.most
        found: dict[str, SessionInfo] = {}
        for name in self._entries.names(sub):
            async for page in self._pages.living(name):
                now = self._clock()
                for each, entry, left in page:
                    login = self._entries.login(name, each, entry)
                    if (
                        each in found and login.client is None
                    ):  # noted under a newer name, which knows less of the login
                        login = Login(found[each].created, found[each].client, found[each].user_agent)
                    found[each] = SessionInfo(
                        each, login.created, entry.seen, now + left / 1000, login.client, login.user_agent
                    )
                if len(found) > 2 * most:
                    found = {info.id: info for info in _last_used(found, most)}
        return _last_used(found, most)

    async def revoke_all(self, sub: str, except_id: str | None, tell: Callable[[str], None]) -> int:
        """End the user's sessions, page by page; how many there were.

        Also those that are on their way from one id to another, so that nobody escapes by `regenerate`: either the new
        id has entered when the old one is found gone, or what is taken out here is not confirmed any more.

        Args:
            sub: The user.
            except_id: A session that goes on.
            tell: Is told each id that was ended, page by page.

        Raises:
            StoreUnavailableError: The store did not answer. Its `ended` tells how many sessions have ended.
        """
        ended = 0
        names = self._entries.names(sub)
        try:
            for _ in range(REVOKE_ROUNDS):
                again = False
                for name in names:
                    async for page in self._pages.read(name):
                        entries = page.entries
                        entries.pop(except_id or "", None)
                        again = again or bool(entries)
                        for each in await self._pages.end(name, entries):
                            tell(each)
                            ended += 1
                if not again:
                    break
        except StoreUnavailableError as error:
            error.ended = ended
            raise
        return ended

    def _life(self, ttl: int) -> int:
        # Twice: between two notes a session's time to live is extended by less than all of it.
        return ttl + max(ttl, self._slack)


def _last_used(found: Mapping[str, SessionInfo], most: int) -> list[SessionInfo]:
    return sorted(found.values(), key=lambda info: info.last_seen, reverse=True)[:most]
