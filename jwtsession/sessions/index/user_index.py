"""`UserIndex`: the index of each user's sessions, so that they can be listed, limited and ended together."""

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..._ids import handle_of
from ...errors import InvalidArgumentError, StoreUnavailableError
from ...stores import Entry, IndexedSessionStore
from ..cutoff import Cutoff
from ..encryption import Sealer
from ..throttle import Throttle
from .entries import EntryCodec, Login
from .listing import SessionListing
from .pages import IndexPages
from .session_limit import SessionLimit

REVOKE_ROUNDS = 100
"""`revoke_all` reads the index at most so often: it reads again while it finds new sessions."""

SAMPLE = 20
"""Each login checks so many random entries of the user, and removes those whose sessions have ended. So the entries of
ended sessions stay a small part of the index."""


class UserIndex:
    """The index of each user's sessions. After a crash an entry may have no session, but each session has an entry.

    A login adds the entry, stores the session, and then confirms the entry. An entry is removed only if nobody has
    changed it since it was read. So a reader that wrongly takes a slow login for a dead one can't leave a session
    without an entry. Entries without a session are removed when they are read, and some at each login.

    Args:
        store: Holds the sessions and the index.
        sealer: Encrypts the data of logins.
        keys: HMAC keys of the users' names in the store. Entries are written under the first key's name, and found
            under the names of all keys.
        max_sessions: The most sessions of one user; None means 1,000.
        evict: Whether a login beyond the limit ends the oldest session; otherwise it is refused.
        touch_interval: The index records at most once in so many seconds that a session was used.
        max_age: Idle timeout in seconds.
        clock: Returns the time in seconds since the epoch.
        cutoff: Knows which sessions nobody has a token of any more; None if the setting `revoke_before` is off.
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
        cutoff: Cutoff | None = None,
    ) -> None:
        self._store = store
        self._entries = EntryCodec(keys, sealer)
        self._pages = IndexPages(store, clock)
        self._limit = SessionLimit(self._pages, self._entries, max_sessions, evict=evict, cutoff=cutoff)
        self._has_limit = max_sessions is not None
        self._slack = max_age * 1000
        self._clock = clock
        self._notes = Throttle(touch_interval, clock)
        self.check_limit = self._limit.check
        self.sessions = SessionListing(self._pages, self._entries, clock, self._limit.most).sessions
        """See `SessionListing.sessions`."""

    async def add(self, sub: str, session_id: str, login: Login, ttl: int) -> None:
        """Add the entry of a session that is about to be stored.

        Args:
            sub: The user.
            session_id: The session.
            login: The data of the login.
            ttl: The session's time to live in milliseconds.

        Raises:
            InvalidArgumentError: No user can have this `sub`.
            StoreUnavailableError: The store did not answer.
        """
        name = self._entries.names(sub)[-1]
        data = self._entries.seal(name, session_id, login)
        await self._store.index_add(name, session_id, data, self._clock(), self._life(ttl), confirmed=False)

    async def confirm(
        self,
        sub: str,
        session_id: str,
        login: Login,
        ttl: int,
        *,
        moved: bool,
        replaced: str | None = None,
        on_ended: Callable[[str], object],
    ) -> bool:
        """Mark an entry's session as stored, and end the user's oldest sessions beyond the limit.

        Call this after the session is stored. Earlier, it could miss a login that comes in between.

        Args:
            sub: The user.
            session_id: The session.
            login: The data of the login, as it was added.
            ttl: The session's time to live in milliseconds.
            moved: Whether this is an old session under a new id.
            replaced: A session that ends when this one starts, and so does not count.
            on_ended: Called with the id of each session that ended beyond the limit, page by page.

        Returns:
            False if the session was `moved`, and somebody removed its entry to end it.

        Raises:
            TooManySessionsError: The user has too many sessions.
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
            return False
        self._notes.done(session_id)
        if login.actor is not None:  # it takes no room from the user
            return True
        ended = 0
        if not self._limit.refuses:
            former = former if self._has_limit else []
            ended = await self._limit.make_room(former, name, added.total, replaced, on_ended)
        elif not moved:
            await self.check_limit(sub, session_id, replaced, count=added.total)
        if added.total > 1 and not ended:
            with contextlib.suppress(StoreUnavailableError):  # the next login will prune
                await self._pages.prune(name, added.sample)
        return True

    async def note_use(
        self, sub: str, session_id: str, login: Login, ttl: int, on_ended: Callable[[str], object]
    ) -> Login | None:
        """Record that a session was used. If the store does not answer, a later use is recorded instead.

        Call this only if `is_due` says so.

        Args:
            sub: The user.
            session_id: The session.
            login: The data of the login, for an entry that does not exist yet.
            ttl: The session's time to live in milliseconds.
            on_ended: Called with the id of each session that ended because a new entry is beyond the limit.

        Returns:
            The data of the login as the index has it; None if that is not known.
        """
        self._notes.done(session_id)
        names = self._entries.names(sub)
        name = names[-1]
        data = self._entries.seal(name, session_id, login)
        with contextlib.suppress(StoreUnavailableError):
            added = await self._store.index_add(name, session_id, data, self._clock(), self._life(ttl))
            if added.was_present:
                return self._entries.opened(name, session_id, added.data)
            # The user's name in the store has changed, or the session is older than the index, or it has ended since it
            # was loaded: then remove the new entry.
            former = await self._login(names[:-1], session_id)
            if former is not None:
                await self._store.index_set(name, session_id, self._entries.seal(name, session_id, former))
            if (await self._store.remaining([session_id]))[0] == 0:
                await self._store.index_remove(name, [session_id])
            elif not self._limit.refuses:
                await self._limit.make_room([], name, added.total, None, on_ended)
            return former
        return None

    def is_due(self, session_id: str) -> bool:
        """Whether no use of the session was recorded within `touch_interval`."""
        return self._notes.due(session_id)

    async def remove(self, sub: str, session_id: str) -> None:
        """Remove a session's entry."""
        await self._store.index_remove(self._entries.names(sub)[-1], [session_id])

    async def login(self, sub: str, session_id: str) -> Login | None:
        """Return the data of a session's login; None if the session is not this user's."""
        login = await self._login(self._entries.names(sub), session_id)
        return None if login is None or login.acts_for is not None else login

    async def _login(self, names: Sequence[str], session_id: str) -> Login | None:
        """The data of a login under the newest of the names that has the session."""
        for name in reversed(names):
            data = await self._store.index_get(name, session_id)
            if data is not None:
                return self._entries.login(name, session_id, Entry(0, data, self._clock()))
        return None

    async def find(self, sub: str, handle: object) -> tuple[str, str | None] | None:
        """Find the user's session that has this handle.

        Returns:
            Its id, and who acts for the user in it, if anybody does. None if no living session has the handle.
        """
        if not isinstance(handle, str):
            raise InvalidArgumentError(f"handle: must be a text, not {type(handle).__name__}")
        for name in reversed(self._entries.names(sub)):
            async with contextlib.aclosing(self._pages.living(name)) as pages:
                async for page in pages:
                    for session_id, entry, _ in page:
                        if handle_of(session_id) == handle:
                            login = self._entries.login(name, session_id, entry)
                            return None if login.acts_for is not None else (session_id, login.actor)
        return None

    async def set_label(self, sub: str, session_id: str, label: str | None) -> bool:
        """Replace the user's name for a session. False if the session is gone.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        login = await self.login(sub, session_id)
        left = (await self._store.remaining([session_id]))[0]
        if not left:
            return False
        now, name = self._clock(), self._entries.names(sub)[-1]
        data = self._entries.seal(name, session_id, replace(login or Login(now), label=label))
        if await self._store.index_set(name, session_id, data):
            return True
        # The session's entry is under an older name of the user: as a use does, this writes one under the newest name.
        await self._store.index_add(name, session_id, data, now, self._life(left))
        return bool((await self._store.remaining([session_id]))[0])

    async def revoke_all(self, sub: str, except_id: str | None, on_ended: Callable[[str, Login], None]) -> int:
        """End the user's sessions, page by page, and return how many ended.

        A session does not escape while `regenerate` moves it from one id to another: either its new id is already in
        the index when the old one is found gone, or this removes its entry, and `confirm` then returns False.

        Args:
            sub: The user.
            except_id: A session that goes on.
            on_ended: Called for each session that ended, page by page: with its id, and the data of its login.

        Raises:
            StoreUnavailableError: The store did not answer. Its `ended` counts the sessions that have ended.
        """
        ended = 0

        def tell(name: str, entries: Mapping[str, Entry], session_id: str) -> None:
            nonlocal ended
            ended += 1
            on_ended(session_id, self._entries.login(name, session_id, entries[session_id]))

        names = self._entries.names(sub)
        try:
            for _ in range(REVOKE_ROUNDS):
                again = False
                for name in names:
                    async for page in self._pages.read(name):
                        entries = page.entries
                        entries.pop(except_id or "", None)
                        again = again or bool(entries)
                        await self._pages.end(name, entries, functools.partial(tell, name, entries))
                if not again:
                    break
        except StoreUnavailableError as error:
            error.ended = ended
            raise
        return ended

    def _life(self, ttl: int) -> int:
        # Twice as long: between two records in the index, uses of the session extend its time to live by less than it.
        return ttl + max(ttl, self._slack)
