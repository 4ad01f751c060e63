"""What tests do with dependencies that endpoints already have. `jwtsession.testing` alone uses it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection
from starlette.responses import Response

from .dependencies import Dependencies
from .dependency import SessionDependency
from .kept import Kept, is_of


def exchange(one: Dependencies[Any, Any], other: Dependencies[Any, Any]) -> None:
    """Exchange everything of two objects but their identity, which endpoints keep, and what was made of the first."""
    other.made = one.made
    one.__dict__, other.__dict__ = other.__dict__, one.__dict__


@contextmanager
def overridden(app: FastAPI, dependencies: Dependencies[Any, Any], token: str) -> Iterator[None]:
    """Override all dependencies of a provider, for as long as the context lasts. Then the former overrides count again.

    Args:
        app: The application.
        dependencies: The provider's dependencies.
        token: The token that each request has, whatever the client sends.
    """
    overrides: dict[Callable[..., Any], Callable[..., Any]] = app.dependency_overrides
    before = dict(overrides)
    ours: dict[Callable[..., Any], Callable[..., Any]] = {}
    for made in dependencies.made:
        ours[made] = _by_token(made, dependencies, token)
    overrides.update(ours)
    try:
        yield
    finally:
        for each in ours:
            if each in before:
                overrides[each] = before[each]
            else:
                overrides.pop(each, None)


def _by_token(
    dependency: SessionDependency[Any], dependencies: Dependencies[Any, Any], token: str
) -> Callable[..., Any]:
    async def resolve(connection: HTTPConnection, response: Response, scopes: SecurityScopes) -> Any:
        await _impose(connection, dependencies, token)
        return await dependency(connection, response, scopes)

    return resolve


async def _impose(connection: HTTPConnection, dependencies: Dependencies[Any, Any], token: str) -> None:
    """Make a request one of this token, whatever the client has sent."""
    scope = connection.scope
    managers: dict[object, Kept] = scope.setdefault("jwtsession", {})
    kept = managers.get(dependencies)
    if kept is not None and is_of(kept, scope) and kept[4] == token:
        return
    if scope.get("app") not in dependencies._admitted:
        dependencies._lifespan.admit(scope.get("app"))
    # No use of the session yet: `peek_session` is none, and the others are one by themselves.
    authenticator = dependencies._authenticator
    await authenticator.authenticate(connection, (token, "message"), extend=False, keeper=dependencies)
