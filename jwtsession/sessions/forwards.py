"""`Forwards`: what a session's old id stands for after `regenerate()`, so that an old token still names its session."""

import contextlib
import json
import logging
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .._ids import is_session_id
from ..errors import SessionCorruptError, StoreUnavailableError
from ..stores import SessionStore, has_forwards
from .encryption import Sealer
from .timeouts import SessionToken

logger = logging.getLogger("jwtsession")

MAX_STEPS = 32
"""One call follows at most so many forwards. The next call goes on where this one stopped."""

LONG_STEPS = 4
"""A chain that takes more steps than this is made shorter, so that who uses an old token again and again costs less."""

FORWARD_SECONDS = 30 * 86_400
"""How long the forward of a token without `exp` is kept."""

_MOST_SECONDS = 10**10
"""A forward is kept for at most so long: no server takes a time to live of a million years."""

_ATTEMPTS = 8
"""How often a forward that others change at the same time is written, before the store counts as failed."""

_NOT_READABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


class Link(NamedTuple):
    """One forward: from an old id to the next one."""

    id: str
    """The next id."""
    at: float
    """When it replaced the old one, in seconds since the epoch."""
    until: float
    """When the forward may be forgotten, in seconds since the epoch."""
    new_sub: tuple[str | None, ...] = ()
    """The user of the next id, if it is another than the old one's."""
    ended: bool = False
    """Whether somebody has ended the session by the old id, or is about to."""

    def __repr__(self) -> str:
        return "Link()"


class Living(NamedTuple):
    """The session to which an old id leads."""

    id: str
    since: float
    """When the old id was replaced, in seconds since the epoch."""
    ended: bool
    """Whether somebody has ended it by an old id: a logout that failed halfway, or that goes on at this moment."""

    def __repr__(self) -> str:
        return "Living()"


class End(NamedTuple):
    """What `Forwards.end` has come to."""

    id: str
    """The last id of the chain."""
    sub: str | None
    """Its user."""
    ended: bool
    """Whether the session lived until now."""

    def __repr__(self) -> str:
        return "End()"


class _Way(NamedTuple):
    """How far somebody has gone along a chain, up to an id that was stored: the way to it does not change any more.

    The id behind it may be of a move that failed, whose forward another move is about to replace.
    """

    start: str
    steps: int = 0
    link: Link | None = None
    """Leads to the last id."""


class Forwards:
    """The forwards of one provider's sessions. They are read only where a genuine token's session is gone.

    A forward is there before its old session is removed, and before its new one is stored. Whoever ends a session by
    an old id marks the forward, and then removes the session that it names; whoever moves the session stores the new
    one, and then looks for the mark. So one of the two sees what the other has done, and the session ends.

    Args:
        store: Keeps them, if it has the methods of `ForwardStore`, and has the sessions.
        sealer: Encrypts what is stored.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(self, store: SessionStore, sealer: Sealer, clock: Callable[[], float]) -> None:
        self._sessions = store
        self._store = store if has_forwards(store) else None
        self._sealer = sealer
        self._clock = clock

    def link(self, old: SessionToken, new: SessionToken) -> Link:
        """The forward of a session that is about to move to a new id.

        It lives as long as either token: an even older token may lead to the new session by it.
        """
        now = self._clock()
        until = max(now + FORWARD_SECONDS if each.exp is None else each.exp for each in (old, new))
        until = min(until, now + _MOST_SECONDS)
        return Link(new.session_id, round(now, 3), until, () if new.sub == old.sub else (new.sub,))

    async def add(self, old_id: str, link: Link) -> bool:
        """Write the forward of a session that is about to move.

        Returns:
            False if there is another one already: call `claim` as soon as the old session is removed.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        return self._store is None or await self._store.forward_add(old_id, *self._sealed(old_id, link))

    async def claim(self, old_id: str, link: Link) -> None:
        """Replace the forward of somebody who did not move the session. Call this only after the old one is removed.

        If somebody has ended the session by its old id meanwhile, the mark stays.

        Raises:
            StoreUnavailableError: The store did not answer.
        """

        def replaced(found: Link | None) -> Link:
            if found is None or found.id == link.id:
                return found or link
            return link._replace(ended=found.ended)

        await self._change(old_id, replaced)

    async def is_ended(self, old_id: str) -> bool:
        """Whether somebody has ended the session by its old id while it moved. Ask after the new one is stored.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        link = await self._get(old_id)
        return link is not None and link.ended

    async def find(self, session_id: str) -> Living | None:
        """Find the session to which the id of a session that is gone leads. None if that one is gone too.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        link = await self._get(session_id)
        since = 0.0 if link is None else link.at
        way = _Way(session_id)
        while link is not None and way.steps < MAX_STEPS:
            if await self._lives(link.id):
                await self._shorten_if_long(_Way(session_id, way.steps + 1, link))
                return Living(link.id, since, link.ended)
            following = await self._get(link.id)
            if following is not None:
                way = _Way(session_id, way.steps + 1, link)
            link = _after(link, following)
        await (self._shorten_if_long(way) if link is None else self._shorten(way))
        return None

    async def end(self, session_id: str, sub: str | None, wait_replicas: int = 0) -> End:
        """Remove a session. If it has moved to another id, remove it there.

        Args:
            session_id: The session.
            sub: Its user; None if nobody knows.
            wait_replicas: How many replicas must confirm the removal.

        Raises:
            StoreUnavailableError: The store did not answer, too few replicas confirmed, or the session has moved more
                than `MAX_STEPS` times. Another call goes on.
        """
        last, link, unconfirmed, way = session_id, None, None, _Way(session_id)
        for _ in range(MAX_STEPS + 1):
            ended = False
            try:
                ended = await self._sessions.destroy(last, wait_replicas)
            except StoreUnavailableError as error:
                if error.code != "destroy_not_confirmed":
                    raise
                unconfirmed = error  # it is not known whether this one lived: the next one must end as well
            following = None if ended else _after(link, await self._change(last, _marked))
            if following is None:
                await self._shorten_if_long(way)
                if unconfirmed is not None:
                    raise unconfirmed
                (sub,) = (link and link.new_sub) or (sub,)
                return End(last, sub, ended)
            way = way if link is None else _Way(session_id, way.steps + 1, link)
            last, link = following.id, following
        await self._shorten(way)
        raise StoreUnavailableError("session_moved_too_often")

    async def _lives(self, session_id: str) -> bool:
        try:
            return await self._sessions.load(session_id) is not None  # a Redis user may lack the right to ask PTTL
        except SessionCorruptError:
            return False

    async def _shorten_if_long(self, way: "_Way") -> None:
        with contextlib.suppress(StoreUnavailableError):  # the answer is known without it
            if way.steps > LONG_STEPS:
                await self._shorten(way)

    async def _shorten(self, way: "_Way") -> None:
        """Let an id lead to a later one at once: the next call takes fewer steps, or gets further along the chain."""

        def shortened(found: Link | None) -> Link | None:
            if found is None or way.link is None:
                return found
            return way.link._replace(at=found.at, until=found.until, ended=found.ended or way.link.ended)

        await self._change(way.start, shortened)

    async def _change(self, session_id: str, change: Callable[[Link | None], Link | None]) -> Link | None:
        """Change the forward of an id, in one step with the look at what it was. Return what it is now."""
        if self._store is None:
            return None
        for _ in range(_ATTEMPTS):
            stored = await self._stored(session_id)
            found = self._opened(session_id, stored)
            link = change(found)
            if link is None or link == found:
                return link
            value, ttl = self._sealed(session_id, link)
            if stored is None:
                done = await self._store.forward_add(session_id, value, ttl)
            else:
                done = await self._store.forward_replace(session_id, stored, value, ttl)
            if done:
                return link
        raise StoreUnavailableError

    async def _get(self, session_id: str) -> Link | None:
        return self._opened(session_id, await self._stored(session_id))

    async def _stored(self, session_id: str) -> bytes | None:
        try:
            return None if self._store is None else await self._store.forward_get(session_id)
        except SessionCorruptError:
            return b""  # somebody else's value of another type, which is no forward

    def _sealed(self, session_id: str, link: Link) -> tuple[bytes, int]:
        """A forward's value, and its time to live in milliseconds."""
        written: dict[str, Any] = {"id": link.id, "at": link.at, "until": link.until}
        if link.new_sub:
            (written["sub"],) = link.new_sub
        if link.ended:
            written["ended"] = True
        value = self._sealer.seal(_bound_to(session_id), json.dumps(written, separators=(",", ":")).encode())
        return value, max(1, int(min(link.until - self._clock(), _MOST_SECONDS) * 1000))

    def _opened(self, session_id: str, stored: bytes | None) -> Link | None:
        """Read a forward. One that can't be read leads nowhere: no later try could read it, so the request must end."""
        if stored is None:
            return None
        try:
            found = json.loads(self._sealer.open(_bound_to(session_id), stored))
            next_id, sub, at, until = found["id"], found.get("sub"), float(found["at"]), float(found["until"])
            if not (is_session_id(next_id) and isinstance(sub, str | None) and math.isfinite(at + until)):
                raise ValueError
            return Link(next_id, at, until, (sub,) if "sub" in found else (), bool(found.get("ended")))
        except (SessionCorruptError, *_NOT_READABLE) as error:
            reason = error.code if isinstance(error, SessionCorruptError) else "not readable"
            logger.warning("a session's forward can't be used (%s): where the session moved is not known", reason)
            return None


def _after(last: Link | None, link: Link | None) -> Link | None:
    """The link that follows, with what is known of the way to it: the last change of the user, and a mark."""
    if link is None or last is None:
        return link
    return link._replace(new_sub=link.new_sub or last.new_sub, ended=link.ended or last.ended)


def _marked(found: Link | None) -> Link | None:
    return found and found._replace(ended=True)


def _bound_to(session_id: str) -> str:
    return f"fwd:{session_id}"
