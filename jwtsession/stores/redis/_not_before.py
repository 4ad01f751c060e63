"""`RedisCutoff`: the time of `revoke_before()` in one key, which has no time to live."""

import logging
import re
from typing import NoReturn

from ...errors import SessionCorruptError, StoreUnavailableError
from ._script import Script
from .executor import Executor

logger = logging.getLogger("jwtsession")

_SET = Script("not_before_set.lua")
_TIME = re.compile(rb"[0-9]{1,12}(\.[0-9]{1,9})?")


class RedisCutoff:
    """Keeps a time in one key, as text: seconds since the epoch.

    Args:
        key: The key.
        executor: Runs the commands.
    """

    def __init__(self, key: str, executor: Executor) -> None:
        self._key = key
        self._executor = executor

    async def set(self, time: float) -> float:
        """Keep the later time, and return it."""
        try:
            return _parsed(await self._executor.evaluate(_SET, [self._key], f"{time:.6f}"))
        except SessionCorruptError as error:
            _refuse(error)

    async def get(self) -> float | None:
        """Return the time. The command shares a round trip with loads that wait at the same time."""
        try:
            stored: bytes | None = await self._executor.read(("GET", self._key))
        except SessionCorruptError as error:
            _refuse(error)
        return None if stored is None else _parsed(stored)


def _parsed(stored: bytes) -> float:
    if _TIME.fullmatch(stored) is None:
        _refuse(None)
    return float(stored)


def _refuse(cause: Exception | None) -> NoReturn:
    logger.error("the key of revoke_before() holds no time, so every token is refused: set it to seconds by hand")
    raise StoreUnavailableError("cutoff_corrupt") from cause
