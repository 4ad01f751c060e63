"""Two workers of one service: applications on one Valkey that get new settings one after the other."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from jwtsession import Claims, Session, SessionManager, SessionProvider, SessionSettings, Token
from tests.web import bearer, serving


class CartSession(Session):
    user_id: int
    cart: list[str] = []


class Fleet:
    """The workers `a` and `b`, and everybody who has logged in so far.

    Args:
        redis_url: Where all sessions live.
        clock: The time on both workers.
        sockets: Whether they are behind real uvicorns, for what is no client of this process.
        **settings: What both have in common, always.
    """

    WORKERS = ("a", "b")

    def __init__(self, redis_url: str, clock: Callable[[], float], *, sockets: bool = False, **settings: Any) -> None:
        self._settings = {"redis_url": redis_url} | settings
        self._clock = clock
        # Threads ask the workers, and a worker goes on between requests.
        self._serving = serving if sockets else functools.partial(TestClient, raise_server_exceptions=False)
        self._stacks: dict[str, contextlib.ExitStack] = {}
        self.clients: dict[str, httpx2.Client] = {}
        self.tokens: list[str] = []

    def roll(self, name: str, moment: Callable[[], None] = lambda: None, **settings: Any) -> None:
        """Restart one worker with other settings; `moment` is called while it is away, and after it came back."""
        self.stop(name)
        moment()
        self.start(name, **settings)
        moment()

    def start(self, name: str, **settings: Any) -> None:
        stack = self._stacks[name] = contextlib.ExitStack()
        self.clients[name] = stack.enter_context(self._serving(self._app(**settings)))

    def stop(self, name: str) -> None:
        self.clients.pop(name)
        self._stacks.pop(name).close()

    def log_in(self, name: str) -> str:
        """A session made on this worker."""
        token: str = self.clients[name].post("/session").raise_for_status().json()["access_token"]
        self.tokens.append(token)
        return token

    def log_in_everywhere(self) -> None:
        for name in self.clients:
            self.log_in(name)

    def refused(self, *tokens: str) -> list[tuple[str, int]]:
        """Where somebody who has logged in is refused: worker and number of the login. All must be somewhere."""
        return [
            (name, number)
            for name, client in self.clients.items()
            for number, token in enumerate(tokens or self.tokens)
            if client.get("/session", headers=bearer(token)).status_code != 200
        ]

    def add(self, name: str, token: str, item: str) -> httpx2.Response:
        """Change a session on this worker."""
        return self.clients[name].post("/session/cart", params={"item": item}, headers=bearer(token))

    def _app(self, **settings: Any) -> FastAPI:
        made = SessionSettings(**(self._settings | settings))
        sessions = SessionProvider(CartSession, settings=made, clock=self._clock)
        app = FastAPI(lifespan=sessions.lifespan)
        app.include_router(sessions.jwks_router())
        current = Annotated[CartSession, Depends(sessions.get_session)]
        manager_ = Annotated[SessionManager[CartSession, Claims], Depends(sessions.get_manager)]

        @app.post("/session")
        async def log_in(manager: manager_) -> Token:
            return await manager.create(CartSession(user_id=1), Claims(sub="1"))

        @app.get("/session")
        async def read(session: current) -> CartSession:
            return session

        @app.post("/session/cart")
        async def add(item: str, session: current, manager: manager_) -> CartSession:
            session.cart.append(item)
            return await manager.update()

        @app.post("/session/id")
        async def regenerate(manager: manager_) -> Token:
            return await manager.regenerate()

        return app


@contextlib.contextmanager
def running(redis_url: str, clock: Callable[[], float], first: dict[str, Any], **settings: Any) -> Iterator[Fleet]:
    """A fleet whose two workers start with the settings `first`."""
    fleet = Fleet(redis_url, clock, **settings)
    try:
        for name in Fleet.WORKERS:
            fleet.start(name, **first)
        yield fleet
    finally:
        for name in [*fleet.clients]:
            fleet.stop(name)
