"""One exchange on one connection: commands go out and replies come back, or it is known whether anything went out.

redis-py's clients do not distinguish a connection that was dead before a command was written from a reply that was lost
afterwards. A caller that must not run a command twice has to know which of the two happened.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    RedisError,
    ResponseError,
    TimeoutError,
)

DEADLINE_SECONDS = 2.5
"""How long one call of a store may take, with all its tries, before it is a `StoreUnavailableError`."""

Command = Sequence[str | bytes | int]
Read = tuple[str | int, ...]
"""A command that may run twice."""
Parse = Callable[..., Awaitable[Any]]
"""Reads one reply of a connection: `Redis.parse_response`, or a cluster node's."""


class Call:
    """One call of a store, over all its tries.

    Args:
        retry: Whether a command that was written may be written again after its reply was lost.
    """

    __slots__ = ("retry", "unanswered")

    def __init__(self, *, retry: bool = True) -> None:
        self.retry = retry
        self.unanswered = 0
        """How often the call was written and got no reply. The server may have run it each time."""

    @property
    def may_repeat(self) -> bool:
        """Whether another try is allowed. It always is where nothing was written."""
        return self.retry or not self.unanswered


def packed(*words: str | int) -> bytes:
    """A command in the form in which it is sent (RESP)."""
    sent = b"*%d\r\n" % len(words)
    for word in words:
        part = str(word).encode()
        sent += b"$%d\r\n%s\r\n" % (len(part), part)
    return sent


async def has_ended(connection: AbstractConnection) -> bool:
    """Whether the connection can't be used: the server has closed it, or has sent data that no command asked for.

    redis-py checks this too. But it misses a closed connection while maintenance notifications are on, and it misses a
    connection that was reset.
    """
    try:
        return await connection.read_response(timeout=0) is not None
    except (RedisError, OSError):
        return True


async def ready(connection: AbstractConnection) -> bool:
    """Make sure that the connection works: connect again if it was closed while it was unused. Writes no command.

    Returns:
        False if the connection was dead and nobody had noticed. Others of the pool may be dead too.

    Raises:
        RedisError: The server can't be reached, or refuses the connection.
    """
    await asyncio.sleep(0)  # lets the event loop read what has come while it was busy
    if connection.should_reconnect() or (connection.is_connected and await has_ended(connection)):  # type: ignore[no-untyped-call]
        await connection.disconnect(nowait=True)
    await connection.connect()  # type: ignore[no-untyped-call]
    try:
        await connection.check_health()  # type: ignore[no-untyped-call]
    except (ConnectionError, TimeoutError):
        await connection.disconnect(nowait=True)
        await connection.connect()  # type: ignore[no-untyped-call]
        return False
    return True


async def send(connection: AbstractConnection, commands: Any, *, check_health: bool = True) -> None:
    """Write commands of `packed`, or of redis-py's `pack_commands`.

    Raises:
        RedisError: The connection failed. For one that was reset uvloop has a `RuntimeError` of its own.
    """
    try:
        await connection.send_packed_command(commands, check_health=check_health)
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error


async def exchange(connection: AbstractConnection, parse: Parse, commands: Sequence[Command], call: Call) -> list[Any]:
    """Write commands on a connection that is `ready`, and read their replies. An error reply is an item of the list.

    Raises:
        RedisError: The connection failed. It is closed, so that no reply reaches another caller.
    """
    replies: list[Any] = []
    call.unanswered += 1
    try:
        await send(connection, connection.pack_commands(commands), check_health=False)
        for name, *_ in commands:
            try:
                replies.append(await parse(connection, str(name)))
            except ResponseError as error:
                replies.append(error)
    except BaseException as error:
        if isinstance(error, (AuthenticationError, BusyLoadingError)):
            call.unanswered -= 1  # these are replies, though redis-py takes them for the end of the connection
        await connection.disconnect(nowait=True)
        raise
    call.unanswered -= 1
    return replies


async def exchange_pooled(client: Redis, commands: Sequence[Command], call: Call) -> list[Any]:
    """Send commands together, on a connection of the client's pool, and return their replies.

    Raises:
        RedisError: A command was refused, or the connection failed.
    """
    pool = client.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        if not await ready(connection):
            await pool.disconnect(inuse_connections=False)
        replies = await exchange(connection, client.parse_response, commands, call)
    finally:
        await pool.release(connection)
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return replies
