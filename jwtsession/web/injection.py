"""Makes `Annotated[UserSession, Depends()]` work without a thread: the rest of `_injectable.py`.

FastAPI calls a class in a thread, because it takes any class for blocking code. So `make_async()` replaces, once at
start, the class in FastAPI's dependency trees by a coroutine function that does the same. The replacement equals the
class, so that `dependency_overrides[UserSession]` still finds it. A route that is not reached still works, by way of
the thread.
"""

import inspect
from collections.abc import Callable
from typing import Any

from fastapi import Depends

from .._injectable import PARAMETER, InjectableMeta
from .dependants import replace_call


class _AsyncStandIn:
    """A coroutine function in the place of a session class, equal to it as a dictionary's key."""

    def __init__(self, model: type) -> None:
        self.model = model
        self.__signature__ = inspect.signature(model)

    async def __call__(self, /, **loaded: Any) -> Any:
        return loaded[PARAMETER]  # FastAPI calls this, with what the dependency gave

    def __hash__(self) -> int:
        return hash(self.model)

    def __eq__(self, other: object) -> bool:
        return other is self.model or (isinstance(other, _AsyncStandIn) and other.model is self.model)


def class_alone(node: Any) -> type | None:
    """The session class that a node of a dependency tree asks for by `Depends()` alone, if it does."""
    model = node.call.model if isinstance(node.call, _AsyncStandIn) else node.call
    return model if isinstance(model, InjectableMeta) else None


def make_async(node: Any) -> None:
    """Spare FastAPI's thread for a node of a dependency tree (`fastapi.dependencies.models.Dependant`)."""
    if isinstance(node.call, InjectableMeta) and any(sub.name == PARAMETER for sub in node.dependencies):
        replace_call(node, _AsyncStandIn(node.call))


def depends(dependency: Callable[..., Any]) -> Any:
    """What `Depends()` on a class resolves."""
    return Depends(dependency)
