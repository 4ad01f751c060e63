"""Batched loads: those that wait while a round trip is under way go out together in the next one.

A load costs redis-py's asyncio client about 130 µs of CPU alone, most of it around the command: the pool, retries,
a task for each write. Here a few connections are held for loads alone; a load that finds one free takes the direct way,
and the others share a round trip. Nothing but redis-py's public `Connection` is used.
"""

import asyncio
import builtins
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

_LANES = 2
_BATCH = 128
_WAITING = 10_000


def packed(*words: str | int) -> bytes:
    """A command in the form in which it is sent (RESP)."""
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Loads:
    """Sends commands that may run twice, many in one round trip, each with a reply of its own.

    One command's error reply touches no other; a connection that fails fails the commands that were on it. A caller
    that is cancelled while it shares a round trip costs nothing; alone, it costs the connection, as in redis-py.

    Args:
        connect: Makes a connection, which connects by itself when it is used.
        timeout: Seconds for one round trip.
        connect_timeout: Seconds for connecting, which some round trips have to do first.
        is_stale: Whether a connection leads where nothing should be read any more.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        timeout: float,
        connect_timeout: float,
        is_stale: Callable[[Any], bool] | None = None,
    ) -> None:
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._is_stale = is_stale
        self._closed = False
        self._lanes = [connect() for _ in range(_LANES)]
        self._free = list(self._lanes)
        self._waiting: deque[tuple[bytes, asyncio.Future[Any]]] = deque()
        self._flights: set[asyncio.Task[None]] = set()

    async def load(self, command: bytes) -> Any:
        """The reply to a command of `packed`.

        Raises:
            ResponseError: The server's answer to this command.
            ConnectionError: The connection failed, or too many loads wait.
            TimeoutError: No answer in time.
        """
        if self._free:
            lane = self._free.pop()
            try:
                (reply,) = await self._fly(lane, (command,))
            finally:
                self._land(lane)
        else:
            if len(self._waiting) >= _WAITING:
                raise ConnectionError("too many loads wait")
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._waiting.append((command, future))
            reply = await future
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def reconnect(self) -> None:
        """Connect anew before the next round trip."""
        for lane in self._lanes:
            lane.mark_for_reconnect()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Close the connections; loads that wait fail."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft()[1].cancel()
        for flight in self._flights:
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)
        for lane in self._lanes:
            await lane.disconnect()

    def _land(self, lane: AbstractConnection) -> None:
        """The lane is free: those who wait go next, the first first."""
        batch: list[tuple[bytes, asyncio.Future[Any]]] = []
        while self._waiting and len(batch) < _BATCH:
            each = self._waiting.popleft()
            if not each[1].done():  # cancelled meanwhile
                batch.append(each)
        if not batch:
            self._free.append(lane)
            return
        # A task of its own: nobody's cancellation ends a round trip that others share.
        flight = asyncio.get_running_loop().create_task(self._fly_together(lane, batch))
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)

    async def _fly_together(self, lane: AbstractConnection, batch: Sequence[tuple[bytes, asyncio.Future[Any]]]) -> None:
        try:
            replies: Sequence[Any] = await self._fly(lane, [command for command, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    # One each: an exception that several raise would collect their tracebacks.
                    failed = type(error)(*error.args)
                    failed.__cause__ = error
                    future.set_exception(failed)
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        else:
            for (_, future), reply in zip(batch, replies, strict=True):
                if not future.done():
                    future.set_result(reply)
        finally:
            self._land(lane)

    async def _fly(self, lane: AbstractConnection, commands: Sequence[bytes]) -> list[Any]:
        """One round trip. Where it fails half-way redis-py drops the connection, so that no reply goes astray."""
        replies: list[Any] = []
        try:
            stale = lane.should_reconnect()  # type: ignore[no-untyped-call]
            if stale or (self._is_stale is not None and self._is_stale(lane)):
                await lane.disconnect(nowait=True)
            if not lane.is_connected:
                async with asyncio.timeout(self._connect_timeout):
                    # By itself sending would not ask a Sentinel where to.
                    await lane.connect()  # type: ignore[no-untyped-call]
                if self._closed:
                    await lane.disconnect()
                    raise ConnectionError("the store was closed")
            async with asyncio.timeout(self._timeout):
                await lane.send_packed_command(b"".join(commands))
                for _ in commands:
                    try:
                        replies.append(await lane.read_response(disable_decoding=True))
                    except ResponseError as error:
                        replies.append(error)
        except builtins.TimeoutError:
            raise TimeoutError("no answer in time") from None
        return replies
