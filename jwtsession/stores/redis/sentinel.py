"""Follows the Sentinels' primary, also while a connection is open.

redis-py asks a Sentinel only when it connects. A planned failover closes no connection: the old primary accepts writes
for ten more seconds, until it becomes a replica and drops them all.
"""

import asyncio
import contextlib
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis, Sentinel
from redis.asyncio.sentinel import MasterNotFoundError, SentinelConnectionPool
from redis.exceptions import RedisError

_CONFIRM_SECONDS = 0.25
"""When the Sentinels' answer is older, they are asked again; calls go on meanwhile."""
_PATIENCE_SECONDS = 0.5
"""When the Sentinels' answer is older, a call waits for the next one."""
_HANGING_SECONDS = 0.2
"""How long a call waits for the Sentinels."""


class NewestSentinel(Sentinel):
    """Asks all Sentinels at the same time and takes the newest answer: one may not know of a failover yet."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Address of the primary.

        Raises:
            MasterNotFoundError: No Sentinel knows one that is up.
        """
        asked = [asyncio.ensure_future(_ask(sentinel, service_name)) for sentinel in self.sentinels]
        try:
            done, late = await asyncio.wait(asked, timeout=_HANGING_SECONDS)
            # After one Sentinel has answered, do not wait for those that hang.
            while late and all(each.exception() for each in done):
                more, late = await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
                done |= more
        finally:
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        found = [each.result() for each in done if not each.exception()]
        if not found:
            raise MasterNotFoundError("no Sentinel knows the service") from next(iter(done)).exception()
        _, is_up, address = max(found)
        if not is_up:
            raise MasterNotFoundError("the primary is down")
        return address


async def _ask(sentinel: "Redis", service_name: str) -> tuple[int, bool, tuple[str, int]]:
    """A Sentinel's answer: its epoch (every failover raises it), whether the primary is up, the primary's address."""
    pipeline = sentinel.pipeline(transaction=False)
    # In this order a new epoch never comes with an old address.
    pipeline.execute_command("SENTINEL MASTER", service_name)
    pipeline.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", service_name)
    state, (host, port) = await pipeline.execute()
    address = (host.decode(), port)
    # During a failover the state still is the old primary's, while the address is the new one's already.
    is_up = address != (state["ip"], state["port"]) or not (state["is_sdown"] or state["is_odown"])
    return state["config-epoch"], is_up, address


class PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary. All of them leave an old primary; a caller that finds none free waits for one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self._asking: asyncio.Task[None] | None = None
        self._confirmed = 0.0

    async def ensure_connection(self, connection: Any) -> None:
        """Connect; connect anew if the connection leads to another server than the Sentinels' primary."""
        if connection.is_connected and (connection.host, connection.port) != self.master_address:
            await connection.disconnect()
        await super().ensure_connection(connection)

    async def confirm(self) -> None:
        """Ask the Sentinels for the primary, unless they have told it a moment ago.

        Waits for their answer only if the last one is old. If they do not answer, the known primary stays in use.
        """
        age = asyncio.get_running_loop().time() - self._confirmed
        if age < _CONFIRM_SECONDS:
            return
        if self._asking is None:
            self._asking = asyncio.create_task(self._confirm())
        if age > _PATIENCE_SECONDS:
            await asyncio.wait({self._asking}, timeout=_HANGING_SECONDS)

    async def _confirm(self) -> None:
        try:
            with contextlib.suppress(RedisError, OSError):
                await self.get_master_address()  # type: ignore[no-untyped-call]
        finally:
            self._confirmed, self._asking = asyncio.get_running_loop().time(), None

    async def aclose(self) -> None:
        """Close all connections, also those to the Sentinels, which redis-py leaves open."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()
