"""Drivers that share `scope["state"]` between requests: each request has its own session all the same."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Annotated, Any
from urllib.parse import parse_qs

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal
from asgi_lifespan import LifespanManager
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from mangum import Mangum

from jwtsession import Claims, MemorySessionStore, Session, SessionManager, SessionProvider, Token
from tests.conftest import SECRET
from tests.web import bearer, serving, serving_by_hypercorn

pytestmark = pytest.mark.caches("near")


class UserSession(Session):
    name: str


def application() -> FastAPI:
    sessions = SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore())
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(name: str, manager: manager_) -> Token:
        return await manager.create(UserSession(name=name), Claims(sub=name))

    @app.get("/session")
    async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> str:
        return session.name

    @app.get("/optional")
    async def read_optional(
        session: Annotated[UserSession | None, Depends(sessions.get_optional_session)],
    ) -> str | None:
        await asyncio.sleep(0)  # other requests come in between
        return session.name if session else None

    @app.get("/state", dependencies=[Depends(sessions.get_manager)])
    async def read_state(request: Request) -> str | None:
        await asyncio.sleep(0)
        session = request.state.session.session
        return session.name if session else None

    @app.get("/bare")
    async def read_without_asking(request: Request) -> bool:
        return hasattr(request.state, "session")

    @app.delete("/session")
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    return app


Ask = Callable[[str, str, str | None], tuple[int, Any]]


@contextmanager
def over_uvicorn(app: FastAPI) -> Iterator[Ask]:
    with serving(app) as client:
        yield asking(client)


@contextmanager
def over_hypercorn(app: FastAPI) -> Iterator[Ask]:
    """Hypercorn 0.17.3 has one `state` for each connection."""
    with serving_by_hypercorn(app, limits=httpx2.Limits(max_connections=1)) as client:
        yield asking(client)


@asynccontextmanager
async def asgi_lifespan_client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """As FastAPI's documentation does it in asynchronous tests: one `state` for all requests."""
    async with LifespanManager(app) as manager:
        transport = httpx2.ASGITransport(manager.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@contextmanager
def over_asgi_lifespan(app: FastAPI) -> Iterator[Ask]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(asgi_lifespan_client(app)) as client,
    ):
        yield lambda method, path, token: read(
            portal.call(partial(client.request, method, path, headers=bearer(token) if token else {}))
        )


@contextmanager
def over_mangum(app: FastAPI, event: Callable[..., dict[str, Any]]) -> Iterator[Ask]:
    """A function that a gateway calls once for each request: each time the application starts and ends."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    handler = Mangum(app, lifespan="on")

    def ask(method: str, path: str, token: str | None) -> tuple[int, Any]:
        raw_path, _, query = path.partition("?")
        headers = {"host": "test"} | (bearer(token) if token else {})
        answer = handler(event(method, raw_path, query, headers), {})  # type: ignore[arg-type]
        return answer["statusCode"], json.loads(answer["body"])

    yield ask
    asyncio.set_event_loop(None)
    loop.close()


def over_mangum_http(app: FastAPI) -> AbstractContextManager[Ask]:
    """The events of API Gateway's HTTP APIs, and of function URLs."""

    def event(method: str, path: str, query: str, headers: dict[str, str]) -> dict[str, Any]:
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "headers": headers,
            "requestContext": {"http": {"method": method, "path": path, "sourceIp": "127.0.0.1"}},
            "isBase64Encoded": False,
        }

    return over_mangum(app, event)


def over_mangum_rest(app: FastAPI) -> AbstractContextManager[Ask]:
    """The events of API Gateway's REST APIs."""

    def event(method: str, path: str, query: str, headers: dict[str, str]) -> dict[str, Any]:
        return {
            "resource": "/{proxy+}",
            "path": path,
            "httpMethod": method,
            "multiValueHeaders": {name: [value] for name, value in headers.items()},
            "multiValueQueryStringParameters": parse_qs(query),
            "requestContext": {"resourcePath": "/{proxy+}", "identity": {"sourceIp": "127.0.0.1"}},
            "body": None,
            "isBase64Encoded": False,
        }

    return over_mangum(app, event)


@contextmanager
def over_test_client(app: FastAPI) -> Iterator[Ask]:
    with TestClient(app) as client:
        yield asking(client)


@contextmanager
def over_one_state(app: FastAPI) -> Iterator[Ask]:
    """The state is shared on purpose, from the first request on."""
    state: dict[str, Any] = {"of the lifespan": "kept"}

    async def shares(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            scope["state"] = state
        await app(scope, receive, send)

    with TestClient(shares) as client:
        yield asking(client)


def asking(client: Any) -> Ask:
    return lambda method, path, token: read(client.request(method, path, headers=bearer(token) if token else {}))


def read(answer: Any) -> tuple[int, Any]:
    return answer.status_code, answer.json()


DRIVERS = [
    over_uvicorn,
    over_hypercorn,
    over_asgi_lifespan,
    over_mangum_http,
    over_mangum_rest,
    over_test_client,
    over_one_state,
]


@pytest.fixture(params=DRIVERS, ids=[driver.__name__ for driver in DRIVERS])
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    with request.param(application()) as ask:
        yield ask


def test_each_request_has_the_session_of_its_own_token(ask: Ask) -> None:
    """Alice, bob, nobody and garbage, one after the other, get their own answers; bob's logout ends bob's session."""
    alice, bob = (ask("POST", f"/session?name={name}", None)[1]["access_token"] for name in ("alice", "bob"))
    for token, name in [(alice, "alice"), (bob, "bob"), (None, None), (bob, "bob"), ("garbage", None)] * 2:
        status, found = ask("GET", "/session", token)
        assert (status, found) == (200, name) if name else status == 401
        for path in ("/optional", "/state"):
            assert ask("GET", path, token) == (200, name), path
    assert ask("DELETE", "/session", "garbage")[0] == 401
    assert ask("DELETE", "/session", None)[0] == 401
    assert ask("DELETE", "/session", bob)[0] == 200
    assert ask("GET", "/session", bob)[0] == 401
    assert ask("GET", "/session", alice) == (200, "alice")


def test_no_manager_stays_behind_for_the_next_request(ask: Ask) -> None:
    """An endpoint that asks no dependency finds nobody's manager at `request.state.session`."""
    alice = ask("POST", "/session?name=alice", None)[1]["access_token"]
    assert ask("GET", "/state", alice) == (200, "alice")
    assert ask("GET", "/bare", None) == (200, False)


@pytest.mark.parametrize("path", ["/session", "/optional", "/state"])
async def test_requests_at_the_same_time_do_not_meet_in_a_shared_state(path: str) -> None:
    """A hundred requests of four users at once over asgi-lifespan each get their own session."""
    async with asgi_lifespan_client(application()) as client:
        names = ["ann", "bob", "cid", "dee"] * 25
        logins = await asyncio.gather(*(client.post("/session", params={"name": name}) for name in names))
        tokens = [login.json()["access_token"] for login in logins]
        answers = await asyncio.gather(*(client.get(path, headers=bearer(token)) for token in tokens))
        assert [answer.json() for answer in answers] == names
