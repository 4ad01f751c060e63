"""`RedisGenerations`: the newest generation of each session's tokens, in a hash that has the session's slot."""

from typing import Any

from ...errors import SessionCorruptError
from ..generations import Generation, LoadedGeneration, Rotated, Verdict
from ._script import Script
from .executor import Executor

_ROTATE = Script("rotate.lua")


class RedisGenerations:
    """The methods of `RotationStore`.

    Args:
        keyspace: Prefix of the sessions' keys.
        executor: Runs the commands.
    """

    def __init__(self, keyspace: str, executor: Executor) -> None:
        self._keyspace = keyspace
        self._executor = executor
        # A cluster finds the slot of a key by the text in its first braces, or by all of it. So this key is where the
        # session's is, of which all counts, unless the keyspace has braces of its own.
        self._before, self._after = ("", ":gen") if "{" in keyspace else ("{", "}:gen")

    async def load(self, session_id: str, ttl: int | None) -> LoadedGeneration:
        """See `RotationStore.load_generation`: two commands, one round trip."""
        key = self._keyspace + session_id
        value, held = await self._executor.read_together(
            ("GET", key) if ttl is None else ("GETEX", key, "PX", ttl),
            ("HMGET", self._key(session_id), "gen", "used", "until"),
        )
        return LoadedGeneration(value, *_found(*held))

    async def rotate(self, session_id: str, presented: int, now: int, *, due: bool, grace: int, ttl: int) -> Rotated:
        """See `RotationStore.rotate`: one script."""
        found = await self._executor.evaluate(_ROTATE, [self._key(session_id)], presented, now, grace, int(due), ttl)
        return Rotated(Verdict(found[0].decode()), int(found[1]))

    async def extend(self, session_id: str, ttl: int) -> None:
        """See `RotationStore.extend_generation`: one command."""
        await self._executor.call("PEXPIRE", self._key(session_id), ttl)

    def _key(self, session_id: str) -> str:
        return f"{self._before}{self._keyspace}{session_id}{self._after}"


def _found(number: Any, used: Any, until: Any) -> tuple[Generation | None, int]:
    try:
        return (None, 0) if number is None else (Generation(int(number), int(used or 0)), int(until or 0))
    except ValueError:
        raise SessionCorruptError from None
