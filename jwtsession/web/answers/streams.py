"""`Stream`: ends a streamed answer when its session ends."""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope, Send

from ..._tracebacks import clear_frame_locals
from ...manager.until_ended import cancelled_by_blocks
from ...sessions import Ending
from ..sockets.outbox import Outbox
from ..sockets.watching import ScopeWatch

WITHOUT_BODY = (204, 205, 304)
"""Statuses of answers that have no body (RFC 9110 section 6.4.1)."""


class Stream:
    """A streamed answer. When the session ends, it is complete, and the endpoint's work is cancelled.

    Args:
        scope: The request's ASGI scope.
        send: Sends a message to the server.
        task: The task in which the endpoint runs. An answer may be sent by another one.
    """

    __slots__ = ("_cancelling", "_ending", "_late", "_outbox", "_task", "_watch")

    def __init__(self, scope: Scope, send: Send, task: asyncio.Task[object] | None) -> None:
        assert task is not None  # noqa: S101
        self._task = task
        self._cancelling = task.cancelling()
        self._ending: Ending | None = None
        self._late: list[OSError] = []
        self._outbox = Outbox(send)
        self._watch = ScopeWatch(scope, self._session_ended)
        self._watch.refresh()

    async def send(self, message: Message) -> None:
        """Send a part of the answer.

        Raises:
            OSError: The session has ended, and so has the answer. A server raises it when the client has left.
        """
        if self._ending is not None:
            self._late.append(OSError(f"the answer is over: {self._ending.reason}"))
            raise self._late[-1]
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._watch.close()  # the answer is complete: its background tasks are not cancelled
        await self._outbox.send(message)

    async def close(self, error: BaseException | None) -> bool:
        """The endpoint has returned, or has raised an error.

        Returns:
            Whether the error is nothing but the end of the session. As in `asyncio.timeout`, another cancellation at
            the same time is not.
        """
        self._watch.close()
        if self._ending is None:
            return False
        # A block of `until_ended` in the answer, which the same end has cancelled, may not have ended yet.
        is_only_ours = self._task.uncancel() - cancelled_by_blocks(self._task) <= self._cancelling
        await self._outbox.finished()
        if error is None or not is_only_ours or not self._is_the_end(error):
            return False
        # The frames keep a generator that had nothing to wait for. Without them the event loop closes it now, and not
        # when Python's garbage collector comes.
        clear_frame_locals(error)
        return True

    def _session_ended(self, ending: Ending) -> None:
        """The watch calls this in the event loop of the answer, outside of its tasks."""
        if self._ending is None:
            self._ending = ending
            self._watch.close()
            self._outbox.finish({"type": "http.response.body", "body": b"", "more_body": False})
            self._task.cancel()

    def _is_the_end(self, error: BaseException) -> bool:
        """Whether it is the cancellation, what a late send raised, or a task group's error that has nothing else."""
        if isinstance(error, BaseExceptionGroup):
            return all(map(self._is_the_end, error.exceptions))
        return isinstance(error, asyncio.CancelledError | ClientDisconnect) or error in self._late
