"""`Tracking`: follows the servers, which report every key that is written, deleted or expires.

A server reports on a connection that has asked for it (`CLIENT TRACKING ... BCAST`), a moment after the change. If the
network fails silently, the report never comes. So a server's silence is trusted for a short time only: see `Lease`.
"""

import asyncio
import contextlib
import contextvars
import itertools
import logging
import math
import random
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, NoPermissionError, RedisError, ResponseError, TimeoutError

from .topology import Topology

logger = logging.getLogger("jwtsession")

STALENESS_SECONDS = 1.0
"""The most by which a value from memory may be older than the server's: this happens if the network fails silently."""

_HEARTBEAT_SECONDS = 0.25
_SUBSCRIBE_SECONDS = 2.5
_PAUSE_SECONDS = 0.05, 5.0
"""The shortest and the longest pause between two tries to connect."""
_CHANNEL = "__redis__:invalidate"


class Lease:
    """A server's promise to report changes, for as long as one connection lives.

    All changes that the server made before the moment `confirmed` are known here; each heartbeat moves this moment
    forward. A value from memory is used only while `confirmed` is at most `STALENESS_SECONDS` ago. The clock is
    `time.monotonic`, because uvloop's clock stands still while the event loop is busy.
    """

    __slots__ = ("confirmed", "number", "server")
    _numbers = itertools.count()

    def __init__(self, server: Hashable, confirmed: float) -> None:
        self.number = next(self._numbers)
        """No other lease of the process has it."""
        self.server = server
        self.confirmed = confirmed


class Tracking:
    """Follows each server that has sessions, in a task and on a connection of its own.

    Args:
        keyspace: Prefix of the keys.
        topology: The servers.
        invalidate: Called with the keys that have changed; None means all keys.
        end: Called with a lease that has ended.
        clock: Returns the time in seconds. It must not run backwards.
    """

    def __init__(
        self,
        keyspace: str,
        topology: Topology,
        *,
        invalidate: Callable[[Sequence[bytes] | None], None],
        end: Callable[[Lease], None],
        clock: Callable[[], float],
    ) -> None:
        self._keyspace = keyspace
        self._topology = topology
        self._invalidate = invalidate
        self._end = end
        self._clock = clock
        self._leases: dict[Hashable, Lease | None] = {}
        self._heard: dict[Hashable, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._warned = False

    def lease(self, server: Hashable) -> Lease | None:
        """Return the server's lease; None until the server is followed. The first call starts to follow it."""
        if server not in self._leases:
            self._leases[server] = None
            self._heard[server] = self._clock()
            # An empty context, because the task outlives the request that is the first to need it.
            task = asyncio.get_running_loop().create_task(self._track(server), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return self._leases[server]

    def silence(self) -> float | None:
        """How many seconds ago the most silent server gave its last sign of life; None if no server is followed."""
        heard = [*self._heard.values()]
        return self._clock() - min(heard) if heard else None

    async def close(self) -> None:
        """End the tasks, and close their connections."""
        tasks = {*self._tasks}
        while tasks:
            # Cancel more than once: a connection that is being opened or closed may swallow a cancellation.
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=0.1)

    async def _track(self, server: Hashable) -> None:
        """Follow a server for as long as it has sessions."""
        pause = 0.0
        try:
            while self._topology.leads(server):
                began = self._clock()
                try:
                    await self._follow(server)
                except Exception as error:
                    # Any error: the store works without the cache too.
                    self._log(error)
                lasted = self._clock() - began
                shortest, longest = _PAUSE_SECONDS
                pause = shortest if lasted > longest else min(2 * pause or shortest, longest)
                await asyncio.sleep(random.uniform(pause / 2, pause))
        finally:
            # The next load of a session from this server follows the server again.
            self._leases.pop(server, None)
            self._heard.pop(server, None)

    async def _follow(self, server: Hashable) -> None:
        """Subscribe, and pass on the server's reports, as long as the connection lives."""
        connection = self._topology.connection(server)
        lease: Lease | None = None
        try:
            async with asyncio.timeout(_SUBSCRIBE_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
                await self._subscribe(connection)
                await self._topology.check(server)
            # From now on the server reports every change to a session that is loaded.
            lease = self._leases[server] = Lease(server, self._clock())
            self._heard[server] = lease.confirmed
            self._warned = False
            await self._listen(connection, lease)
        finally:
            self._leases[server] = None
            if lease is not None:
                lease.confirmed = -math.inf
                self._end(lease)
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    async def _subscribe(self, connection: AbstractConnection) -> None:
        async def ask(*command: str | int) -> Any:
            await connection.send_command(*command, check_health=False)
            return await connection.read_response(disable_decoding=True)

        # The cache needs PTTL: a user without that right is refused here, not at every load. The key may be another
        # node's.
        with contextlib.suppress(AskError):
            await ask("PTTL", self._keyspace)
        own_id = await ask("CLIENT", "ID")
        await ask("CLIENT", "TRACKING", "ON", "REDIRECT", own_id, "BCAST", "PREFIX", self._keyspace)
        await ask("SUBSCRIBE", _CHANNEL)

    async def _listen(self, connection: AbstractConnection, lease: Lease) -> None:
        """Pass on the server's reports, and confirm the lease by a heartbeat.

        A server reports a change at the end of that turn of its event loop in which it made the change. It sends a PONG
        during a turn, perhaps before the report of an earlier change of the same turn. But a PING that is sent after a
        PONG has arrived is answered in a later turn: its PONG comes after all reports up to the turn of the PING before
        it. So each PONG confirms all that the server did until the PING before it was sent.
        """
        sent, before, number, waits = lease.confirmed, lease.confirmed, 0, False
        while True:
            now = self._clock()
            if not waits and now >= sent + _HEARTBEAT_SECONDS:
                before, sent, waits = sent, now, True
                number += 1
                await connection.send_command("PING", number, check_health=False)
            due = sent + (STALENESS_SECONDS if waits else _HEARTBEAT_SECONDS)
            # Read for at least a moment: if the event loop was busy for long, the answer is there already.
            told = await connection.read_response(disable_decoding=True, timeout=max(0.01, due - now))
            if told is None:
                if waits and self._clock() >= due:
                    raise TimeoutError("no PONG in time")
            elif told[0] == b"message":
                # The server sends a list of keys, or nothing. A text was published by another client.
                if not isinstance(told[2], bytes):
                    self._invalidate(told[2])
            elif told[0] == b"pong" and waits and told[1] == b"%d" % number:
                await self._topology.check(lease.server)
                lease.confirmed, waits = before, False
                self._heard[lease.server] = self._clock()

    def _log(self, error: Exception) -> None:
        """Warn that the server does not allow or know tracking. Warn once, and again only after it has worked."""
        if (type(error) is ResponseError or isinstance(error, NoPermissionError)) and not self._warned:
            self._warned = True
            logger.warning("the near cache is off: the server does not allow tracking (%s)", type(error).__name__)
        else:
            logger.debug("the near cache is empty: %s", type(error).__name__)
