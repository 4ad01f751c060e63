"""Users of an application, all the time, and a record of what each of them was told."""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, NamedTuple

import httpx2
from fastapi import Depends, FastAPI

from jwtsession import Claims, RedisSessionStore, Session, SessionManager, SessionProvider, Token
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer


class CountSession(Session):
    number: int
    count: int = 0


def application(redis_url: str, **settings: Any) -> FastAPI:
    """Every verb over HTTP."""
    sessions = SessionProvider(CountSession, secret=SECRET, redis_url=redis_url, **settings)
    app = FastAPI(lifespan=sessions.lifespan)
    current = Annotated[CountSession, Depends(sessions.get_session)]
    manager_ = Annotated[SessionManager[CountSession, Claims], Depends(sessions.get_manager)]

    @app.post("/session", status_code=201)
    async def log_in(number: int, manager: manager_) -> Token:
        return await manager.create(CountSession(number=number), Claims(sub=str(number)))

    @app.get("/session")
    async def read(session: current) -> CountSession:
        return session

    @app.post("/session/count")
    async def count(session: current, manager: manager_) -> CountSession:
        session.count += 1
        return await manager.update()

    @app.post("/session/id")
    async def regenerate(session: current, manager: manager_) -> Token:
        return await manager.regenerate()

    @app.delete("/session", status_code=204)
    async def log_out(session: current, manager: manager_, wait_replicas: int = 0) -> None:
        await manager.destroy(wait_replicas=wait_replicas)

    @app.get("/ready")
    async def ready() -> bool:
        return await sessions.ping()

    @app.get("/users/{sub}")
    async def listed(sub: str) -> list[str]:
        return [info.id for info in await sessions.list_sessions(sub)]

    @app.delete("/users/{sub}")
    async def revoke_all(sub: str) -> int:
        return await sessions.revoke_all(sub)

    return app


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """The application in this process, with its lifespan."""
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisSessionStore]:
    store = RedisSessionStore(url)
    try:
        yield store
    finally:
        await store.close()


LOGIN = "POST /session"
LOGOUT = "DELETE /session"


class Answer(NamedTuple):
    what: str
    status: int
    started: float
    seconds: float


class Load:
    """Users who log in, read, change, and log out of their oldest session, over and over.

    Args:
        client: Of the application.
        wait_replicas: Of each logout.
        kept: So many sessions each user keeps.
    """

    def __init__(self, client: httpx2.AsyncClient, wait_replicas: int = 0, *, users: int = 8, kept: int = 20) -> None:
        self._client = client
        self._wait_replicas = wait_replicas
        self._users = users
        self._kept = kept
        self._on = True
        self.answers: list[Answer] = []
        self.alive: dict[str, float] = {}
        """Tokens of sessions whose login was confirmed, with its time, and that nobody has tried to end."""
        self.ended: dict[str, float] = {}
        """Tokens of sessions whose end was confirmed, with its time."""
        self.undone: dict[str, float] = {}
        self.lost: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """The users are at work for the length of the `with`, which begins when they have their sessions."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._users):
                group.create_task(self._user(number))
            try:
                await self.until(lambda: len(self.ended) > self._users, "the first logouts")
                yield self
            finally:
                self._on = False

    async def until(self, done: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Go on until it is true, which is asked in a thread."""
        await asyncio.to_thread(servers.until, done, what, seconds)

    async def go_on(self, seconds: float) -> None:
        """For so long."""
        end = time.monotonic() + seconds
        await self.until(lambda: time.monotonic() > end, "the clock")

    async def _user(self, number: int) -> None:
        mine: deque[str] = deque()
        while self._on:
            response = await self._ask("POST", "/session", params={"number": number})
            if response.status_code != 201:
                continue
            token = response.json()["access_token"]
            self.alive[token] = time.monotonic()
            mine.append(token)
            await self._ask("GET", "/session", token)
            await self._ask("POST", "/session/count", token)
            if len(mine) > self._kept:
                token = mine.popleft()
                del self.alive[token]
                response = await self._ask("DELETE", "/session", token, params={"wait_replicas": self._wait_replicas})
                if response.status_code == 204:
                    self.ended[token] = time.monotonic()

    async def _ask(self, method: str, path: str, token: str = "", **options: Any) -> httpx2.Response:
        headers = bearer(token) if token else {}
        started = time.monotonic()
        response = await self._client.request(method, path, headers=headers, **options)
        answer = Answer(f"{method} {path}", response.status_code, started, time.monotonic() - started)
        self.answers.append(answer)
        await asyncio.sleep(0.002)  # leaves the servers something of the machine
        return response

    async def settle(self) -> None:
        """After everything: which of the confirmed logouts were undone, and which of the confirmed logins were lost."""
        self.undone = await self._found(self.ended)
        alive = await self._found(self.alive)
        self.lost = {token: at for token, at in self.alive.items() if token not in alive}

    async def _found(self, tokens: dict[str, float]) -> dict[str, float]:
        found = {}
        for token, at in tokens.items():
            response = await self._client.get("/session", headers=bearer(token))
            assert response.status_code in (200, 401)
            if response.status_code == 200:
                found[token] = at
        return found

    @property
    def statuses(self) -> dict[int, int]:
        return dict(sorted(Counter(answer.status for answer in self.answers).items()))

    @property
    def slowest(self) -> float:
        return max(answer.seconds for answer in self.answers)

    @property
    def serves(self) -> bool:
        """Whether the last login was one."""
        return [answer.status for answer in self.answers if answer.what == LOGIN][-1] == 201

    def outage(self, since: float) -> float:
        """Seconds from then until the last 503 to anything but a logout, which may need replicas that are gone."""
        ends = [each.started + each.seconds for each in self.answers if each.status == 503 and each.what != LOGOUT]
        return max(0.0, max(ends, default=since) - since)

    def figures(self, began: float, switched: float) -> str:
        """For the reader of `pytest -rP`."""
        return (
            f"answers {self.statuses}, the slowest {self.slowest:.2f} s; a new primary after {switched - began:.2f} s, "
            f"the last 503 after {self.outage(began):.2f} s; {len(self.ended)} confirmed logouts, {len(self.undone)} "
            f"undone; {len(self.alive)} confirmed sessions, {len(self.lost)} lost"
        )
