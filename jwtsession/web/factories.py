"""Tells what makes a dependency from a dependency: a call that somebody forgot would let everybody in."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from .openapi import Documented

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__makes_dependency__"


def makes_dependency(function: F) -> F:
    """Decorator for a function that makes a dependency."""
    setattr(function, _MARK, True)
    return function


def unwrapped(dependency: Any) -> Any:
    """The function that a `functools.partial` calls in the end."""
    while isinstance(dependency, partial):
        dependency = dependency.func
    return dependency


def is_factory(dependency: Any) -> bool:
    """Whether it makes a dependency, as `SessionProvider.require_fresh` does, and so is none itself: all pass it."""
    return hasattr(unwrapped(dependency), _MARK)


def is_of_provider(dependency: Any) -> bool:
    """Whether it is a provider's own method: with what the client sends, it would read or end anybody's session."""
    method = unwrapped(dependency)
    return inspect.ismethod(method) and isinstance(getattr(method.__self__, "get_session", None), Documented)
