"""`Servers`: the operations that an `Executor` needs, for one server or a cluster. `SingleServer` is for one server."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from . import _exchange
from ._closing import Close, close_all
from ._exchange import Call, Command, Read, exchange_pooled, packed
from .autopipeline import AutoPipeline
from .sentinel import PrimaryPool

if TYPE_CHECKING:
    from ...observability import Operations

TIMEOUT_SECONDS = 1.0
"""The time limit for one reply, and for connecting, unless the URL sets another."""


class Pipeline(Protocol):
    """Where commands that may run twice share round trips: an `AutoPipeline`, or one for each node of a cluster."""

    @property
    def observer(self) -> "Operations | None":
        """Counts how many loads share a round trip."""
        ...

    @observer.setter
    def observer(self, observer: "Operations | None", /) -> None: ...

    def request(self, command: bytes, replies: int = 1, key: str | int = "", node: str = "") -> Awaitable[Any]:
        """Send commands that are packed. The node's name, or else the key, tells a cluster where they go."""
        ...

    def together(self, commands: Sequence[Read]) -> Awaitable[list[Any]]:
        """The replies to commands with a key each. An error of the first may be raised, others are items."""
        ...


class Servers(Protocol):
    """The servers that have the sessions.

    Every method raises `RedisError`, `RedisClusterException` or `OSError` if a server refuses or does not answer.
    """

    @property
    def pipeline(self) -> Pipeline | None:
        """For commands that may run twice, where many share a round trip."""
        ...

    async def call(self, key: str, *commands: Command, call: Call) -> list[Any]:
        """The replies to commands on one connection, to the server that has the key."""
        ...

    async def each(self, commands: Sequence[Read], call: Call) -> list[Any]:
        """The replies to commands with a key each, in one round trip to each server."""
        ...

    async def read(self, command: Read, ttl: Read | None, call: Call) -> Any:
        """The reply to a command that reads a session; with `ttl` also the reply to that, or None for not known.

        Args:
            command: GET or GETEX.
            ttl: PTTL of the same key.
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
        replies = await self.pipeline.together(commands)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies

    async def read(self, command: Read, ttl: Read | None, call: Call) -> Any:
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
        # redis-py before 8 disconnects the pool only, and leaves the connections to its Sentinels open.
        closers: list[Close] = [self.client.aclose, self.client.connection_pool.aclose]
        await close_all(closers if self.pipeline is None else [self.pipeline.close, *closers])


def _pipeline(client: Redis) -> AutoPipeline:
    pool = client.connection_pool
    if not isinstance(pool, PrimaryPool):
        return pipeline_to(pool.connection_class, pool.connection_kwargs)

    def is_stale(connection: Any) -> bool:
        """Whether the pool has found a new primary since the connection was made."""
        return pool.master_address not in (None, (connection.host, connection.port))

    return pipeline_to(pool.connection_class, pool.connection_kwargs, prepare=pool.confirm, is_stale=is_stale)


def pipeline_to(
    connection_class: Callable[..., AbstractConnection],
    options: dict[str, Any],
    *,
    prepare: Callable[[], Awaitable[None]] | None = None,
    is_stale: Callable[[Any], bool] | None = None,
) -> AutoPipeline:
    """A pipeline on connections like a pool's.

    Args:
        connection_class: Makes a connection.
        options: The pool's options. `AutoPipeline` limits each round trip and `Executor` makes the second try, so these
            connections have no socket timeout and try once.
        prepare: See `AutoPipeline`.
        is_stale: See `AutoPipeline`.
    """
    own = options | {"socket_timeout": None, "retry": Retry(NoBackoff(), 0)}
    return AutoPipeline(
        lambda: connection_class(**own),
        timeout=options.get("socket_timeout") or TIMEOUT_SECONDS,
        connect_timeout=options.get("socket_connect_timeout") or TIMEOUT_SECONDS,
        deadline=_exchange.DEADLINE_SECONDS,
        prepare=prepare,
        is_stale=is_stale,
    )
