"""`Cutoff`: refuses every token that was issued up to a moment, for all users at once."""

import asyncio
import contextvars
import math
from collections.abc import Callable
from datetime import UTC, datetime

from ..errors import InvalidArgumentError, InvalidTokenError, StoreUnavailableError
from ..stores import CutoffStore
from .timeouts import SessionToken

KNOWN_SECONDS = 1.0
"""How long a worker uses what it has read. Then the next load reads again. Under load both share a round trip."""

_ATTEMPTS = 5


class Cutoff:
    """The moment up to which no token counts: one for each provider and worker.

    What a worker knows never becomes earlier while it runs, also if the store loses it.

    Args:
        store: Keeps the moment for all workers.
        leeway: By how many seconds clocks may differ.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(self, store: CutoffStore, leeway: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._leeway = leeway
        self._clock = clock
        self.known = -math.inf
        """The moment, in seconds since the epoch, as far as this worker knows; minus infinity if there is none."""
        self._read_at = -math.inf
        self._reading: asyncio.Task[None] | None = None
        self._asked_at = -math.inf

    def begin(self, token: SessionToken) -> "asyncio.Task[None] | None":
        """Check a token before its session is loaded. This does no I/O, but it may start some.

        Returns:
            None if the token is good. A task that reads the moment, if that is due: call `finish` after the load.

        Raises:
            InvalidTokenError: The token was issued up to the moment.
        """
        self._check(token)
        return self._read() if self._is_due() else None

    async def finish(self, token: SessionToken, reading: "asyncio.Task[None]") -> None:
        """Check a token when the moment has been read.

        Raises:
            InvalidTokenError: The token was issued up to the moment.
            StoreUnavailableError: The store did not answer, or holds no time. Nobody knows whether the token is good.
        """
        await _wait_for(reading)
        self._check(token)

    async def confirm(self, token: SessionToken) -> None:
        """Ask the store now whether a token is good.

        A token that replaces this one must have been signed before: then either this finds the moment, or the moment
        covers the new token's `iat` too.

        Raises:
            InvalidTokenError: The token was issued up to the moment.
            StoreUnavailableError: The store did not answer, or holds no time.
        """
        await self._read_now()
        self._check(token)

    async def learn(self) -> None:
        """Read the moment, if that is due, for `refuses`.

        Raises:
            StoreUnavailableError: The store did not answer, or holds no time.
        """
        if self._is_due():
            await _wait_for(self._read())

    def refuses(self, token: SessionToken) -> bool:
        """Whether a token was issued up to the moment that is known here. A token without `iat` may be of any age."""
        return self.known > -math.inf and (token.iat is None or token.iat <= self.known)

    async def set(self, time: datetime | float | None) -> float:
        """See `SessionProvider.revoke_before`."""
        given = self._checked(time)
        for _ in range(_ATTEMPTS):
            began = self._clock()
            moment = began if given is None else given
            counts = await self._store.not_before_set(moment)
            self._note(counts, began)
            # While the store was writing, a worker that did not know of it may have replaced an old token. If that was
            # in a later second, the new token would count: write again.
            if given is not None or int(self._clock()) <= int(moment):
                return counts
        raise StoreUnavailableError("cutoff_not_confirmed")

    def _is_due(self) -> bool:
        return self._is_old(self._read_at)

    def _is_old(self, asked_at: float) -> bool:
        return abs(self._clock() - asked_at) >= KNOWN_SECONDS

    def _read(self) -> "asyncio.Task[None]":
        """Read the moment in a task that all requests share, and no request's cancellation ends."""
        loop, reading = asyncio.get_running_loop(), self._reading
        # The store may have answered a slow read long ago: before the moment was set.
        if reading is None or reading.done() or reading.get_loop() is not loop or self._is_old(self._asked_at):
            self._asked_at = self._clock()
            reading = self._reading = loop.create_task(self._read_now(), context=contextvars.Context())
            # Marks a failure as seen, if the requests that wait for it have gone away.
            reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        return reading

    async def _read_now(self) -> None:
        began = self._clock()
        self._note(await self._store.not_before_get(), began)

    def _note(self, found: float | None, began: float) -> None:
        self._read_at = began
        if found is not None:
            self.known = max(self.known, found)

    def _check(self, token: SessionToken) -> None:
        if self.refuses(token):
            raise InvalidTokenError("token_revoked")

    def _checked(self, time: datetime | float | None) -> float | None:
        if time is None:
            return None
        if isinstance(time, datetime):
            if time.utcoffset() is None:
                raise InvalidArgumentError("revoke_before: a datetime needs a time zone: datetime.now(UTC)")
            time = time.timestamp()
        if type(time) not in (int, float):
            raise InvalidArgumentError(
                f"revoke_before: give a datetime, seconds since the epoch, or None, not {type(time).__name__}"
            )
        if not 0 <= time <= self._clock() + self._leeway:
            raise InvalidArgumentError("revoke_before: the time is in the future, or before 1970")
        return float(time)


async def _wait_for(reading: "asyncio.Task[None]") -> None:
    try:
        await asyncio.shield(reading)
    except asyncio.CancelledError:
        if reading.cancelled():  # not the request: the provider's event loop ends
            raise StoreUnavailableError from None
        raise
    except StoreUnavailableError as error:
        # An instance for each request: one that many raise would collect the tracebacks of all.
        raise StoreUnavailableError(error.code) from error


def shown(time: float) -> str:
    """A moment for a log: UTC, to the second."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
