"""One exchange on one connection: commands go out and replies come back, or it is known whether anything went out.

redis-py's own clients do not tell a connection that was dead before a command was written from a reply that was lost
after it. To a caller who must not do a thing twice these are two answers.
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

Command = Sequence[str | bytes | int]
Parse = Callable[..., Awaitable[Any]]
"""Reads one reply of a connection: `Redis.parse_response`, or that of a cluster's node."""


class Call:
    """One call of a store, over all its tries.

    Args:
        retry: Whether what was written may be written again where its reply was lost.
    """

    __slots__ = ("retry", "unanswered")

    def __init__(self, *, retry: bool = True) -> None:
        self.retry = retry
        self.unanswered = 0
        """How often the call was written and got no reply: it may have been done."""

    @property
    def may_repeat(self) -> bool:
        """Whether there may be another try. Always where nothing was written."""
        return self.retry or not self.unanswered


async def has_ended(connection: AbstractConnection) -> bool:
    """Whether the server has closed the connection, or has said what nobody asked for: it is of no use then.

    redis-py looks as well, but passes over the end while maintenance notifications are on, and over a reset.
    """
    try:
        return await connection.read_response(timeout=0) is not None
    except (RedisError, OSError):
        return True


async def ready(connection: AbstractConnection) -> bool:
    """Have a connection that lives: what was closed while nobody used it is connected anew. Nothing is written yet.

    Returns:
        False where it had died in silence, which others may have done with it.

    Raises:
        RedisError: The server can't be reached, or refuses the connection.
    """
    await asyncio.sleep(0)  # what has come while the event loop was busy is read now
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


async def exchange(connection: AbstractConnection, parse: Parse, commands: Sequence[Command], call: Call) -> list[Any]:
    """Write commands on a connection that is `ready`, and read their replies; errors stand in their places.

    Raises:
        RedisError: The connection failed. It is closed, so that no reply goes astray.
    """
    replies: list[Any] = []
    call.unanswered += 1
    try:
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        for name, *_ in commands:
            try:
                replies.append(await parse(connection, str(name)))
            except ResponseError as error:
                replies.append(error)
    except BaseException as error:
        if isinstance(error, (AuthenticationError, BusyLoadingError)):
            call.unanswered -= 1  # replies too, though redis-py takes them for the end of the connection
        await connection.disconnect(nowait=True)
        raise
    call.unanswered -= 1
    return replies


async def exchange_pooled(client: Redis, commands: Sequence[Command], call: Call) -> list[Any]:
    """Commands that go together, on a connection of the client's pool; the replies.

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
