"""What is stored of sessions: counts them, finds one by its handle, and reads one as it is."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic_core import from_json

from .._from_settings import make_sealer
from .._ids import handle_of, is_session_id
from ..errors import ConfigurationError, SessionCorruptError
from ..sessions import drop_bookkeeping, is_sealed
from ..stores import CachedSessionStore, RedisSessionStore, SessionStore
from ..stores.redis.inspection import Refusal, survey
from .keyspace import portions_of
from .output import HIDDEN
from .target import Target

_TOKEN = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")


class Counted(NamedTuple):
    """How many keys there are."""

    sessions: int
    keys: int


class Found(NamedTuple):
    """A session that was looked for."""

    session_id: str | None
    """None if it is not there."""
    keys: int
    """How many keys were looked at."""

    def __repr__(self) -> str:
        return f"Found(keys={self.keys})"


@dataclass(frozen=True)
class Stored:
    """A session as it is stored."""

    size: int
    """In bytes."""
    seconds_left: int
    is_encrypted: bool
    data: Any
    """The JSON; None if it can't be read."""
    unreadable: str | None
    """Why it can't be read."""

    def document(self, *, with_data: bool) -> dict[str, Any]:
        """Everything but the session's id.

        Args:
            with_data: Whether the values are shown; otherwise only the names of the fields are.
        """
        shown: dict[str, Any] = {"bytes": self.size, "seconds_left": self.seconds_left, "encrypted": self.is_encrypted}
        if self.unreadable is not None:
            shown["unreadable"] = self.unreadable
        elif with_data:
            shown["data"] = self.data
        else:
            shown["fields"] = sorted(self.data) if isinstance(self.data, dict) else []
        return shown


async def count(store: SessionStore) -> Counted:
    """Count the sessions on all primaries. A session that comes or goes meanwhile may or may not count."""
    sessions = keys = 0
    async for portion in _portions(store):
        keys += len(portion)
        sessions += sum(map(is_session_id, portion))
    return Counted(sessions, keys)


async def find(store: SessionStore, handle: str) -> Found:
    """Look at the keys of all primaries for the session with a handle, with little memory."""
    keys = 0
    async for portion in _portions(store):
        for rest in portion:
            keys += 1
            if is_session_id(rest) and handle_of(rest) == handle:
                return Found(rest, keys)
    return Found(None, keys)


async def read(target: Target, session_id: str) -> Stored | None:
    """Read a session, which is no use of it; None if it is gone.

    Raises:
        StoreUnavailableError: The store did not answer.
    """
    try:
        value = await target.store.load(session_id)
    except SessionCorruptError as error:
        return Stored(0, 0, False, None, error.code)
    if value is None:
        return None
    (left,) = await target.store.remaining([session_id])
    data, unreadable = None, None
    try:
        data = from_json(make_sealer(target.settings).open(session_id, value))
        if target.settings.is_node_compatible and isinstance(data, dict):
            drop_bookkeeping(data)
        data = _without_tokens(data)
    except SessionCorruptError as error:
        unreadable = error.code
    except ValueError:
        unreadable = SessionCorruptError.code
    return Stored(len(value), left // 1000, is_sealed(value), data, unreadable)


def _without_tokens(data: Any) -> Any:
    """The data, in which nothing that looks like a token is shown: the Node original stores one."""
    if isinstance(data, str):
        return HIDDEN if _TOKEN.fullmatch(data) else data
    if isinstance(data, dict):
        return {name: _without_tokens(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_without_tokens(value) for value in data]
    return data


async def _portions(store: SessionStore) -> AsyncIterator[list[str]]:
    """Yield all keys of the keyspace without its prefix, portion by portion.

    Raises:
        ConfigurationError: The store has no server, or the user may not look, or, at the end, nobody can look at all
            sessions.
    """
    if not isinstance(store, RedisSessionStore | CachedSessionStore):
        raise ConfigurationError(f"the sessions are in {type(store).__name__}, which has no server")
    async with survey(store) as servers:
        for node in servers.primaries:
            async for keys in portions_of(node, store.keyspace):
                if isinstance(keys, Refusal):
                    needed = ": this needs the right +scan" if keys.forbidden else ""
                    raise ConfigurationError(f"{node.name}: {keys.said}{needed}")
                yield [key.removeprefix(store.keyspace) for key in keys]
        if servers.gaps:
            raise ConfigurationError(f"not all sessions can be looked at: {'; '.join(servers.gaps)}")
