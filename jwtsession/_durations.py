"""Durations: seconds, or a `timedelta`."""

from datetime import timedelta
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator

T = TypeVar("T")


def seconds(duration: T | timedelta) -> T | int:
    """The duration in whole seconds; what is no `timedelta` is given back.

    Raises:
        ValueError: There is a fraction of a second.
    """
    if not isinstance(duration, timedelta):
        return duration
    whole, rest = divmod(duration, timedelta(seconds=1))
    if rest:
        raise ValueError("must be whole seconds")
    return whole


def _seconds(duration: Any) -> Any:
    return seconds(duration)


Seconds = Annotated[int, BeforeValidator(_seconds)]
"""A field of whole seconds that takes a `timedelta` too."""
