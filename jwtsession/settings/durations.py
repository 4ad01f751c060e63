"""Durations: seconds, or a `timedelta`."""

from datetime import timedelta
from typing import Annotated, Any, TypeVar

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

T = TypeVar("T")


def seconds(duration: T | timedelta) -> T | int:
    """Return a `timedelta` as whole seconds. Return any other value unchanged.

    Raises:
        ValueError: The `timedelta` has a fraction of a second.
    """
    if not isinstance(duration, timedelta):
        return duration
    whole, rest = divmod(duration, timedelta(seconds=1))
    if rest:
        raise ValueError("must be whole seconds")
    return whole


def _seconds(duration: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(seconds(duration))
    except ValidationError as error:
        if not error.errors()[0]["type"].startswith("int_"):  # of the right type, and too large or too small
            raise
    raise PydanticCustomError("seconds", "must be whole seconds, or a timedelta")


Seconds = Annotated[int, WrapValidator(_seconds)]
"""The type of a setting in whole seconds, which accepts a `timedelta` too."""
