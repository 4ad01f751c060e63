"""Refuses guards of routers that would let everybody in."""

import inspect
from typing import Any

from fastapi import Depends, HTTPException, params
from pydantic import BaseModel
from starlette.responses import Response

from ...errors import ConfigurationError
from ..factories import is_factory, is_of_provider, unwrapped
from ..openapi import Documented

_REMEDY = "give a dependency that refuses everybody but administrators, such as Depends(require_admin)"


def guard_dependency(guard: object) -> params.Depends:
    """Make a dependency that lets in only whom the guard lets in.

    Args:
        guard: `Depends(...)`, `Security(...)`, or a callable for one of them.

    Raises:
        ConfigurationError: The guard is no dependency, or it is one that refuses nobody, or no user.
    """
    given = guard if isinstance(guard, params.Depends) else Depends(guard) if callable(guard) else None
    if given is None or not callable(given.dependency):
        raise ConfigurationError(f"admin_router: guard: {_REMEDY}")
    asked = given.dependency
    if isinstance(asked, type) and issubclass(asked, BaseModel):
        raise ConfigurationError(f"admin_router: guard: a model refuses no user: {_REMEDY}")
    if is_factory(asked) or is_of_provider(asked):
        raise ConfigurationError(f"admin_router: guard: this makes a dependency, and is none: call it, or {_REMEDY}")
    if only_reads(asked):
        raise ConfigurationError(f"admin_router: guard: this only reads credentials and checks none: {_REMEDY}")
    demands = getattr(given, "scopes", None) or (isinstance(asked, Documented) and "level" in asked.answers)
    if isinstance(asked, Documented) and (asked.optional or not demands):
        raise ConfigurationError(f"admin_router: guard: this lets every user in: {_REMEDY}")

    async def guarded(answer: Any = given) -> None:
        if await answers_no(answer):
            raise HTTPException(403)

    return params.Depends(guarded)


async def answers_no(answer: Any) -> bool:
    """Whether a dependency's result says no, though the dependency did not refuse the request.

    Such mistakes are easily made: `return user.is_admin`, `return` in place of `raise`, a redirection that nobody
    sends, and a call of a coroutine function that nobody awaits.
    """
    if inspect.isawaitable(answer):
        answer = await answer
    # A dependency that was not called, but returned, has checked nothing.
    return isinstance(answer, BaseException | Response) or callable(answer) or (answer is not None and not answer)


def only_reads(dependency: Any) -> bool:
    """Whether it is one of FastAPI's security classes, or does what such a class does."""
    dependency = unwrapped(dependency)
    code = dependency if isinstance(dependency, type) else type(dependency).__call__
    return str(getattr(code, "__module__", "")).startswith("fastapi.security.")
