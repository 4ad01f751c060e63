"""`answered`: waits for a store's answer, and turns whatever goes wrong into an error of the question."""

import asyncio
from collections.abc import Coroutine
from typing import Any

_ANSWER_SECONDS = 10.0
"""How long one question to the store may take. Stores on a server have a shorter deadline of their own."""


async def answered(question: Coroutine[Any, Any, None]) -> None:
    """Wait for the store's answer to one question of the watch.

    Raises:
        TimeoutError: There was none within 10 seconds.
        ConnectionError: The store cancelled its own work. As a cancellation, it would end the watch.
    """
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await question
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionError("the store cancelled its own work") from error
