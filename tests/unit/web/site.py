"""An application whose sessions' tokens are in cookies, and browsers that use it, all in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from jwtsession import Claims, Session, SessionEvent, SessionManager, SessionProvider, SessionSettings, Token
from jwtsession.testing import AsyncSessionTester, InspectableStore
from tests.asgi import Answer, Header, ask
from tests.conftest import SECRET, Clock

NAME = "__Host-Http-session"
OWN = ("sec-fetch-site", "same-origin")


class UserSession(Session):
    user_id: int = 1


Manager = SessionManager[UserSession, Claims]


class Site:
    """One provider, and an application that logs in and out, reads and moves the session."""

    def __init__(self, clock: Clock | None = None, **options: Any) -> None:
        self.clock = clock or Clock()
        self.store = options.pop("store", None) or InspectableStore(self.clock)
        self.events: list[SessionEvent] = []
        may_impersonate = options.pop("may_impersonate", None)
        options = {"secret": SECRET, "token_sources": ("cookie", "bearer"), "absolute_max_age": 5000} | options
        settings = SessionSettings(**options)
        self.cookie_name = settings.cookie_name
        self.sessions = SessionProvider(
            UserSession,
            settings=settings,
            store=self.store,
            clock=self.clock,
            on_event=self.events.append,
            may_impersonate=may_impersonate,
        )
        self.manager = Annotated[Manager, Depends(self.sessions.get_manager)]
        self.session = Annotated[UserSession, Depends(self.sessions.get_session)]
        self.app = FastAPI(lifespan=self.sessions.lifespan)
        self._add_routes()

    def _add_routes(self) -> None:
        app, manager_, session_ = self.app, self.manager, self.session

        @app.post("/session")
        async def log_in(manager: manager_, persistent: bool | None = None, transport: Any = None) -> Token:  # type: ignore[valid-type]
            return await manager.create(UserSession(), Claims(sub="ann"), persistent=persistent, transport=transport)  # type: ignore[attr-defined, no-any-return]

        @app.get("/session")
        async def read(session: session_) -> UserSession:  # type: ignore[valid-type]
            return session  # type: ignore[no-any-return]

        @app.delete("/session", status_code=204)
        async def log_out(manager: manager_) -> None:  # type: ignore[valid-type]
            await manager.destroy()  # type: ignore[attr-defined]

        @app.post("/session/move")
        async def move(manager: manager_) -> Token:  # type: ignore[valid-type]
            return await manager.regenerate()  # type: ignore[attr-defined, no-any-return]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Site"]:
        """The application has started."""
        async with self.app.router.lifespan_context(self.app):
            yield self

    async def ask(self, method: str, path: str, *headers: Header, cookie: str | None = None, **options: Any) -> Answer:
        """A request of the site's own page, with its cookie."""
        held = [] if cookie is None else [("cookie", f"{self.cookie_name}={cookie}")]
        return await ask(self.app, method, path, ("host", "shop.example.com"), OWN, *held, *headers, **options)

    async def token(self, **options: Any) -> str:
        """The token of a new session."""
        return (await AsyncSessionTester(self.sessions).login(UserSession(), Claims(sub="ann"), **options)).token

    async def log_in(self, query: str = "") -> str:
        """The value of the cookie that a login set."""
        return value_of(await self.ask("POST", "/session", query=query))


def value_of(answer: Answer) -> str:
    """The value of the one cookie that an answer sets."""
    (cookie,) = answer.cookies
    return cookie.partition(";")[0].partition("=")[2]


def is_cleared(answer: Answer) -> bool:
    """Whether the answer removes the cookie."""
    return [each.split("; ")[:2] for each in answer.cookies] == [[f"{NAME}=", "Max-Age=0"]]
