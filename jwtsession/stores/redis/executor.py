"""`Executor`: every call to the servers goes through it. It has the deadline, the second try, and the log of errors."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
)

from ...errors import SessionCorruptError, StoreUnavailableError
from . import _exchange
from ._exchange import Call, Command, Read, packed
from ._said import REPEATED, said
from ._script import Script
from ._servers import Servers
from .connect import Connections

logger = logging.getLogger("jwtsession")

T = TypeVar("T")

_PAUSE_SECONDS = 0.05
"""The longest pause before a second try."""

_MAX_COMMANDS = 1000
"""How many commands `each` sends in one round trip."""


class Executor:
    """Runs commands on the servers.

    Every method raises `StoreUnavailableError` if the servers do not answer within `DEADLINE_SECONDS` or answer with an
    error, and `SessionCorruptError` if the key holds no string.

    Args:
        connections: The connections to the servers.
        keyspace: Prefix of the sessions' keys. The log shows nothing that follows it.
    """

    def __init__(self, connections: Connections, keyspace: str) -> None:
        self._connections = connections
        self._keyspace = keyspace

    async def read(self, command: Read, ttl: Read | None = None, node: str = "") -> Any:
        """Load a session. See `Servers.read`; of a cluster only the reply of this node to `ttl` counts."""
        sent, replies = (packed(*command), 1) if ttl is None else (packed(*command) + packed(*ttl), 2)
        connections, failed, since = self._connections, None, None
        if connections.pipeline is not None and (loop := asyncio.get_running_loop()) is connections.loop:
            # Nearly every request goes this way: the first try has nothing but the round trip that it shares.
            since = loop.time()
            try:
                return await connections.pipeline.request(sent, replies, command[1], node)
            except (RedisError, RedisClusterException, OSError) as error:
                failed = error.with_traceback(None)
        again = self._read_again(command, ttl, failed, since)
        del failed  # its causes may refer to this frame
        return await again

    def _read_again(
        self, command: Read, ttl: Read | None, failed: Exception | None, since: float | None
    ) -> Awaitable[Any]:
        # Beside `read`, because the lambda would make each load put its variables into cells.
        call = Call()
        return self._run(lambda servers: servers.read(command, ttl, call), call, failed=failed, since=since)

    async def read_together(self, *commands: Read) -> list[Any]:
        """The replies to a few commands that may run twice, in one round trip; in a cluster one to each node."""
        connections, failed, since = self._connections, None, None
        if connections.pipeline is not None and (loop := asyncio.get_running_loop()) is connections.loop:
            since = loop.time()
            try:
                replies = await connections.pipeline.together(commands)
            except (RedisError, RedisClusterException, OSError) as error:
                failed = error.with_traceback(None)
            else:
                failed = next((each for each in replies if isinstance(each, ResponseError)), None)
                if failed is None:
                    return replies
        call = Call()
        again = self._run(lambda servers: servers.each(commands, call), call, failed=failed, since=since)
        del failed  # as above
        return await again

    async def call(self, *command: str | bytes | int, call: Call | None = None) -> Any:
        """The reply to one command, whose first key tells the server."""
        key = command[3] if command[0] in ("EVAL", "EVALSHA") else command[1]
        (reply,) = await self.together(str(key), command, call=call)
        return reply

    async def together(self, key: str, *commands: Command, call: Call | None = None) -> list[Any]:
        """The replies to commands on one connection, to the server that has the key."""
        noted = call or Call()
        return await self._run(lambda servers: servers.call(key, *commands, call=noted), noted)

    async def evaluate(
        self, script: Script, keys: Sequence[str], *args: str | bytes | int, call: Call | None = None
    ) -> Any:
        """What a script returns. The server gets its source if it does not know it yet."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *args, call=call)
        except NoScriptError:
            return await self.call("EVAL", script.source, len(keys), *keys, *args, call=call)

    async def each(self, commands: Sequence[Read]) -> list[Any]:
        """The replies to commands that may run twice, with a key each: a thousand in one round trip to each server."""
        replies: list[Any] = []
        for start in range(0, len(commands), _MAX_COMMANDS):
            part, call = commands[start : start + _MAX_COMMANDS], Call()

            async def attempt(servers: Servers, part: Sequence[Read] = part, call: Call = call) -> list[Any]:
                return await servers.each(part, call)

            replies += await self._run(attempt, call)
        return replies

    async def ask_primaries(self, *command: str) -> dict[str, Any]:
        """Each primary's reply to a command, or its error, by the server's name."""
        call = Call()
        return await self._run(lambda servers: servers.ask_primaries(*command, call=call), call)

    async def ping(self) -> bool:
        """Whether a server answers. Never raises."""
        call = Call()
        try:
            return await self._run(lambda servers: servers.ping(call), call)
        except StoreUnavailableError:
            return False
        except Exception as error:
            # Any error: the caller asks whether the server can be used, and must get an answer.
            logger.error("the session store can't be used: %s: %s", type(error).__name__, self._said(error))
            return False

    async def _run(
        self,
        attempt: Callable[[Servers], Awaitable[T]],
        call: Call,
        *,
        failed: Exception | None = None,
        since: float | None = None,
    ) -> T:
        """Try, and try again if the connection failed and the call may be repeated, all within the deadline.

        Args:
            attempt: Makes one try.
            call: Says whether it may be repeated.
            failed: The error of a first try that was made already.
            since: When that try began, in the event loop's seconds.
        """
        if isinstance(failed, (AskError, RedisClusterException)):
            failed = None  # the map of slots is old, or not loaded yet: `ClusterNodes` has a remedy
        call.unanswered += isinstance(failed, (ConnectionError, TimeoutError))
        try:
            async with asyncio.timeout_at((since or asyncio.get_running_loop().time()) + _exchange.DEADLINE_SECONDS):
                try:
                    if failed is not None:
                        raise failed
                    return await attempt(self._connections.require())
                except (ConnectionError, TimeoutError) as error:
                    if not call.may_repeat or isinstance(error, (AuthenticationError, AuthorizationError)):
                        raise
                except ReadOnlyError:
                    # A replica refused the write: the primary's address may belong to another server now.
                    await self._connections.reconnect()
                # A random pause, so that the callers of a restarted server do not all return at the same moment.
                await asyncio.sleep(random.uniform(0.0, _PAUSE_SECONDS))
                return await attempt(self._connections.require())
        except NoScriptError:
            raise
        except (RedisError, RedisClusterException, OSError) as error:
            if isinstance(error, ResponseError) and "WRONGTYPE" in str(error):
                raise SessionCorruptError from error
            shown = self._said(error)
            logger.error(
                "the session store is unavailable: %s: %s (redis_url: %s)%s",
                type(error).__name__,
                shown,
                self._connections.location,
                _remedy(shown, call),
            )
            message, found, _ = str(error).partition(REPEATED)
            raise StoreUnavailableError from (ResponseError(message) if found else error)
        finally:
            failed = None  # as above

    def _said(self, error: Exception) -> str:
        return said(error, self._connections.secrets, self._keyspace)


def _remedy(shown: str, call: Call) -> str:
    """A hint for the log if a server or a proxy does not understand the first commands of a connection."""
    words = shown.lower()
    if "hello" in words or "noproto" in words:
        return "; it knows no RESP3: add ?protocol=2 to redis_url"
    if "connection closed by server" in words and not call.unanswered:
        return "; if it is a proxy that knows no HELLO, add ?protocol=2 to redis_url"
    return ""
