"""`RemoteKeys`: the public keys of another service, fetched when they are needed, and not too often."""

import asyncio
import logging
from collections.abc import Callable

from ..errors import StoreUnavailableError
from ..tokens import KeyRing, read_jwks
from .client import RemoteClient, RemoteError

logger = logging.getLogger("jwtsession")

RETRY_SECONDS = 1.0
"""While there are no keys at all, they are fetched at most once in so many seconds."""


class RemoteKeys:
    """Keeps the keys of one URL. Old keys stay as long as new ones can't be fetched.

    Args:
        client: Fetches.
        url: The URL of the set of keys (RFC 7517 section 5).
        algorithm: The only algorithm whose keys count.
        refresh_interval: After so many seconds the keys are fetched again, while the old ones are used; after a fetch
            that failed, after `min_interval`.
        min_interval: The keys are fetched at most once in so many seconds, whatever tokens clients send.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        client: RemoteClient,
        url: str,
        algorithm: str,
        *,
        refresh_interval: float,
        min_interval: float,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._url = url
        self._algorithm = algorithm
        self._refresh_interval = refresh_interval
        self._min_interval = min_interval
        self._clock = clock
        self._ring: KeyRing | None = None
        self._fetched: float | None = None
        self._failed = False
        self._is_stale = False
        self._fetching: asyncio.Task[None] | None = None

    async def current(self) -> KeyRing:
        """Return the keys. A call waits for the other service if it is the first one, or the first one since long.

        After a quiet day the issuer may have removed a key because somebody has stolen it.

        Raises:
            StoreUnavailableError: The keys were never fetched, and can't be fetched now.
        """
        if self._ring is None:
            await self._fetch(RETRY_SECONDS)
        elif self._is_stale or self._is_due(2 * self._refresh_interval):
            self._is_stale = True  # also for those who come while the fetch is under way
            await self._fetch(self._min_interval)
        elif self._is_due(self._min_interval if self._failed else self._refresh_interval):
            self._start(self._min_interval)
        if self._ring is None:
            raise StoreUnavailableError("keys_unavailable")
        return self._ring

    async def search(self, kid: str, ring: KeyRing) -> KeyRing | None:
        """Return other keys than `ring`, which may have one of this name; None if there are none.

        Args:
            kid: The name of a key that a token names. Anybody may have written that token.
            ring: The keys that don't have it.

        Raises:
            StoreUnavailableError: The keys could not be fetched, so nobody knows.
        """
        if self._ring is ring:
            await self._fetch(self._min_interval)
        if self._ring is not None and self._ring.knows(kid):
            return self._ring
        if self._failed:
            raise StoreUnavailableError("keys_unavailable")
        return None

    async def close(self) -> None:
        """End a fetch that is under way in this event loop. Who waits for it gets a `StoreUnavailableError`."""
        task, self._fetching = self._fetching, None
        if task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _is_due(self, interval: float) -> bool:
        # A clock that was set back makes it due: it must not stop the refreshing.
        return self._fetched is None or not 0 <= self._clock() - self._fetched < interval

    async def _fetch(self, interval: float) -> None:
        """Wait for a fetch: for the one that is under way, or for a new one, if one may begin."""
        task = self._start(interval)
        if task is not None:
            try:
                await asyncio.shield(task)  # a caller that goes away ends nobody else's fetch
            except asyncio.CancelledError:
                if task.cancelled():  # not the caller: `close` has ended the fetch
                    raise StoreUnavailableError("keys_unavailable") from None
                raise

    def _start(self, interval: float) -> asyncio.Task[None] | None:
        task, loop = self._fetching, asyncio.get_running_loop()
        if task is not None and not task.done() and task.get_loop() is loop:
            return task
        if not self._is_due(interval):
            return None
        self._fetched = self._clock()
        self._fetching = loop.create_task(self._load())
        return self._fetching

    async def _load(self) -> None:
        try:
            document = await self._client.get(self._url)
            self._ring = read_jwks(document, self._algorithm)
            self._failed = False
        except (RemoteError, ValueError) as error:
            self._failed = True
            kept = "there are none yet" if self._ring is None else "the old ones stay in use"
            logger.warning("the keys at %s can't be used: %s; %s", self._url, error, kept)
        finally:
            self._is_stale = False
