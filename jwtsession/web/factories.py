"""Tells what makes a dependency from a dependency: a call that somebody forgot would let everybody in."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .openapi import Documented

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__makes_dependency__"


def makes_dependency(function: F) -> F:
    """Decorator for a function that makes a dependency."""
    setattr(function, _MARK, True)
    return function


def is_factory(dependency: Any) -> bool:
    """Whether it makes a dependency and is none: a marked function, or a provider's method, such as `require_fresh`.

    FastAPI takes the arguments of such a function from the client, and every request passes.
    """
    provider = dependency.__self__ if inspect.ismethod(dependency) else None
    return hasattr(dependency, _MARK) or isinstance(getattr(provider, "get_session", None), Documented)
