"""Under a real uvicorn a request leaves nothing to Python's garbage collector: as much as with FastAPI alone."""

import asyncio
import gc
import http.client
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from threading import Thread
from typing import Annotated

import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from jwtsession import Session, SessionManager, SessionProvider, Token
from jwtsession.testing import Clock
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer, serving

CLIENTS, WARM_UP, EACH = 4, 5, 15
"""How many ask at the same time, and how often each of them does, before anything is counted and then."""
AFTER = 900
OWN = {"Sec-Fetch-Site": "same-origin"}


class Visit(Session):
    count: int = 0


async def parts() -> AsyncIterator[bytes]:
    for part in (b"a", b"b", b"c"):
        await asyncio.sleep(0)
        yield part


def with_sessions(url: str, clock: Clock) -> FastAPI:
    sessions = SessionProvider(
        Visit, secret=SECRET, redis_url=url, clock=clock, token_sources=["bearer", "cookie"], rotation={"after": AFTER}
    )
    app = FastAPI(lifespan=sessions.lifespan)
    current = Annotated[Visit, Depends(sessions.get_session)]

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[Visit], Depends(sessions.get_manager)]) -> Token:
        return await manager.create(Visit())

    @app.get("/session")
    async def read(visit: current) -> Visit:
        return visit

    @app.post("/count")
    async def count(manager: Annotated[SessionManager[Visit], Depends(sessions.get_manager)]) -> Visit:
        visit = manager.require()
        visit.count += 1
        return await manager.update()

    @app.post("/edit")
    async def edit(visit: Annotated[Visit, Depends(sessions.get_editable_session)]) -> Visit:
        visit.count += 1
        return visit

    @app.get("/stream")
    async def stream(visit: current) -> StreamingResponse:
        return StreamingResponse(parts())

    return app


def alone() -> FastAPI:
    """FastAPI with a dependency that waits once, too."""
    app = FastAPI()

    async def load(request: Request, status: int = 200) -> int:
        await asyncio.sleep(0)
        if status >= 400:
            raise HTTPException(status)
        return 1

    @app.api_route("/answer", methods=["GET", "POST"])
    async def read(loaded: Annotated[int, Depends(load)]) -> int:
        return loaded

    @app.get("/stream")
    async def stream(loaded: Annotated[int, Depends(load)]) -> StreamingResponse:
        return StreamingResponse(parts())

    return app


class World:
    """Three servers: of the application, of FastAPI alone, and of an application whose store is down."""

    def __init__(self, store: str, clock: Clock, stack: ExitStack, **options: str) -> None:
        nobody = f"redis://127.0.0.1:{servers.free_port()}/0"
        apps = (with_sessions(store, clock), alone(), with_sessions(nobody, clock))
        self.ours, self.alone, self.down = (stack.enter_context(serving(app, **options)) for app in apps)
        self.clock = clock

    def log_in(self, transport: str = "bearer") -> dict[str, str]:
        """The headers of the requests to come."""
        answer = self.ours.post("/session", headers=OWN | {"Session-Transport": transport})
        token = answer.json()
        self.ours.cookies.clear()
        if transport == "cookie":
            return OWN | {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
        return bearer(token["access_token"])

    def old(self) -> dict[str, str]:
        """A token whose next requests get another one."""
        headers = self.log_in()
        self.clock.advance(AFTER)
        assert "Session-Token" in self.ours.get("/session", headers=headers).headers
        return headers


@pytest.fixture(scope="module", params=["httptools", pytest.param("h11", marks=pytest.mark.ci)])
def world(request: pytest.FixtureRequest, valkey_server: servers.Server) -> Iterator[World]:
    with ExitStack() as stack:
        loop = "uvloop" if request.param == "httptools" else "asyncio"
        yield World(valkey_server.url, Clock(), stack, http=request.param, loop=loop)


def left(server: httpx2.Client, method: str, path: str, headers: Sequence[dict[str, str]], status: int) -> int:
    """How many objects the collector finds after the requests, which share connections, round trips and batches."""
    answered: list[int] = []
    connections = [http.client.HTTPConnection(server.base_url.host, server.base_url.port) for _ in range(CLIENTS)]

    def ask(connection: http.client.HTTPConnection, own: dict[str, str], number: int) -> None:
        for _ in range(number):
            connection.request(method, path, headers=own)
            answer = connection.getresponse()
            answer.read()
            answered.append(answer.status)

    def ask_at_once(number: int) -> None:
        threads = [Thread(target=ask, args=(*each, number)) for each in zip(connections, headers, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    try:
        ask_at_once(WARM_UP)
        gc.collect()
        gc.disable()
        ask_at_once(EACH)
        found = gc.collect()
    finally:
        gc.enable()
        for connection in connections:
            connection.close()
    assert answered == [status] * CLIENTS * (WARM_UP + EACH)
    return found


READ, STREAM = ("GET", "/session"), ("GET", "/stream")
CASES: dict[str, tuple[tuple[str, str], Callable[[World], dict[str, str]], int]] = {
    "read": (READ, World.log_in, 200),
    "read by cookie": (READ, lambda world: world.log_in("cookie"), 200),
    "read and rotated": (READ, World.old, 200),
    "no token": (READ, lambda _: {}, 401),
    "bad token": (READ, lambda _: bearer("a.b.c"), 401),
    "updated": (("POST", "/count"), World.log_in, 200),
    "edited": (("POST", "/edit"), World.log_in, 200),
    "edited by cookie": (("POST", "/edit"), lambda world: world.log_in("cookie"), 200),
    "of another site": (
        ("POST", "/edit"),
        lambda world: world.log_in("cookie") | {"Sec-Fetch-Site": "cross-site"},
        403,
    ),
    "created": (("POST", "/session"), lambda _: {}, 200),
    "streamed": (STREAM, World.log_in, 200),
    "store down": (READ, World.log_in, 503),
}


@pytest.mark.parametrize("case", CASES)
def test_a_request_leaves_nothing_to_the_collector(world: World, case: str) -> None:
    """Not one object for each request more than with FastAPI alone, on connections that stay open."""
    (method, path), headers, status = CASES[case]
    found = left(
        world.down if status == 503 else world.ours, method, path, [headers(world) for _ in range(CLIENTS)], status
    )
    of_fastapi = "/stream" if path == "/stream" else f"/answer?status={status}"
    assert found - left(world.alone, method, of_fastapi, [{}] * CLIENTS, status) < CLIENTS * EACH
