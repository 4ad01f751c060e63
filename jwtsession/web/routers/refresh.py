"""The router by which a client replaces its token."""

from typing import Any

from fastapi import APIRouter, Depends

from ...manager import SessionManager
from ...models import Token
from ..dependency import SessionDependency

_CONFLICT = "The token was replaced before, and the new one was used a moment ago"


def refresh_router(get_manager: SessionDependency[SessionManager[Any, Any]], path: str) -> APIRouter:
    """See `SessionProvider.refresh_router`."""
    router = APIRouter(tags=["session"])
    add_refresh(router, get_manager, path)
    return router


def add_refresh(router: APIRouter, get_manager: SessionDependency[SessionManager[Any, Any]], path: str) -> None:
    """Add the endpoint to a router."""
    given = Depends(get_manager)

    @router.post(path, summary="Replace the session's token", responses={409: _conflict()})
    async def refresh_session(manager: Any = given) -> Token:
        """The session stays. The old token is good until the new one is used: if this answer is lost, call again."""
        manager.require()  # a token that was replaced is a 401 of its own
        token: Token = await manager.refresh()
        return token


def _conflict() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/SessionError"}
    return {"description": _CONFLICT, "content": {"application/json": {"schema": schema}}}
