"""`UserIndex`: the sessions of one user, so that they can be listed, limited and ended together."""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from .encryption import Sealer
from .errors import InvalidArgumentError, SessionCorruptError, StoreUnavailableError, TooManySessionsError
from .stores import FORMER, Entry, IndexedSessionStore, IndexPage
from .throttle import Throttle

IN_FLIGHT_SECONDS = 10.0
"""For which an entry without a session may be that of a login that is under way."""

REVOKE_ROUNDS = 100
"""How often `revoke_all` looks again where sessions have come meanwhile."""

CEILING = 1000
"""The most sessions of one user where `max_sessions` sets no limit: beyond it the oldest end."""


PAGE = 50
"""Entries that are read or ended in one go: the event loop and the server serve others in between."""

PAUSE = 1.0
"""After each page but the last others have the event loop and the server for so many times as long as it took."""

EVICT_PAGES = 10
"""How many pages a login reads to find the oldest sessions."""

SAMPLE = 20
"""Entries of which each login finds out whether their sessions have ended. Of a user with more it is some at random:
those that have ended are a small part then, however many there were."""

CLIENT_BYTES = 256
"""To which a client's address and user agent are cut: clients choose them."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One of a user's sessions. Times are seconds since the epoch."""

    id: str = field(repr=False)
    """The session's id, for `SessionProvider.revoke`."""
    created: float
    """When the user logged in."""
    last_seen: float
    """When the session was last used, exact to `touch_interval`."""
    expires: float
    """When it ends, if nobody uses it until then."""
    client: str | None = None
    """The client's address at the login, with `capture_client`."""
    user_agent: str | None = None
    """The client's user agent at the login, with `capture_client`."""


@dataclass(frozen=True, slots=True)
class Login:
    """What the index keeps of a login."""

    created: float
    client: str | None = None
    user_agent: str | None = None


_LOGIN = TypeAdapter(Login)


class UserIndex:
    """The index of each user's sessions. A crash at any point leaves at worst an entry without a session.

    A session is entered before it is stored and confirmed after it, and an entry is removed only as it was read: so
    nobody who takes a login that is under way for dead can leave a session that no index names. Entries without a
    session are removed as they are read, and some with each login.

    Args:
        keys: Of the users' names in the store. Entries are written under the first, and found under all.
        max_sessions: The most sessions of one user.
        evict: Beyond that end the oldest, instead of refusing the login.
        touch_interval: Seconds between two notes of when a session was last seen.
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
        self._sealer = sealer
        self._keys = keys
        self._max_sessions = max_sessions
        self._refuses = max_sessions is not None and not evict
        self._slack = max_age * 1000
        self._clock = clock
        self._notes = Throttle(touch_interval, clock)

    async def enter(self, sub: str, session_id: str, login: Login, ttl: int) -> None:
        """Put a session into the index that is about to be stored.

        Raises:
            InvalidArgumentError: No user can have this `sub`.
            StoreUnavailableError: The store did not answer.
        """
        name = self._names(sub)[-1]
        data = self._seal(name, session_id, login)
        await self._store.index_add(name, session_id, data, self._clock(), self._life(ttl), confirmed=False)

    async def check_limit(
        self, sub: str, session_id: str, replaced: str | None = None, *, count: int | None = None
    ) -> None:
        """Refuse a session if there is no room for it. Of sessions at the same time those confirmed first have room.

        Args:
            sub: The user.
            session_id: The session, which has entered.
            replaced: A session that ends when this one starts, and does not count.
            count: How many entries are under the user's name, where that is known.

        Raises:
            TooManySessionsError: There is no room.
        """
        if self._max_sessions is None or not self._refuses:
            return
        others = 0
        *former, name = self._names(sub)
        for each in (*former, name):
            if each == name and count is not None and others + count <= self._max_sessions:
                return
            async with contextlib.aclosing(self._living(each)) as pages:
                async for page in pages:
                    for found, entry, _ in page:
                        if each == name and found == session_id and entry.confirmed:
                            return  # who comes behind it is none of its business
                        # What is not confirmed is a login under way, or one that was given up: nobody has its token.
                        others += found not in (session_id, replaced) and (entry.confirmed or each != name)
                        if others >= self._max_sessions:
                            raise TooManySessionsError

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
        *former, name = self._names(sub)
        added = await self._store.index_add(
            name,
            session_id,
            self._seal(name, session_id, login),
            self._clock(),
            self._life(ttl),
            only_if_present=moved,
            sample=SAMPLE,
        )
        if not added.is_present:
            return None
        self._notes.done(session_id)
        ended: list[str] = []
        if not self._refuses:
            ended = await self._make_room(former if self._max_sessions else [], name, added.total, replaced)
        elif not moved:
            await self.check_limit(sub, session_id, replaced, count=added.total)
        if added.total > 1 and not ended:
            with contextlib.suppress(StoreUnavailableError):  # the next login does it
                await self._prune(name, added.sample)
        return ended

    async def seen(self, sub: str, session_id: str, login: Login, ttl: int) -> None:
        """Note that a session was used. What can't be noted is noted the next time: the session is used all the same.

        Ask `is_due` first.
        """
        self._notes.done(session_id)
        name = self._names(sub)[-1]
        data = self._seal(name, session_id, login)
        with contextlib.suppress(StoreUnavailableError):
            added = await self._store.index_add(name, session_id, data, self._clock(), self._life(ttl))
            if not added.was_present:
                # From before the index, or it has ended since it was loaded: then it must not come back into it.
                if (await self._store.remaining([session_id]))[0] == 0:
                    await self._store.index_remove(name, [session_id])
                elif not self._refuses:
                    await self._make_room([], name, added.total, None)

    def is_due(self, session_id: str) -> bool:
        """Whether `seen` was not told of the session within `touch_interval`."""
        return self._notes.due(session_id)

    async def leave(self, sub: str, session_id: str) -> None:
        """Take a session out of the index."""
        await self._store.index_remove(self._names(sub)[-1], [session_id])

    async def has(self, sub: str, session_id: str) -> bool:
        """Whether the session is this user's."""
        for name in reversed(self._names(sub)):
            if await self._store.index_has(name, session_id):
                return True
        return False

    async def sessions(self, sub: str) -> list[SessionInfo]:
        """The user's sessions, the one used last first; at most as many as a user can have."""
        most = max(CEILING, self._max_sessions or 0)
        found: dict[str, SessionInfo] = {}
        for name in self._names(sub):
            async for page in self._living(name):
                now = self._clock()
                for each, entry, left in page:
                    login = self._login(name, each, entry)
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
        names = self._names(sub)
        try:
            for _ in range(REVOKE_ROUNDS):
                again = False
                for name in names:
                    async for page in self._pages(name):
                        entries = page.entries
                        entries.pop(except_id or "", None)
                        again = again or bool(entries)
                        for each in await self._end(name, entries):
                            tell(each)
                            ended += 1
                if not again:
                    break
        except StoreUnavailableError as error:
            error.ended = ended
            raise
        return ended

    async def _make_room(self, former: Sequence[str], name: str, count: int, replaced: str | None) -> list[str]:
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
            async with contextlib.aclosing(self._pages(each)) as pages:
                async for page in pages:
                    oldest += [
                        (each, found, entry)
                        for found, entry, _ in await self._prune(each, page.entries)
                        # What is not confirmed yet will make room itself.
                        if found != replaced and (entry.confirmed or self._is_old(entry))
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
                ended += await self._end(each, dict(itertools.islice(found.items(), start, start + PAGE)))
        return ended

    async def _end(self, name: str, entries: Mapping[str, Entry]) -> list[str]:
        """The sessions that there were."""
        if not entries:
            return []
        # In this order: a crash in between leaves entries without sessions, never sessions without an entry.
        ended = await self._store.destroy_all([*entries])
        await self._store.index_prune(name, entries)
        return [each for each, there in zip(entries, ended, strict=True) if there]

    async def _pages(self, name: str) -> AsyncGenerator[IndexPage]:
        cursor = 0
        while True:
            began = time.perf_counter()
            page = await self._store.index_page(name, cursor, PAGE)
            yield page
            cursor = page.cursor
            if not cursor:
                return
            await asyncio.sleep(PAUSE * (time.perf_counter() - began))

    async def _living(self, name: str) -> AsyncGenerator[list[tuple[str, Entry, int]]]:
        """Sessions that are there, with their milliseconds left. Entries of those that are not are taken out."""
        async with contextlib.aclosing(self._pages(name)) as pages:
            async for page in pages:
                yield await self._prune(name, page.entries)

    async def _prune(self, name: str, entries: Mapping[str, Entry]) -> list[tuple[str, Entry, int]]:
        left = await self._store.remaining([*entries]) if entries else []
        gone: dict[str, Entry] = {}
        living: list[tuple[str, Entry, int]] = []
        for (each, entry), remaining in zip(entries.items(), left, strict=True):
            if remaining:
                living.append((each, entry, remaining))
            elif (entry.confirmed and not name.startswith(FORMER)) or self._is_old(entry):
                gone[each] = entry
        if gone:
            await self._store.index_prune(name, gone)
        return living

    def _life(self, ttl: int) -> int:
        # Twice: between two notes a session's time to live is extended by less than all of it.
        return ttl + max(ttl, self._slack)

    def _is_old(self, entry: Entry) -> bool:
        # A login enters first and is stored then; the format of before does not tell which has been.
        return abs(self._clock() - entry.seen) >= IN_FLIGHT_SECONDS

    def _names(self, sub: str) -> list[str]:
        """The user's names in the store, the newest last: of one length, and nothing that a list of keys would tell.

        In this order they are read: what moves meanwhile moves to a newer one, or the older one is looked at again.
        """
        text = check_sub(sub).encode()
        names = [hmac.digest(key, text, "sha256").hex() for key in self._keys]
        return [FORMER + hashlib.sha256(text).hexdigest(), *reversed(names)]

    def _seal(self, name: str, session_id: str, login: Login) -> bytes:
        login = Login(login.created, _cut(login.client), _cut(login.user_agent))
        return self._sealer.seal(f"{name}:{session_id}", _LOGIN.dump_json(login))

    def _login(self, name: str, session_id: str, entry: Entry) -> Login:
        try:
            stored = self._sealer.unseal(f"{name.removeprefix(FORMER)}:{session_id}", entry.data)
            return _LOGIN.validate_json(stored)
        except (SessionCorruptError, ValidationError):
            # Of another version, or of a key that is gone: the session is still the user's.
            return Login(created=entry.seen)


def check_sub(sub: object) -> str:
    """The claim `sub` of a user.

    Raises:
        InvalidArgumentError: No user can have it.
    """
    if not isinstance(sub, str) or not sub:
        raise InvalidArgumentError("sub: must be a text that is not empty, as the claim of that name")
    try:
        sub.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError("sub: holds half of a surrogate pair, which no token can carry") from None
    return sub


def _cut(text: str | None) -> str | None:
    """What a client says of itself, without control characters and of a bounded size."""
    if text is None:
        return None
    shown = "".join(each for each in text[:CLIENT_BYTES] if each.isprintable())
    return shown.encode()[:CLIENT_BYTES].decode(errors="ignore")


def _last_used(found: Mapping[str, SessionInfo], most: int) -> list[SessionInfo]:
    return sorted(found.values(), key=lambda info: info.last_seen, reverse=True)[:most]
