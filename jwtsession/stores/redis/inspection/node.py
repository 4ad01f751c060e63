"""`Node`: one server of a store, which is asked on a connection of its own.

It is outside of the store's pools and of its second tries: a doctor must see the first failure.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from redis.asyncio.connection import AbstractConnection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import AuthorizationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .._said import said

ANSWER_SECONDS = 2.0
"""How long a server has to answer one question, and to accept a connection."""

Role = Literal["server", "sentinel", "primary", "replica"]


class Refusal(NamedTuple):
    """A server's error reply, or no reply at all."""

    said: str
    """The server's own message, without secrets."""
    forbidden: bool = False
    """Whether the user has no right to ask this."""
    silent: bool = False
    """Whether the server did not answer."""


def address(host: str, port: int) -> str:
    """A host and its port, as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Node:
    """One server of a store, on a connection of its own.

    Args:
        role: What it is for the sessions. A `server` has said nothing about its role.
        connection_class: The class of its connections.
        options: Their arguments.
        secrets: Texts that no message may show.
        keyspace: Prefix of the sessions' keys.
    """

    def __init__(
        self,
        role: Role,
        connection_class: type[AbstractConnection],
        options: Mapping[str, Any],
        secrets: Sequence[str] = (),
        keyspace: str = "",
    ) -> None:
        # RESP2 has one form of each reply, and every server knows it.
        own = {"protocol": 2, "health_check_interval": 0, "socket_timeout": None, "decode_responses": False}
        self.role: Role = role
        self.host = str(options.get("host", "localhost"))
        """Its host; without meaning for a socket."""
        self.is_socket = issubclass(connection_class, UnixDomainSocketConnection)
        """Whether it is reached by a socket of this machine."""
        self.is_tls = issubclass(connection_class, SSLConnection)
        """Whether the connection is encrypted."""
        self.user = str(options.get("username") or "default")
        """The server's user."""
        self.options = dict(options)
        """The arguments of the connection."""
        self.name = str(options.get("path") or address(self.host, int(options.get("port", 6379))))
        """Its host and port, or the path of its socket."""
        self._class = connection_class
        self._connection = connection_class(**(self.options | own))
        self._secrets = [*secrets, *(v for k, v in options.items() if k.endswith("password") and v)]
        self._keyspace = keyspace
        self._silence: Refusal | None = None

    def anonymous(self) -> "Node":
        """Return the same server for somebody who gives no password."""
        without = {"username": None, "password": None, "credential_provider": None}
        return Node(self.role, self._class, self.options | without)

    async def ask(self, *words: str, raw: bool = False) -> Any:
        """Return the reply to a command, with texts as `str`; a `Refusal` for an error, or if no answer came in time.

        Args:
            words: The command.
            raw: Whether to leave bytes as they are.
        """
        (reply,) = await self.ask_all([words], raw=raw)
        return reply

    async def ask_all(self, commands: Sequence[Sequence[str]], *, raw: bool = False) -> list[Any]:
        """Return the replies to commands that go out together: see `ask`. One that is silent once is not asked again.

        Args:
            commands: The commands.
            raw: Whether to leave bytes as they are.
        """
        if self._silence is not None or not commands:
            return [self._silence] * len(commands)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if not self._connection.is_connected:
                    await self._connection.connect()  # type: ignore[no-untyped-call]
                await self._connection.send_packed_command(self._connection.pack_commands(commands))
                return [await self._reply(raw) for _ in commands]
        except (RedisError, OSError, ValueError) as error:
            await self.close()
            refusal = Refusal(self._said(error), isinstance(error, AuthorizationError), silent=True)
            if isinstance(error, TimeoutError | RedisTimeoutError):
                self._silence = refusal
            return [refusal] * len(commands)

    async def _reply(self, raw: bool) -> Any:
        try:
            reply = await self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return Refusal(self._said(error), isinstance(error, NoPermissionError))
        return reply if raw else _texts(reply)

    async def info(self, section: str) -> dict[str, str] | Refusal:
        """Return a section of INFO by its fields' names."""
        reply = await self.ask("INFO", section)
        return reply if isinstance(reply, Refusal) else _fields(reply)

    async def config(self, *names: str) -> dict[str, str] | Refusal:
        """Return some of the server's settings by their names."""
        found: dict[str, str] = {}
        for name in names:
            reply = await self.ask("CONFIG", "GET", name)
            if isinstance(reply, Refusal):
                return reply
            found |= dict(zip(reply[::2], reply[1::2], strict=True))
        return found

    async def close(self) -> None:
        """Close the connection. The next question opens it again."""
        await self._connection.disconnect(nowait=True)

    def _said(self, error: BaseException) -> str:
        return said(error, self._secrets, self._keyspace) or type(error).__name__


def _fields(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def _texts(reply: Any) -> Any:
    if isinstance(reply, bytes):
        return reply.decode(errors="replace")
    if isinstance(reply, list):
        return [_texts(each) for each in reply]
    return reply
