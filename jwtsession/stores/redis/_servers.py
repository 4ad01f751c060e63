"""`Servers`: the operations that an `Executor` needs, for one server or a cluster. `SingleServer` is for one server."""

from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from . import _exchange
from ._exchange import Call, Command, Read, exchange_pooled, packed
from .autopipeline import AutoPipeline
from .sentinel import PrimaryPool

TIMEOUT_SECONDS = 1.0
"""The time limit for one reply, and for connecting, unless the URL sets another."""


class Servers(Protocol):
    """The servers that have the sessions.

    Every method raises `RedisError`, `RedisClusterException` or `OSError` if a server refuses or does not answer.
    """

    pipeline: AutoPipeline | None
    """For commands that may run twice, where many share a round trip."""

    async def call(self, key: str, *commands: Command, call: Call) -> list[Any]:
        """The replies to commands on one connection, to the server that has the key."""
        ...

    async def each(self, commands: Sequence[Read], call: Call) -> list[Any]:
        """The replies to commands with a key each, in one round trip to each server."""
        ...

    async def read(self, command: Read, ttl: Read | None, node: str, call: Call) -> Any:
        """The reply to a command that reads a session; with `ttl` also the reply to that, or None for not known.

        Args:
            command: GET or GETEX.
            ttl: PTTL of the same key.
            node: The cluster's node whose reply to `ttl` counts.
            call: Notes what was sent.
        """
        ...

    async def ask_primaries(self, *command: str, call: Call) -> dict[str, Any]:
        """Each primary's reply to a command, or its error, by the server's name."""
        ...

    async def ping(self, call: Call) -> bool:
        """Whether a server answers."""
        ...

    async def reconnect(self) -> None:
        """Make every connection connect again before its next use."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class SingleServer:
    """One server, or the primary that the Sentinels name.

    Args:
        client: Its client.
        location: The server's name in a log.
        borrowed: The client is the application's own: it is used as it is, and never closed.
    """

    def __init__(self, client: Redis, location: str, *, borrowed: bool = False) -> None:
        self.client = client
        self._location = location
        self.pipeline = None if borrowed else _pipeline(client)
        pool = client.connection_pool
        self._sentinels = pool if isinstance(pool, PrimaryPool) else None

    async def call(self, key: str, *commands: Command, call: Call) -> list[Any]:
        """See `Servers.call`."""
        if self._sentinels is not None:
            await self._sentinels.confirm()
        return await exchange_pooled(self.client, commands, call)

    async def each(self, commands: Sequence[Read], call: Call) -> list[Any]:
        """See `Servers.each`."""
        if self.pipeline is None or len(commands) < 2:
            return await self.call("", *commands, call=call)
        # The shared round trips read a reply in a third of the time.
        replies = await self.pipeline.request(b"".join(packed(*each) for each in commands), len(commands))
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return list(replies)

    async def read(self, command: Read, ttl: Read | None, node: str, call: Call) -> Any:
        """See `Servers.read`."""
        commands = [command] if ttl is None else [command, ttl]
        if self.pipeline is not None:
            return await self.pipeline.request(b"".join(packed(*each) for each in commands), len(commands))
        replies = await self.call("", *commands, call=call)
        return replies[0] if ttl is None else replies

    async def ask_primaries(self, *command: str, call: Call) -> dict[str, Any]:
        """See `Servers.ask_primaries`."""
        try:
            (reply,) = await self.call("", command, call=call)
        except ResponseError as error:
            reply = error
        return {self._location: reply}

    async def ping(self, call: Call) -> bool:
        """See `Servers.ping`."""
        return bool(await self.call("", ("PING",), call=call))

    async def reconnect(self) -> None:
        """See `Servers.reconnect`. The application's own client is left alone."""
        if self.pipeline is not None:
            pool = self.client.connection_pool
            await pool.disconnect(inuse_connections=False)
            await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
            self.pipeline.reconnect()

    async def close(self) -> None:
        """See `Servers.close`."""
        if self.pipeline is not None:
            await self.pipeline.close()
        await self.client.aclose()
        # redis-py before 8 disconnects the pool only, and leaves the connections to its Sentinels open.
        await self.client.connection_pool.aclose()


def _pipeline(client: Redis) -> AutoPipeline:
    """A pipeline on connections like the pool's, without its socket timeout: `AutoPipeline` limits each round trip."""
    pool = client.connection_pool
    options: dict[str, Any] = pool.connection_kwargs | {"socket_timeout": None}

    def is_stale(connection: Any) -> bool:
        """Whether the pool has found a new primary since the connection was made."""
        return getattr(pool, "master_address", None) not in (None, (connection.host, connection.port))

    return AutoPipeline(
        lambda: pool.connection_class(**options),
        timeout=pool.connection_kwargs.get("socket_timeout") or TIMEOUT_SECONDS,
        connect_timeout=pool.connection_kwargs.get("socket_connect_timeout") or TIMEOUT_SECONDS,
        deadline=_exchange.DEADLINE_SECONDS,
        prepare=pool.confirm if isinstance(pool, PrimaryPool) else None,
        is_stale=is_stale if isinstance(pool, PrimaryPool) else None,
    )
