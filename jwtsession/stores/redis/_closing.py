"""Closes several things, all of them."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

Close = Callable[[], Awaitable[object]]


async def close_all(closers: Sequence[Close]) -> None:
    """Call the closers one after the other, also after one that raises: else connections would stay open.

    A connection whose server takes nothing any more is closed, and then redis-py raises a `TimeoutError`.

    Raises:
        Exception: The error of a closer, the last one if there are more.
    """
    async with AsyncExitStack() as stack:
        for close in reversed(closers):
            stack.push_async_callback(close)
