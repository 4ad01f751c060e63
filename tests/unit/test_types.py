"""Tests of jwtsession._types."""

from typing import Annotated, Any, get_args

import httpx2
import pytest
from fastapi import Depends, FastAPI

from jwtsession import (
    Claims,
    MemorySessionStore,
    Session,
    SessionManager,
    SessionProvider,
    SyncSessionManager,
)
from tests.conftest import SECRET


class UserSession(Session):
    user_id: int


@pytest.mark.parametrize("generic", [SessionProvider, SessionManager, SyncSessionManager])
def test_the_claims_may_be_left_out_of_a_type(generic: Any) -> None:
    """A type without its claims is the type with `Claims`, on every supported Python."""
    assert get_args(generic[UserSession]) == (UserSession, Claims)


async def test_an_endpoint_asks_for_a_manager_without_naming_the_claims() -> None:
    """FastAPI takes `SessionManager[UserSession]` in an endpoint, and the session is the user's."""
    sessions = SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore())
    app = FastAPI()

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]) -> int:
        await manager.create(UserSession(user_id=7))
        assert manager.session is not None
        return manager.session.user_id

    transport = httpx2.ASGITransport(app)
    async with sessions, httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.post("/session")).json() == 7
