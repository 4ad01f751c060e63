"""Batched loads: those that are wanted at the same time share a round trip, and so do those that come while it lasts.

A load costs redis-py's asyncio client about 130 µs of CPU alone, most of it around the command: the pool, retries,
a task for each write. Here a few connections are held for loads alone, and what waits goes out in one write. Nothing
but redis-py's public `Connection` is used.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from ._exchange import has_ended

_LANES = 2
_BATCH = 128
_SECOND_LANE = 32
"""So many must wait before a second connection is worth its writes."""
_WAITING = 10_000
_IDLE_SECONDS = 0.5
"""After so long without a round trip a connection is looked at before it is used: the server may have closed it."""


def packed(*words: str | int) -> bytes:
    """A command in the form in which it is sent (RESP)."""
    sent = b"*%d\r\n" % len(words)
    for word in words:
        part = str(word).encode()
        sent += b"$%d\r\n%s\r\n" % (len(part), part)
    return sent


class _Load(NamedTuple):
    command: bytes
    reply: "asyncio.Future[Any]"
    since: float
    replies: int


class _Trip:
    """A round trip that has to be over in time: `Loads._watch` ends it, one timer for all of them.

    Does what `asyncio.timeout` does, without a timer for each, which costs a good part of what a round trip does.
    """

    __slots__ = ("_cancelling", "_late", "_task", "began", "due")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._task = task
        self._cancelling = task.cancelling()
        self._late = False
        self.began = 0.0
        self.due = math.inf

    def end(self) -> None:
        """It is late: cancel it."""
        self._late, self.due = True, math.inf
        self._task.cancel()

    def was_late(self) -> bool:
        """Whether a cancellation was by `end()`, and nobody else's."""
        return self._late and self._task.uncancel() <= self._cancelling


class Loads:
    """Sends commands that may run twice, many in one round trip, each with a reply of its own.

    One command's error reply touches no other; a connection that fails fails the commands that were on it. A caller
    that is cancelled while it shares a round trip costs nothing; alone, it costs the connection, as in redis-py.

    Args:
        connect: Makes a connection, which connects by itself when it is used.
        timeout: Seconds for one round trip, and for the wait before it.
        connect_timeout: Seconds for connecting, which some round trips have to do first.
        deadline: Seconds for all of it.
        prepare: Called before each round trip.
        is_stale: Whether a connection leads where nothing should be read any more.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        *,
        timeout: float,
        connect_timeout: float,
        deadline: float,
        prepare: Callable[[], Awaitable[None]] | None = None,
        is_stale: Callable[[Any], bool] | None = None,
    ) -> None:
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._deadline = deadline
        self._prepare = prepare
        self._is_stale = is_stale
        self._closed = False
        self._lanes = [connect() for _ in range(_LANES)]
        self._free = list(self._lanes)
        self._used = dict.fromkeys(self._lanes, 0.0)
        self._waiting: deque[_Load] = deque()
        self._runs: set[asyncio.Task[None]] = set()
        self._trips: set[_Trip] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def load(self, command: bytes, replies: int = 1) -> Any:
        """The reply to a command of `packed`; where it is several, one behind the other, so many `replies`.

        Raises:
            ResponseError: The server's answer to the command, of several to the first; others' stand in their places.
            ConnectionError: The connection failed, or too many loads wait.
            TimeoutError: No answer in time.
        """
        future: asyncio.Future[Any] | None = None
        reply: Any = None
        if len(self._free) == _LANES:
            lane = self._free.pop()
            try:
                await asyncio.sleep(0)  # everybody who is running now has a turn, and puts in what they want
                if self._waiting:
                    future = self._wait(command, replies)
                else:
                    latest = asyncio.get_running_loop().time() + self._deadline
                    (reply,) = await self._fly(lane, command, (replies,), latest)
            finally:
                self._release(lane)
        else:
            future = self._wait(command, replies)
            if self._free and len(self._waiting) >= _SECOND_LANE:
                self._release(self._free.pop())
        if future is not None:
            reply = await future
        first = reply if replies == 1 else reply[0]
        if isinstance(first, ResponseError):
            raise first
        return reply

    def reconnect(self) -> None:
        """Connect anew before the next round trip."""
        for lane in self._lanes:
            lane.mark_for_reconnect()  # type: ignore[no-untyped-call]

    def _suspect_others(self, failed: AbstractConnection) -> None:
        """What has ended one connection has most likely ended all: a second try must not meet it again."""
        for lane in self._lanes:
            if lane is not failed:
                lane.mark_for_reconnect()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Close the connections; loads that wait fail."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        _fail(self._waiting, ConnectionError("the store was closed"))
        self._waiting.clear()
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)
        for lane in self._lanes:
            await lane.disconnect()

    def _wait(self, command: bytes, replies: int) -> "asyncio.Future[Any]":
        if len(self._waiting) >= _WAITING:
            raise ConnectionError("too many loads wait")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        since = loop.time()
        self._waiting.append(_Load(command, future, since, replies))
        self._wake(since + self._timeout)
        return future

    def _release(self, lane: AbstractConnection) -> None:
        """The lane is free. Those who wait go next, in a task of its own: nobody else's cancellation ends it."""
        if not self._waiting:
            self._free.append(lane)
            return
        run = asyncio.get_running_loop().create_task(self._run(lane))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)

    async def _run(self, lane: AbstractConnection) -> None:
        """Round trips on one connection, as long as somebody waits."""
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
                batch = [each for each in batch if not each.reply.done()]  # or cancelled meanwhile
                if batch:
                    await self._fly_together(lane, batch)
        finally:
            self._free.append(lane)

    async def _fly_together(self, lane: AbstractConnection, batch: Sequence[_Load]) -> None:
        commands = b"".join([each.command for each in batch])
        try:
            found = await self._fly(lane, commands, [each.replies for each in batch], batch[0].since + self._deadline)
        except Exception as error:
            _fail(batch, error)
        except BaseException:
            _fail(batch, ConnectionError("the store was closed"))
            raise
        else:
            for each, reply in zip(batch, found, strict=True):
                if not each.reply.done():
                    each.reply.set_result(reply)

    async def _fly(self, lane: AbstractConnection, commands: bytes, replies: Sequence[int], latest: float) -> list[Any]:
        """One round trip. Where it fails half-way redis-py drops the connection, so that no reply goes astray."""
        trip = _Trip()
        self._trips.add(trip)
        try:
            if self._prepare is not None:
                await self._prepare()
            if (
                lane.should_reconnect()  # type: ignore[no-untyped-call]
                or (self._is_stale is not None and self._is_stale(lane))
                or (
                    asyncio.get_running_loop().time() - self._used[lane] > _IDLE_SECONDS
                    and lane.is_connected
                    and await has_ended(lane)
                )
            ):
                await lane.disconnect(nowait=True)
            if not lane.is_connected:
                self._limit(trip, self._connect_timeout, latest)
                # By itself sending would not ask a Sentinel where to.
                await lane.connect()  # type: ignore[no-untyped-call]
                if self._closed:
                    await lane.disconnect()
                    raise ConnectionError("the store was closed")
            self._limit(trip, self._timeout, latest)
            await lane.send_packed_command(commands)
            found = [await _reply(lane) if n == 1 else [await _reply(lane) for _ in range(n)] for n in replies]
            self._used[lane] = trip.began
            return found
        except ConnectionError:
            self._suspect_others(lane)
            raise
        except asyncio.CancelledError:
            if trip.was_late():
                self._suspect_others(lane)
                raise TimeoutError("no answer in time") from None
            raise
        finally:
            self._trips.discard(trip)

    def _limit(self, trip: _Trip, seconds: float, latest: float) -> None:
        trip.began = asyncio.get_running_loop().time()
        trip.due = min(trip.began + seconds, latest)
        self._wake(trip.due)

    def _wake(self, due: float) -> None:
        """Have `_watch` called then, at the latest."""
        if self._timer is None or self._timer.when() > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(due, self._watch)

    def _watch(self) -> None:
        """End what has taken too long, and come back when the next one would have."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for trip in self._trips:
            if trip.due <= now:
                trip.end()
        while self._waiting and self._waiting[0].since + self._timeout <= now:
            _fail([self._waiting.popleft()], TimeoutError("no place in time"))
        dues = [trip.due for trip in self._trips]
        if self._waiting:
            dues.append(self._waiting[0].since + self._timeout)
        if dues and (due := min(dues)) < math.inf:
            self._wake(due)


async def _reply(lane: AbstractConnection) -> Any:
    try:
        return await lane.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def _fail(batch: Iterable[_Load], error: Exception) -> None:
    for each in batch:
        if not each.reply.done():
            # One each: an exception that several raise would collect their tracebacks.
            failed = type(error)(*error.args)
            failed.__cause__ = error
            each.reply.set_exception(failed)
