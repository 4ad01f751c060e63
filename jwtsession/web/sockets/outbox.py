"""`Outbox`: sends the messages of a socket's or a stream's endpoint, and a last message that ends it from outside."""

import asyncio
import contextlib
import contextvars
from collections.abc import Sequence

from starlette.types import Message, Send


class Outbox:
    """Sends messages, and knows whether one is on its way.

    Args:
        send: Sends a message to the server.
    """

    __slots__ = ("_finishing", "_idle", "_send", "_sending")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sending = 0
        self._idle: asyncio.Event | None = None
        self._finishing: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        """Send a message of the endpoint."""
        self._sending += 1
        try:
            await self._send(message)
        finally:
            self._sending -= 1
            if self._idle is not None:
                self._idle.set()

    def finish(self, *messages: Message) -> None:
        """Send the last message in a task of its own, after those that are on their way.

        Args:
            messages: The message, and others in its place if the server refuses it.
        """
        task = self._finish(messages)
        self._finishing = asyncio.get_running_loop().create_task(task, context=contextvars.Context())

    async def finished(self) -> None:
        """Wait until the last message is sent, if there is one."""
        if self._finishing is not None:
            await self._finishing

    async def _finish(self, messages: Sequence[Message]) -> None:
        while self._sending:
            self._idle = asyncio.Event()
            await self._idle.wait()
        for message in messages:
            with contextlib.suppress(Exception):  # the server refuses it, or the client has left at the same moment
                await self._send(message)
                return
