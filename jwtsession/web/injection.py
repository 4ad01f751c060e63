"""Makes `Annotated[UserSession, Depends()]` work without a thread. `_injectable.py` is the other half.

FastAPI calls a class in a thread, because it takes every class for blocking code. So `make_async()` replaces the class
in FastAPI's dependency trees, once at the start, by a coroutine function with the same result. The replacement equals
the class, so that `dependency_overrides[UserSession]` still finds it. A route that is added later works too, but with
the thread.
"""

import inspect
from collections.abc import Callable
from typing import Any

from fastapi import Depends

from .._injectable import PARAMETER, InjectableMeta
from .dependants import replace_call


class _AsyncStandIn:
    """A coroutine function that replaces a session class, and equals the class as a key of a dictionary."""

    def __init__(self, model: type) -> None:
        self.model = model
        self.__signature__ = inspect.signature(model)

    async def __call__(self, /, **loaded: Any) -> Any:
        return loaded[PARAMETER]  # FastAPI calls this with the session that the dependency returned

    def __hash__(self) -> int:
        return hash(self.model)

    def __eq__(self, other: object) -> bool:
        return other is self.model or (isinstance(other, _AsyncStandIn) and other.model is self.model)


def class_alone(node: Any) -> type | None:
    """The session class that a node asks for by `Depends()` without an argument; None if it asks for something else."""
    model = node.call.model if isinstance(node.call, _AsyncStandIn) else node.call
    return model if isinstance(model, InjectableMeta) else None


def make_async(node: Any) -> None:
    """Replace a node's session class, so that FastAPI calls it without a thread.

    Args:
        node: A node of a dependency tree (`fastapi.dependencies.models.Dependant`).
    """
    if isinstance(node.call, InjectableMeta) and any(sub.name == PARAMETER for sub in node.dependencies):
        replace_call(node, _AsyncStandIn(node.call))


def depends(dependency: Callable[..., Any]) -> Any:
    """Wrap a dependency in FastAPI's `Depends`, for `bind()`."""
    return Depends(dependency)
