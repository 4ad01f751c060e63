"""`AutoPipeline`: loads at the same time share a round trip.

A load by redis-py's asyncio client takes about 130 µs of CPU, most of it in the pool, the retries and a task for each
write. Here two connections are kept for loads alone, and all loads that wait are sent in one write. Only redis-py's
public `Connection` is used.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from ._exchange import has_ended
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


class _Request(NamedTuple):
    command: bytes
    reply: "asyncio.Future[Any]"
    since: float
    replies: int
    span: Any = None
    """What `Operations.joined` returned."""


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
        self._waiting: deque[_Request] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._round_trips: set[RoundTrip] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def request(self, command: bytes, replies: int = 1) -> Any:
        """Send a command of `packed`, or several that are joined.

        Args:
            command: The bytes to send.
            replies: How many commands they are.

        Returns:
            The reply; of several commands the list of replies, in which errors of all but the first stand as values.

        Raises:
            ResponseError: The server's answer to the first command.
            ConnectionError: The connection failed, or too many loads wait.
            TimeoutError: No answer came in time.
        """
        future: asyncio.Future[Any] | None = None
        reply: Any = None
        if len(self._free) == _CONNECTIONS:
            connection = self._free.pop()
            try:
                await asyncio.sleep(0)  # every task that is ready now runs first, and adds what it wants to load
                if self._waiting:
                    future = self._wait(command, replies)
                else:
                    now = asyncio.get_running_loop().time()
                    if self.observer is not None:
                        self.observer.alone(now)
                    (reply,) = await self._execute(connection, command, (replies,), now + self._deadline)
            finally:
                self._release(connection)
        else:
            future = self._wait(command, replies)
            if self._free and len(self._waiting) >= _SECOND_CONNECTION_FROM:
                self._release(self._free.pop())
        if future is not None:
            reply = await future
        first = reply if replies == 1 else reply[0]
        if isinstance(first, ResponseError):
            raise first
        return reply

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
        for connection in self._connections:
            await connection.disconnect()

    def _wait(self, command: bytes, replies: int) -> "asyncio.Future[Any]":
        if len(self._waiting) >= _MAX_WAITING:
            raise ConnectionError("too many loads wait")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        since = loop.time()
        span = None if self.observer is None else self.observer.joined()
        self._waiting.append(_Request(command, future, since, replies, span))
        self._wake(since + self._timeout)
        return future

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
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_BATCH))]
                batch = [each for each in batch if not each.reply.done()]  # or cancelled meanwhile
                if batch:
                    await self._execute_batch(connection, batch)
        finally:
            self._free.append(connection)

    async def _execute_batch(self, connection: AbstractConnection, batch: Sequence[_Request]) -> None:
        if self.observer is not None:
            self.observer.shared([each.span for each in batch], batch[0].since)
        commands = b"".join([each.command for each in batch])
        latest = batch[0].since + self._deadline
        try:
            found = await self._execute(connection, commands, [each.replies for each in batch], latest)
        except Exception as error:
            _fail(batch, error)
        except BaseException:
            _fail(batch, ConnectionError("the store was closed"))
            raise
        else:
            for each, reply in zip(batch, found, strict=True):
                if not each.reply.done():
                    each.reply.set_result(reply)

    async def _execute(
        self, connection: AbstractConnection, commands: bytes, replies: Sequence[int], latest: float
    ) -> list[Any]:
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
                    and await has_ended(connection)
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
            await connection.send_packed_command(commands)
            found = [
                await _reply(connection) if n == 1 else [await _reply(connection) for _ in range(n)] for n in replies
            ]
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
        while self._waiting and self._waiting[0].since + self._timeout <= now:
            _fail([self._waiting.popleft()], TimeoutError("no place in time"))
        dues = [trip.due for trip in self._round_trips]
        if self._waiting:
            dues.append(self._waiting[0].since + self._timeout)
        if dues and (due := min(dues)) < math.inf:
            self._wake(due)


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def _fail(batch: Iterable[_Request], error: Exception) -> None:
    for each in batch:
        if not each.reply.done():
            # Each caller gets its own exception: one shared exception would collect the tracebacks of all callers.
            failed = type(error)(*error.args)
            failed.__cause__ = error
            each.reply.set_exception(failed)
