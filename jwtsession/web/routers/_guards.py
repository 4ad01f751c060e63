"""Dependencies that guard routers: guards that would let everybody in are refused when the router is made."""

import inspect
from collections.abc import Callable
from typing import Any

from fastapi import Depends, HTTPException, params
from pydantic import BaseModel
from starlette.responses import Response

from ...errors import AuthenticationError, ConfigurationError
from ..factories import is_factory, is_of_provider, unwrapped
from ..openapi import Documented

_ADMINISTRATORS = "give a dependency that refuses everybody but administrators, such as Depends(require_admin)"
_SERVICES = "give client_credentials({...}), or a dependency that raises a 401"


def guard_dependency(guard: object) -> params.Depends:
    """Make a dependency that lets in only whom the guard of `admin_router` lets in. All others get a 403.

    Args:
        guard: `Depends(...)`, `Security(...)`, or a callable for one of them.

    Raises:
        ConfigurationError: The guard is no dependency, or it is one that refuses nobody, or no user.
    """
    given = guard if isinstance(guard, params.Depends) else Depends(guard) if callable(guard) else None
    what = "admin_router: guard"
    asked = _checked(what, None if given is None else given.dependency, _ADMINISTRATORS)
    demands = getattr(given, "scopes", None) or (isinstance(asked, Documented) and "level" in asked.answers)
    if isinstance(asked, Documented) and (asked.optional or not demands):
        raise ConfigurationError(f"{what}: this lets every user in: {_ADMINISTRATORS}")
    return _guarded(given, lambda: HTTPException(403))


def client_dependency(authenticate_client: Callable[..., object]) -> params.Depends:
    """Make a dependency that lets in only services that `authenticate_client` lets in. All others get a 401.

    Raises:
        ConfigurationError: It lets every caller pass (RFC 7662 section 2.1: the caller must be authenticated).
    """
    asked = _checked("authenticate_client", authenticate_client, _SERVICES)
    if isinstance(asked, Documented) and asked.optional:
        raise ConfigurationError(f"authenticate_client: this lets a request without a session pass: {_SERVICES}")
    return _guarded(Depends(authenticate_client), AuthenticationError)


def _checked(what: str, asked: object, remedy: str) -> Any:
    """Return what is asked, if it is not sure to refuse nobody."""
    if not callable(asked):
        raise ConfigurationError(f"{what}: {remedy}")
    if isinstance(asked, type) and issubclass(asked, BaseModel):
        raise ConfigurationError(f"{what}: a model refuses nobody who has a session: {remedy}")
    if is_factory(asked) or is_of_provider(asked):
        raise ConfigurationError(f"{what}: this makes a dependency, and is none: call it, or {remedy}")
    if _only_reads(asked):
        raise ConfigurationError(f"{what}: this only reads credentials and checks none: {remedy}")
    return asked


def _guarded(given: Any, refusal: Callable[[], Exception]) -> params.Depends:
    async def guarded(answer: Any = given) -> None:
        if await _answers_no(answer):
            raise refusal()

    return params.Depends(guarded)


async def _answers_no(answer: Any) -> bool:
    """Whether a dependency's result says no, though the dependency did not refuse the request.

    Such mistakes are easily made: `return user.is_admin`, `return` in place of `raise`, a redirection that nobody
    sends, and a call of a coroutine function that nobody awaits.
    """
    if inspect.isawaitable(answer):
        answer = await answer
    # A dependency that was not called, but returned, has checked nothing.
    return isinstance(answer, BaseException | Response) or callable(answer) or (answer is not None and not answer)


def _only_reads(dependency: Any) -> bool:
    """Whether it is one of FastAPI's security classes, or does what such a class does."""
    dependency = unwrapped(dependency)
    code = dependency if isinstance(dependency, type) else type(dependency).__call__
    return str(getattr(code, "__module__", "")).startswith("fastapi.security.")
