"""What the unit tests share: a provider on a store in memory, a clock that they turn, and requests without a server."""

import json
from typing import Any

import pytest
from starlette.requests import Request

from jwtsession import Claims, Session, SessionManager, SessionProvider
from jwtsession.testing import AsyncSessionTester, InspectableStore
from tests.conftest import SECRET, Clock, started


class UserSession(Session):
    user_id: int
    cart: list[str] = []


class UserClaims(Claims):
    role: str = "user"


Manager = SessionManager[UserSession, UserClaims]


def request(token: str | None = None) -> Request:
    """A GET, with a bearer token or without one."""
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    return Request({"type": "http", "method": "GET", "headers": headers, "query_string": b""})


class World:
    """One provider, and requests to it."""

    def __init__(self, clock: Clock, store: InspectableStore | None = None, **options: Any) -> None:
        self.clock = clock
        self.store = store or InspectableStore(clock)
        options = {"max_age": 1000, "absolute_max_age": 5000, "touch_interval": 0} | options
        self.provider = started(
            SessionProvider(UserSession, UserClaims, secret=SECRET, store=self.store, clock=clock, **options)
        )
        self.tester = AsyncSessionTester(self.provider)

    async def request(self, token: str | None = None) -> Manager:
        """The manager of a request with this token."""
        return await self.tester.manager(token)

    async def log_in(self, **claims: Any) -> str:
        """The token of a new session."""
        return (await self.tester.login(UserSession(user_id=1), UserClaims(**claims))).token

    def stored(self, manager: Manager) -> Any:
        """What stands in the store for the manager's session."""
        assert manager.id is not None
        return json.loads(self.store.contents[manager.id].value)

    def left(self, session_id: str | None) -> float:
        """The seconds that the session has left."""
        assert session_id is not None
        return self.store.contents[session_id].expires - self.clock()


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


def empty(manager: Manager) -> bool:
    """Whether the manager has no session, and shows nothing of one."""
    return manager.id is manager.session is manager.claims is manager.token is None
