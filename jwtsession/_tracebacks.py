"""Keeps secrets out of tracebacks: an error leaves the package without the local variables of its frames."""

import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any, TypeVar, cast

from .errors import JWTSessionError

F = TypeVar("F", bound=Callable[..., Any])


def scrub_traceback(function: F) -> F:
    """Decorate a function so that its errors leave it without the local variables of the frames below it.

    These variables hold tokens, secrets and session data, and error trackers send them to other services. The
    traceback keeps its files and lines.
    """
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def guarded_coroutine(*args: Any, **kwargs: Any) -> Any:
            try:
                return await function(*args, **kwargs)
            except JWTSessionError as error:
                del args, kwargs
                clear_frame_locals(error)
                raise

        return cast("F", guarded_coroutine)

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except JWTSessionError as error:
            del args, kwargs
            clear_frame_locals(error)
            raise

    return cast("F", guarded)


def clear_frame_locals(error: BaseException) -> None:
    """Clear the local variables of all frames in the tracebacks of an error and of its causes."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if each.__suppress_context__ and each.__context__ is not each.__cause__:
            each.__context__ = None  # `raise ... from None` hides it
        traceback.clear_frames(each.__traceback__)
        waiting += [each.__cause__, each.__context__]
