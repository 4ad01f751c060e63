"""The index of a user's sessions in Redis: a sorted set of their ids, and a hash with what is known of each.

Both keys have one hash tag, so that a cluster keeps them on one node. The format before this one was a single hash.
Workers of an older version may still write it: its entries are read, and can be removed.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import SessionCorruptError, StoreUnavailableError
from ..base import FORMER, Entry, IndexAddition, IndexPage
from ._script import Script
from .executor import Executor

_ADD = Script("index_add.lua")
_PAGE = Script("index_page.lua")
_REMOVE = Script("index_remove.lua")
_SCAN = Script("index_scan.lua")
_SET = Script("index_set.lua")


class RedisUserIndex:
    """The indices of all users under one prefix.

    Args:
        prefix: The beginning of the keys.
        executor: Runs the scripts.
    """

    def __init__(self, prefix: str, executor: Executor) -> None:
        self._prefix = prefix
        self._executor = executor

    async def add(
        self,
        user: str,
        session_id: str,
        data: bytes,
        seen: float,
        ttl: int,
        *,
        confirmed: bool,
        only_if_present: bool,
        sample: int,
    ) -> IndexAddition:
        """See `UserIndexStore.index_add`: one script."""
        args = (session_id, data, _text(seen, confirmed), ttl, int(only_if_present), sample)
        was, there, count, known, *named = await self._run(_ADD, user, *args)
        sampled = {id_.decode(): _entry(0, at, b"") for id_, at in zip(named[::2], named[1::2], strict=True)}
        return IndexAddition(bool(was), bool(there), count, sampled, known)

    async def page(self, user: str, cursor: int, limit: int) -> IndexPage:
        """See `UserIndexStore.index_page`: one script."""
        if user.startswith(FORMER):
            position, *found = await self._run(_SCAN, user, cursor, 2 * limit)
            entries = {}
            for id_, seen, value in zip(found[::3], found[1::3], found[2::3], strict=True):
                order, _, data = value.partition(b" ")
                entries[id_.decode()] = _entry(order, seen, data)
            return IndexPage(entries, int(position), len(entries))
        total, *found = await self._run(_PAGE, user, cursor, limit)
        parts = zip(found[::4], found[1::4], found[2::4], found[3::4], strict=True)
        entries = {id_.decode(): _entry(order, seen, data) for id_, order, seen, data in parts}
        return IndexPage(entries, int(found[-3]) if len(entries) == limit else 0, total)

    async def prune(self, user: str, entries: Mapping[str, Entry]) -> None:
        """See `UserIndexStore.index_prune`: one script."""
        await self._remove(user, [(each, _text(entry.seen, entry.confirmed)) for each, entry in entries.items()])

    async def remove(self, user: str, session_ids: Sequence[str]) -> None:
        """See `UserIndexStore.index_remove`: one script."""
        await self._remove(user, [(each, "*") for each in session_ids])

    async def get(self, user: str, session_id: str) -> bytes | None:
        """See `UserIndexStore.index_get`: one command."""
        with _not_the_sessions():
            found: bytes | None = await self._executor.call("HGET", self._keys(user)[-1], session_id)
        return found if found is None or not user.startswith(FORMER) else found.partition(b" ")[2]

    async def set(self, user: str, session_id: str, data: bytes) -> bool:
        """See `UserIndexStore.index_set`: one script. An entry in the former format stays as it is: False."""
        return not user.startswith(FORMER) and bool(await self._run(_SET, user, session_id, data))

    async def _remove(self, user: str, pairs: Sequence[tuple[str, str]]) -> None:
        if pairs:
            await self._run(_REMOVE, user, *(arg for pair in pairs for arg in pair))

    async def _run(self, script: Script, user: str, *args: str | bytes | int) -> Any:
        with _not_the_sessions():
            return await self._executor.evaluate(script, self._keys(user), *args)

    def _keys(self, user: str) -> list[str]:
        if user.startswith(FORMER):
            return [self._prefix + user.removeprefix(FORMER)]
        key = f"{self._prefix}{{{user}}}"  # the braces are a cluster's hash tag
        return [key, f"{key}:known"]


@contextlib.contextmanager
def _not_the_sessions() -> Iterator[None]:
    """If the index's key holds another type, no session is corrupt: no user is logged out for it."""
    try:
        yield
    except SessionCorruptError as error:
        raise StoreUnavailableError("index_corrupt") from error.__cause__


def _text(seen: float, confirmed: bool) -> str:
    return repr(seen) if confirmed else f"?{seen!r}"


def _entry(order: bytes | int, seen: bytes, data: bytes) -> Entry:
    return Entry(int(order), data, float(seen.lstrip(b"?") or 0), not seen.startswith(b"?"))
