"""Watches the session of a manager, and `until_ended`: a block that ends with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from weakref import WeakKeyDictionary

from ..sessions import Ending, SessionToken, Watched
from ..tokens import VerifiedToken
from .request import RequestSession

_cancelled: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
"""How many blocks have cancelled a task and have not ended yet."""


def cancelled_by_blocks(task: asyncio.Task[Any]) -> int:
    """How many blocks of a task have cancelled it and have not ended yet.

    A block in a generator that was waiting for its reader ends only when somebody closes the generator.
    """
    return _cancelled.get(task, 0)


def watched(manager: RequestSession[Any, Any], tell: Callable[[Ending], object]) -> Watched | None:
    """Watch the manager's session for an open socket or stream; None if the manager has no session.

    Args:
        manager: The manager of the socket's own request.
        tell: Called once if the session ends, in the event loop that is running now.
    """
    if manager._record is None or manager._verified is None:
        return None

    def moved(token: SessionToken) -> None:
        """Another request has moved the session: this manager's verbs and claims go on with the new token."""
        manager._verified, manager._own_claims = cast("VerifiedToken", token), None

    return manager._lifecycle.watch.add(manager._verified, manager, tell, moved)


@asynccontextmanager
async def until_ended(manager: RequestSession[Any, Any]) -> AsyncIterator[None]:
    """See `SessionProvider.until_ended`."""
    manager.require()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101
    before = task.cancelling()
    ended = False

    def end(_: Ending) -> None:
        # In the event loop, outside of the task, so the task waits for something within the block.
        nonlocal ended
        ended = True
        _cancelled[task] = cancelled_by_blocks(task) + 1
        task.cancel()

    handle = watched(manager, end)
    try:
        yield
    except asyncio.CancelledError:
        if not ended or task.cancelling() - 1 > before:  # somebody else has cancelled it
            raise
    finally:
        if handle is not None:
            handle.close()
        if ended:
            # Not `-= 1`: a garbage collection that closes a generator has removed the task already.
            _cancelled[task] = max(0, cancelled_by_blocks(task) - 1)
            task.uncancel()
