"""`AutoPipeline`: loads at the same time share a round trip.

A load by redis-py's asyncio client takes about 130 µs of CPU, most of it in the pool, the retries and a task for each
write. Here two connections are kept for loads alone, and all loads that wait are sent in one write. Only redis-py's
public `Connection` is used.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from ..._tracebacks import clear_frame_locals
from ._closing import close_all
from ._exchange import Read, has_ended, packed, send
from ._round_trip import RoundTrip

if TYPE_CHECKING:
    from ...observability import Operations

_CONNECTIONS = 2
_MAX_BATCH = 128
_SECOND_CONNECTION_FROM = 32
"""The second connection is used when so many loads wait. With fewer, a second write costs more than it saves."""
_MAX_WAITING = 10_000
_IDLE_SECONDS = 0.5
"""A connection that was unused for longer is checked before it is used: the server may have closed it."""


_Request = tuple[float, "asyncio.Future[Any]", bytes, int, Any]
"""Since when a load waits, in the event loop's seconds; its reply to come; its commands and their number; and what
`Operations.joined` returned. A plain tuple, because each load makes one."""


class AutoPipeline:
    """Sends commands that may run twice, many in one round trip, and gives each caller its own reply.

    An error reply concerns its own command only. A connection that fails fails the commands that were on it. A caller
    that is cancelled while it shares a round trip costs nothing; a caller that is cancelled alone costs the connection,
    as in redis-py.

    Args:
        connect: Makes a connection, which is not connected yet.
        timeout: Seconds for one round trip, and for the wait before it.
        connect_timeout: Seconds for connecting, which some round trips have to do first.
        deadline: Seconds for all of it.
        prepare: Called before each round trip.
        is_stale: Whether a connection leads to a server that must not be read any more.
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
        self.observer: Operations | None = None
        """Counts how many loads share a round trip."""
        self._connections = [connect() for _ in range(_CONNECTIONS)]
        self._free = list(self._connections)
        self._last_used = dict.fromkeys(self._connections, 0.0)
        self._waiting: list[_Request] = []
        self._is_crowded = False
        """Whether others came while the last load was alone on its way."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._round_trips: set[RoundTrip] = set()
        self._timer: asyncio.TimerHandle | None = None

    def request(self, command: bytes, replies: int = 1, key: str | int = "", node: str = "") -> Awaitable[Any]:
        """Send a command of `packed`, or several that are joined.

        Args:
            command: The bytes to send.
            replies: How many commands they are.
            key: For `ClusterPipelines`.
            node: For `ClusterPipelines`.

        Returns:
            To be awaited at once: the reply; of several commands the list of replies, in which errors of all but the
            first stand as values. It raises `ResponseError`, the server's answer to the first command,
            `ConnectionError` if the connection failed, and `TimeoutError` if no answer came in time.

        Raises:
            ConnectionError: Too many loads wait.
        """
        if len(self._free) == _CONNECTIONS:
            return self._request_alone(command, replies)
        # Nearly every request of a busy worker goes this way, and gets its reply without a coroutine of its own.
        waiting = self._waiting
        if len(waiting) >= _MAX_WAITING:
            raise ConnectionError("too many loads wait")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        since = loop.time()
        if not waiting:  # else the timer is set already, for those who wait longer
            self._wake(since + self._timeout)
        waiting.append((since, future, command, replies, None if self.observer is None else self.observer.joined()))
        if len(waiting) >= _SECOND_CONNECTION_FROM and self._free:
            self._release(self._free.pop())
        return future

    async def _request_alone(self, command: bytes, replies: int) -> Any:
        """Send commands without others, or with those that came in the same moment."""
        if len(self._free) < _CONNECTIONS:  # somebody else was faster
            return await self.request(command, replies)
        connection = self._free.pop()
        try:
            if self._is_crowded:  # nobody comes beside a client that is alone: then this pause would be for nothing
                await asyncio.sleep(0)  # every task that is ready now runs first, and adds what it wants to load
            if not self._waiting:
                now = asyncio.get_running_loop().time()
                if self.observer is not None:
                    self.observer.alone(now)
                found = await self._execute(connection, command, replies, now + self._deadline)
                if isinstance(found[0], ResponseError):
                    raise found[0]
                return found[0] if replies == 1 else found
            reply = self.request(command, replies)
        finally:
            self._is_crowded = bool(self._waiting)
            self._release(connection)
        try:
            return await reply
        finally:
            del reply  # an error refers to this frame, and the future to the error

    def together(self, commands: Sequence[Read]) -> Awaitable[list[Any]]:
        """Send several commands in one round trip. See `request`, also for what is raised."""
        return self.request(b"".join([packed(*each) for each in commands]), len(commands))

    def reconnect(self) -> None:
        """Make all connections connect again before their next round trip."""
        for connection in self._connections:
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]

    def _suspect_others(self, failed: AbstractConnection) -> None:
        """Make the other connections connect again: they are most likely dead too, and a second try follows."""
        for connection in self._connections:
            if connection is not failed:
                connection.mark_for_reconnect()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Close the connections; loads that wait fail."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        _fail(self._waiting, ConnectionError("the store was closed"))
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await close_all([connection.disconnect for connection in self._connections])

    def _release(self, connection: AbstractConnection) -> None:
        """Free the connection, or use it for the waiting loads in a new task, which no caller's cancellation ends."""
        if not self._waiting:
            self._free.append(connection)
            return
        task = asyncio.get_running_loop().create_task(self._run(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, connection: AbstractConnection) -> None:
        """Make round trips on one connection, as long as loads wait."""
        try:
            while self._waiting:
                batch = [each for each in self._waiting[:_MAX_BATCH] if not each[1].done()]  # or cancelled meanwhile
                del self._waiting[:_MAX_BATCH]
                if batch:
                    await self._execute_batch(connection, batch)
                del batch  # see the end of `_execute_batch`
                if self._waiting:
                    await asyncio.sleep(0)  # those who got their replies may be the next: they join those who wait
        finally:
            self._free.append(connection)

    async def _execute_batch(self, connection: AbstractConnection, batch: Sequence[_Request]) -> None:
        sinces, futures, commands, counts, spans = zip(*batch, strict=True)
        if self.observer is not None:
            self.observer.shared(spans, sinces[0])
        try:
            found = await self._execute(connection, b"".join(commands), sum(counts), sinces[0] + self._deadline)
        except Exception as error:
            clear_frame_locals(error)  # replies that have come already belong to others, as the commands here do
            _fail(batch, error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
        except BaseException:
            _fail(batch, ConnectionError("the store was closed"))
            raise
        else:
            rest = iter(found)
            for future, count, first in zip(futures, counts, rest, strict=False):
                reply = first if count == 1 else [first, *islice(rest, count - 1)]
                if isinstance(first, ResponseError) and not future.done():
                    future.set_exception(first)
                elif not future.done():
                    future.set_result(reply)
        finally:
            del batch, futures  # frames of an error's causes refer to this one, and the futures to the error

    async def _execute(self, connection: AbstractConnection, commands: bytes, replies: int, latest: float) -> list[Any]:
        """One round trip. If it fails half-way redis-py closes the connection: no reply reaches another's caller."""
        trip = RoundTrip()
        self._round_trips.add(trip)
        try:
            if self._prepare is not None:
                await self._prepare()
            if (
                connection.should_reconnect()  # type: ignore[no-untyped-call]
                or (self._is_stale is not None and self._is_stale(connection))
                or (
                    asyncio.get_running_loop().time() - self._last_used[connection] > _IDLE_SECONDS
                    and connection.is_connected
                    and await _has_ended(connection)
                )
            ):
                await connection.disconnect(nowait=True)
            if not connection.is_connected:
                self._limit(trip, self._connect_timeout, latest)
                # `send_packed_command` would connect too, but would not ask a Sentinel for the address.
                await connection.connect()  # type: ignore[no-untyped-call]
                if self._closed:
                    await connection.disconnect()
                    raise ConnectionError("the store was closed")
            self._limit(trip, self._timeout, latest)
            await send(connection, commands)
            found: list[Any] = []
            for _ in range(replies):
                try:
                    found.append(await connection.read_response(disable_decoding=True))
                except ResponseError as error:
                    found.append(error.with_traceback(None))  # or it refers to this frame, and so to all other replies
            self._last_used[connection] = trip.began
            return found
        except ConnectionError:
            self._suspect_others(connection)
            raise
        except asyncio.CancelledError:
            if trip.was_late():
                self._suspect_others(connection)
                raise TimeoutError("no answer in time") from None
            raise
        finally:
            self._round_trips.discard(trip)

    def _limit(self, trip: RoundTrip, seconds: float, latest: float) -> None:
        trip.began = asyncio.get_running_loop().time()
        trip.due = min(trip.began + seconds, latest)
        self._wake(trip.due)

    def _wake(self, due: float) -> None:
        """Let the timer call `_watch` at `due` or earlier."""
        if self._timer is None or self._timer.when() > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(due, self._watch)

    def _watch(self) -> None:
        """End the round trips and waits that have taken too long, and set the timer for the next one."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for trip in self._round_trips:
            if trip.due <= now:
                trip.end()
        late = [*takewhile(lambda each: each[0] + self._timeout <= now, self._waiting)]
        _fail(late, TimeoutError("no place in time"))
        del self._waiting[: len(late)]
        dues = [trip.due for trip in self._round_trips]
        if self._waiting:
            dues.append(self._waiting[0][0] + self._timeout)
        if dues and (due := min(dues)) < math.inf:
            self._wake(due)


async def _has_ended(connection: AbstractConnection) -> bool:
    await asyncio.sleep(0)  # lets the event loop read what has come while it was busy
    return await has_ended(connection)


def _fail(batch: Iterable[_Request], error: Exception) -> None:
    for _, reply, *_ in batch:
        if not reply.done():
            # Each caller gets its own exception: one shared exception would collect the tracebacks of all callers.
            failed = type(error)(*error.args)
            failed.__cause__ = error
            reply.set_exception(failed)
