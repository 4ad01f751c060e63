"""`UserIndex`: the sessions of one user, so that they can be listed, limited and ended together."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from .encryption import Sealer
from .errors import SessionCorruptError, TooManySessionsError
from .stores import Entry, SessionStore
from .throttle import Throttle

IN_FLIGHT = 10.0
"""Seconds for which an entry without a session counts as a login that is under way."""

REVOKE_ROUNDS = 100
"""How often `revoke_all` looks again where sessions have come meanwhile."""


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
    session are removed as they are read.

    Args:
        max_sessions: The most sessions of one user.
        evict: Beyond that end the oldest, instead of refusing the login.
        touch_interval: Seconds between two notes of when a session was last seen.
    """

    def __init__(
        self,
        store: SessionStore,
        sealer: Sealer,
        *,
        max_sessions: int | None,
        evict: bool,
        touch_interval: float,
        max_age: int,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._max_sessions = max_sessions
        self._evict = evict
        self._slack = max_age * 1000
        self._clock = clock
        self._notes = Throttle(touch_interval, clock)

    async def enter(self, sub: str, session_id: str, login: Login, ttl: int, *, again: bool = False) -> bool:
        """Put a session into the index, or confirm that it is there.

        With `again` it is not put in anew: False where somebody took it out, to end it.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        user = _key(sub)
        entry = self._sealer.seal(f"{user}:{session_id}", _LOGIN.dump_json(login))
        # The slack covers what a session's time to live is extended by between two notes.
        if not await self._store.enter(user, session_id, entry, self._clock(), ttl + self._slack, again=again):
            return False
        self._notes.done(session_id)
        return True

    async def seen(self, sub: str, session_id: str, login: Login, ttl: int) -> None:
        """Note that a session was used, at most once in `touch_interval`."""
        if self._notes.due(session_id):
            await self.enter(sub, session_id, login, ttl)

    async def leave(self, sub: str, session_id: str) -> None:
        """Take a session out of the index."""
        await self._store.leave(_key(sub), [session_id])

    async def admit(self, sub: str, session_id: str, replaced: str | None = None) -> None:
        """Refuse a session that has entered, and is not stored yet, if there is no room for it.

        Of logins at the same time those that came first are admitted first.

        Args:
            sub: The user.
            session_id: The session that wants in.
            replaced: A session that ends when this one starts, and does not count.

        Raises:
            TooManySessionsError: There is no room.
        """
        if self._max_sessions is None or self._evict:
            return
        listed = sorted((entry.order, each) for each, entry, _, _ in await self._read(sub) if each != replaced)
        ids = [each for _, each in listed]
        before = ids[: ids.index(session_id)] if session_id in ids else ids
        if len(before) >= self._max_sessions:
            await self.leave(sub, session_id)
            raise TooManySessionsError

    async def evict(self, sub: str, replaced: str | None = None) -> list[str]:
        """End the oldest of the user's sessions beyond the limit; those that were ended.

        After a session was stored: before it, what comes in between would go unnoticed.
        """
        if self._max_sessions is None or not self._evict:
            return []
        living = [(entry.order, each, entry) for each, entry, _, left in await self._read(sub) if left]
        oldest = sorted(found for found in living if found[1] != replaced)[: -self._max_sessions]
        return (await self._end(_key(sub), {each: entry for _, each, entry in oldest}))[0]

    async def sessions(self, sub: str) -> list[SessionInfo]:
        """The user's sessions, the one used last first."""
        now = self._clock()
        found = [
            SessionInfo(each, login.created, entry.seen, now + left / 1000, login.client, login.user_agent)
            for each, entry, login, left in await self._read(sub)
            if left
        ]
        return sorted(found, key=lambda info: info.last_seen, reverse=True)

    async def revoke_all(self, sub: str, except_id: str | None = None) -> list[str]:
        """End the user's sessions; those that there were.

        Also those that are on their way from one id to another, so that nobody escapes by `regenerate`: either the new
        id has entered when the old one is found gone, or what is taken out here is not confirmed any more.
        """
        user = _key(sub)
        ended: list[str] = []
        for _ in range(REVOKE_ROUNDS):
            entries = await self._store.entries(user)
            kept = entries.pop(except_id, None) if except_id is not None else None
            there, left = await self._end(user, entries)
            ended += there
            if left <= (kept is not None):
                break
        return ended

    async def _end(self, user: str, entries: Mapping[str, Entry]) -> tuple[list[str], int]:
        """The sessions that there were, and how many the index names now."""
        # In this order: a crash in between leaves entries without sessions, never sessions without an entry.
        ended = await self._store.destroy_all([*entries])
        left = await self._store.prune(user, entries)
        return [each for each, there in zip(entries, ended, strict=True) if there], left

    async def _read(self, sub: str) -> list[tuple[str, Entry, Login, int]]:
        """Every entry with its milliseconds left; those that are long gone are removed on the way."""
        user = _key(sub)
        entries = await self._store.entries(user)
        left = await self._store.remaining([*entries])
        found: list[tuple[str, Entry, Login, int]] = []
        gone: dict[str, Entry] = {}
        for (session_id, entry), remaining in zip(entries.items(), left, strict=True):
            # A login enters first and is stored then.
            if remaining or abs(self._clock() - entry.seen) < IN_FLIGHT:
                found.append((session_id, entry, self._login(user, session_id, entry), remaining))
            else:
                gone[session_id] = entry
        await self._store.prune(user, gone)
        return found

    def _login(self, user: str, session_id: str, entry: Entry) -> Login:
        try:
            return _LOGIN.validate_json(self._sealer.unseal(f"{user}:{session_id}", entry.data))
        except (SessionCorruptError, ValidationError):
            # Of another version, or of a key that is gone: the session is still the user's.
            return Login(created=entry.seen)


def _key(sub: str) -> str:
    """The user's name in the store: of one length, and nothing that a list of keys would tell."""
    return hashlib.sha256(sub.encode()).hexdigest()
