"""Refuses guards of routers that would let everybody in."""

from functools import partial
from typing import Any

from fastapi import Depends, HTTPException, params
from pydantic import BaseModel

from ...errors import ConfigurationError
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
    if only_reads(asked):
        raise ConfigurationError(f"admin_router: guard: this only reads credentials and checks none: {_REMEDY}")
    if isinstance(asked, Documented) and (asked.optional or not getattr(given, "scopes", None)):
        raise ConfigurationError(f"admin_router: guard: this lets every user in: {_REMEDY}")

    async def guarded(answer: Any = given) -> None:
        if answer is False:  # a dependency that answers the question instead of refusing the request
            raise HTTPException(403)

    return params.Depends(guarded)


def only_reads(dependency: Any) -> bool:
    """Whether it is one of FastAPI's security classes, or does what such a class does."""
    while isinstance(dependency, partial):
        dependency = dependency.func
    code = dependency if isinstance(dependency, type) else type(dependency).__call__
    return str(getattr(code, "__module__", "")).startswith("fastapi.security.")
