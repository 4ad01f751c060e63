"""`get_editable_session` over real HTTP: each row of the guide's table of outcomes, and what belongs to no row."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response, Security
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel
from starlette.background import BackgroundTask

from jwtsession import Claims, JWTSessionError, Session, SessionManager, SessionProvider, StoreUnavailableError, Token
from jwtsession.stores import Outcome
from jwtsession.testing import InspectableStore
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer, serving


class Item(BaseModel):
    name: str
    tags: list[str] = []


class Shop(Session):
    count: int = 0
    items: list[Item] = []
    blob: str = ""


class Store(InspectableStore):
    """A store that counts its writes, and that can be down."""

    def __init__(self) -> None:
        super().__init__(time.monotonic)
        self.writes = 0
        self.down = False
        self.finished = False
        self.streams = 0

    async def update(self, session_id: str, old: bytes, new: bytes, ttl: int, *, retry: bool = True) -> Outcome:
        self.writes += 1
        if self.down:
            raise StoreUnavailableError
        return await super().update(session_id, old, new, ttl, retry=retry)


ByClass = Annotated[Shop, Depends()]


def application(sessions: SessionProvider[Shop, Claims]) -> FastAPI:
    app = FastAPI(lifespan=sessions.lifespan)
    editable = Annotated[Shop, Depends(sessions.get_editable_session)]
    manager_ = Annotated[SessionManager[Shop, Claims], Depends(sessions.get_manager)]

    async def other_request(request: Request) -> SessionManager[Shop, Claims]:
        headers = [*request.scope["headers"]]
        return await sessions.get_manager(Request({"type": "http", "method": "GET", "headers": headers}))

    async def spoil(how: str, request: Request, session: Shop) -> None:
        """Change the session in place, so that it can't be stored."""
        session.count += 1
        if how == "conflict":
            await (await other_request(request)).mutate(lambda each: setattr(each, "count", 100))
        elif how == "gone":
            await (await other_request(request)).destroy()
        elif how == "large":
            session.blob = "x" * 70_000
        elif how == "unfit":
            session.count = "many"  # type: ignore[assignment]
        elif how == "down":
            sessions.store.down = True  # type: ignore[attr-defined]

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create(Shop(), Claims(scope="shop"))

    @app.api_route("/read", methods=["GET", "HEAD"])
    async def read(session: editable) -> Shop:
        return session

    @app.post("/nested")
    async def nested(session: editable) -> Shop:
        session.items.append(Item(name="tea"))
        session.items[0].tags.append("green")
        return session

    @app.post("/blocking")
    def blocking(session: editable) -> int:
        session.count += 1
        return session.count

    @app.api_route("/status/{status}", methods=["GET", "HEAD", "POST"])
    async def with_status(status: int, session: editable) -> Response:
        session.count += 1
        return Response(status_code=status)

    @app.post("/redirect")
    async def redirect(session: editable) -> Response:
        session.count += 1
        return RedirectResponse("/read", 303)

    @app.post("/raise/{what}")
    async def fail(what: str, session: editable) -> Any:
        session.count += 1
        if what == "http":
            raise HTTPException(418)
        if what == "bug":
            raise ZeroDivisionError
        return JSONResponse({}, 422)

    @app.post("/model", response_model=Item)
    async def invalid_answer(session: editable) -> Any:
        session.count += 1
        return {"no": "item"}

    @app.post("/editable/{how}")
    async def saved(how: str, request: Request, session: editable) -> dict[str, str]:
        await spoil(how, request, session)
        return {"the endpoint's own": "answer"}

    @app.post("/explicit/{how}")
    async def updated(how: str, request: Request, session: editable, manager: manager_) -> None:
        await spoil(how, request, session)
        await manager.update()

    @app.post("/stream/{how}")
    async def stream(how: str, request: Request, session: editable) -> Response:
        async def forever() -> AsyncIterator[bytes]:
            sessions.store.streams += 1  # type: ignore[attr-defined]
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.01)

        await spoil(how, request, session)
        return StreamingResponse(forever())

    @app.post("/late/{how}")
    async def late(how: str, session: editable, tasks: BackgroundTasks) -> Any:
        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            session.count += 10
            yield b"second"

        def after() -> None:
            session.count += 100

        session.count += 1
        if how == "stream":
            return StreamingResponse(body())
        tasks.add_task(after)
        return session.count

    @app.post("/verb/{verb}")
    async def verb(verb: str, request: Request, session: editable, manager: manager_, status: int = 200) -> Any:
        session.count += 1
        match verb:
            case "update":
                await manager.update()
            case "update, change":
                await manager.update()
                session.count += 1
            case "reload":
                await manager.reload()
            case "reload, change":
                await manager.reload()
                session.count += 10
            case "touch":
                await manager.touch()
            case "mutate":
                await manager.mutate(lambda each: setattr(each, "count", each.count + 100))
            case "mutate, change":
                await manager.mutate(lambda each: setattr(each, "count", each.count + 100))
                session.count += 10
            case "regenerate, change":
                await manager.regenerate()
                session.count += 10
            case "create, change":
                await manager.create(Shop())
                assert manager.session is not None
                manager.session.count += 10
            case "create, change the old one":
                await manager.create(Shop())
                session.count += 10
            case "destroy":
                await manager.destroy()
                session.count += 1
            case "destroy elsewhere, update":
                await (await other_request(request)).destroy()
                with contextlib.suppress(JWTSessionError):
                    await manager.update()
            case "conflict, update":
                await spoil("conflict", request, session)
                with contextlib.suppress(JWTSessionError):
                    await manager.update()
            case "conflict, reload, change":
                await spoil("conflict", request, session)
                with contextlib.suppress(JWTSessionError):
                    await manager.update()
                await manager.reload()
                session.count += 1
        return JSONResponse(None, status)

    @app.post("/scoped")
    async def scoped(session: Annotated[Shop, Security(sessions.get_editable_session, scopes=["admin"])]) -> None:
        session.count += 1

    @app.post("/same")
    async def same(
        session: editable, manager: manager_, plain: Annotated[Shop, Depends(sessions.get_session)], by_class: ByClass
    ) -> bool:
        plain.count += 1
        return session is manager.session is plain is by_class

    @app.post("/twice")
    async def twice(
        session: Annotated[Shop, Depends(sessions.get_editable_session, use_cache=False)],
        again: Annotated[Shop, Depends(sessions.get_editable_session, use_cache=False)],
    ) -> bool:
        session.count += 1
        return session is again

    async def count_visit(session: editable) -> None:
        session.count += 1

    router = APIRouter(dependencies=[Depends(count_visit)])

    @router.post("/router")
    async def in_router() -> None: ...

    app.include_router(router)

    async def earlier(session: Annotated[Shop, Depends(sessions.get_session)]) -> Shop:
        session.count += 1
        return session

    @app.post("/before")
    async def before(plain: Annotated[Shop, Depends(earlier)], session: editable) -> None: ...

    @app.post("/slow")
    async def slow(request: Request, session: editable) -> Response:
        async def after() -> None:
            sessions.store.finished = True  # type: ignore[attr-defined]

        session.count += 1
        while not await request.is_disconnected():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return Response(background=BackgroundTask(after))

    @app.post("/count")
    async def count(session: editable) -> int:
        session.count += 1
        return session.count

    @app.post("/body")
    async def with_body(item: Item, session: editable) -> None:
        session.items.append(item)

    return app


class Visitor:
    """A logged-in client, and what is stored for it."""

    def __init__(self, client: httpx2.Client, store: Store) -> None:
        store.down = store.finished = False
        before = {*store.contents}
        self.client, self.store = client, store
        self.headers = bearer(client.post("/session").raise_for_status().json()["access_token"])
        (self.id,) = store.contents.keys() - before
        self.writes = store.writes

    def post(self, path: str, **options: Any) -> httpx2.Response:
        return self.client.post(path, headers=self.headers, **options)

    @property
    def stored(self) -> Any:
        return json.loads(self.store.contents[self.id].value)

    def has_written(self) -> int:
        """How often the store was asked to write since the login."""
        return self.store.writes - self.writes


@pytest.fixture(scope="module")
def store() -> Store:
    return Store()


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[httpx2.Client]:
    with serving(application(SessionProvider(Shop, secret=SECRET, store=store))) as client:
        client.headers["Connection"] = (
            "close"  # uvicorn closes the connection after a 500, whatever the client sends on it
        )
        yield client


@pytest.fixture
def visitor(client: httpx2.Client, store: Store) -> Visitor:
    return Visitor(client, store)


# --- nothing to store --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("stored", [None, b"{}", b'{ "items": [], "count": 7, "theirs": 1 }'])
def test_a_session_that_was_only_read_is_not_written(visitor: Visitor, method: str, stored: bytes | None) -> None:
    """Not even if another writer's form of the JSON differs from ours: the store is not asked to write at all."""
    if stored is not None:
        visitor.store.put(visitor.id, stored)
    before = visitor.store.contents[visitor.id].value
    assert visitor.client.request(method, "/read", headers=visitor.headers).status_code == 200
    assert (visitor.has_written(), visitor.store.contents[visitor.id].value) == (0, before)


@pytest.mark.parametrize(
    "path", ["/status/400", "/status/404", "/status/500", "/raise/http", "/raise/bug", "/raise/422"]
)
def test_a_failed_request_stores_nothing(visitor: Visitor, path: str) -> None:
    """Whether it returns the failure, raises an `HTTPException`, or has a bug."""
    assert visitor.post(path).status_code >= 400
    assert (visitor.has_written(), visitor.stored["count"]) == (0, 0)


def test_an_answer_that_does_not_fit_its_model_stores_nothing(visitor: Visitor) -> None:
    """FastAPI refuses the endpoint's return value: a 500."""
    assert visitor.post("/model").status_code == 500
    assert visitor.has_written() == 0


def test_without_a_session_there_is_the_401_of_get_session(visitor: Visitor) -> None:
    """The endpoint does not run. A session without the scope is a 403, and nothing is stored."""
    answer = visitor.client.post("/nested")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})
    assert visitor.post("/scoped").status_code == 403
    assert visitor.has_written() == 0


# --- stored ------------------------------------------------------------------------------------------------------


def test_nested_changes_are_stored(visitor: Visitor) -> None:
    """A model appended to a list, and a list within that model."""
    assert visitor.post("/nested").status_code == 200
    assert visitor.stored["items"] == [{"name": "tea", "tags": ["green"]}]
    assert visitor.has_written() == 1


def test_a_blocking_endpoint_and_a_body(visitor: Visitor) -> None:
    """A `def` endpoint runs in a thread; a body was read before. Both changes are stored."""
    assert [visitor.post("/blocking").json() for _ in range(2)] == [1, 2]
    assert visitor.post("/body", json={"name": "cup"}).status_code == 200
    assert visitor.stored == {"count": 2, "items": [{"name": "cup", "tags": []}], "blob": ""}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("status", [200, 201, 204, 301, 304, 399])
def test_each_status_below_400_stores(visitor: Visitor, method: str, status: int) -> None:
    """The status alone decides: 204 and 304 have no body, HEAD gets none."""
    answer = visitor.client.request(method, f"/status/{status}", headers=visitor.headers)
    assert (answer.status_code, visitor.stored["count"]) == (status, 1)


def test_a_redirect_after_a_form_stores(visitor: Visitor) -> None:
    """303, with its place: the next request sees the change."""
    answer = visitor.post("/redirect")
    assert (answer.status_code, answer.headers["location"], visitor.stored["count"]) == (303, "/read", 1)


def test_fields_that_the_model_does_not_know_stay(visitor: Visitor) -> None:
    """As with `update()`: another version of the application may have stored them."""

    class Narrow(Session):
        model_config = {"extra": "ignore"}
        count: int = 0

    store = Store()
    sessions = SessionProvider(Narrow, secret=SECRET, store=store)
    app = FastAPI(lifespan=sessions.lifespan)

    @app.post("/session")
    async def log_in(manager: Annotated[Any, Depends(sessions.get_manager)]) -> Token:
        token: Token = await manager.create({})
        return token

    @app.post("/count")
    async def count(session: Annotated[Narrow, Depends(sessions.get_editable_session)]) -> None:
        session.count += 1

    with serving(app) as client:
        other = Visitor(client, store)
        store.put(other.id, b'{"theirs": {"a": 1}}')
        assert other.post("/count").status_code == 200
        assert other.stored == {"count": 1, "theirs": {"a": 1}}


# --- the error's answer takes the place ------------------------------------------------------------------------------

STATUSES = {"conflict": 409, "gone": 401, "large": 413, "unfit": 500, "down": 503}


@pytest.mark.parametrize("how", STATUSES)
def test_the_answer_is_that_of_an_endpoint_that_raises_the_error(client: httpx2.Client, store: Store, how: str) -> None:
    """Status, body and headers are those of `update()` in the endpoint, and what is stored stays as it is."""
    answers = []
    for path in ("explicit", "editable"):
        visitor = Visitor(client, store)
        answers.append(visitor.post(f"/{path}/{how}"))
        if how == "gone":
            assert visitor.id not in store.contents
        else:
            assert visitor.stored == {"count": 100 if how == "conflict" else 0, "items": [], "blob": ""}
    explicit, editable = answers
    assert editable.status_code == explicit.status_code == STATUSES[how]
    assert editable.content == explicit.content
    assert {**editable.headers, "date": ""} == {**explicit.headers, "date": ""}
    assert b"own" not in editable.content
    if how == "down":
        assert editable.headers["retry-after"] == "1"


@pytest.mark.parametrize("how", ["conflict", "down"])
def test_an_endless_stream_does_not_begin(visitor: Visitor, how: str) -> None:
    """The client gets the error as a whole answer, and the connection serves the next request."""
    visitor.headers["Connection"] = "keep-alive"
    answer = visitor.post(f"/stream/{how}")
    assert (answer.status_code, [*answer.json()]) == (STATUSES[how], ["detail"])
    assert not visitor.store.streams
    visitor.store.down = False
    assert visitor.post("/count").status_code == 200


# --- verbs in between ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "count", "writes"),
    [
        ("none", 1, 1),
        ("touch", 1, 1),
        ("update", 1, 1),
        ("update, change", 2, 2),
        ("reload", 0, 0),
        ("reload, change", 10, 1),
        ("mutate", 100, 1),
        ("mutate, change", 110, 2),
        ("conflict, reload, change", 101, 3),
    ],
)
def test_a_verb_counts(visitor: Visitor, verb: str, count: int, writes: int) -> None:
    """Only what was changed after the verb is still to be stored."""
    assert visitor.post(f"/verb/{verb}").status_code == 200
    assert (visitor.stored["count"], visitor.has_written()) == (count, writes)


def test_what_a_verb_has_stored_stays_though_the_request_fails(visitor: Visitor) -> None:
    """Only what was changed after it is dropped."""
    assert visitor.post("/verb/update, change", params={"status": 400}).status_code == 400
    assert visitor.stored["count"] == 1


@pytest.mark.parametrize(("verb", "count"), [("regenerate, change", 11), ("create, change", 10)])
def test_after_a_new_id_the_new_session_gets_the_changes(visitor: Visitor, verb: str, count: int) -> None:
    """The old id is gone."""
    before = {*visitor.store.contents}
    assert visitor.post(f"/verb/{verb}").status_code == 200
    assert visitor.id not in visitor.store.contents
    (new,) = visitor.store.contents.keys() - before
    assert json.loads(visitor.store.contents[new].value)["count"] == count


def test_a_change_to_the_session_that_create_replaced_is_an_error(visitor: Visitor) -> None:
    """It would be lost in silence otherwise: a 500, as the next `update()` would be."""
    assert visitor.post("/verb/create, change the old one").status_code == 500


@pytest.mark.parametrize("verb", ["destroy", "destroy elsewhere, update"])
def test_a_session_that_the_endpoint_saw_end_is_not_stored(visitor: Visitor, verb: str) -> None:
    """The endpoint's answer goes out: it knows, and the session does not come back."""
    assert visitor.post(f"/verb/{verb}").status_code == 200
    assert visitor.id not in visitor.store.contents


def test_a_conflict_that_the_endpoint_passes_over_is_not_lost(visitor: Visitor) -> None:
    """Its change is still not stored, so the client is told."""
    assert visitor.post("/verb/conflict, update").status_code == 409
    assert visitor.stored["count"] == 100


# --- dependencies ----------------------------------------------------------------------------------------------------


def test_all_dependencies_give_the_same_session(visitor: Visitor) -> None:
    """A change through any of them is stored, once."""
    assert visitor.post("/same").json() is True
    assert visitor.post("/twice").json() is True
    assert (visitor.stored["count"], visitor.has_written()) == (2, 2)


def test_a_dependency_of_a_router_stores(visitor: Visitor) -> None:
    """The endpoint itself need not ask for the session."""
    assert visitor.post("/router").status_code == 200
    assert visitor.stored["count"] == 1


@pytest.mark.parametrize("stored", [b'{"count":0,"items":[],"blob":""}', b'{ "count": 0 }'])
def test_a_dependency_that_came_before_counts(visitor: Visitor, stored: bytes) -> None:
    """What it changed in place is compared with what was loaded too."""
    visitor.store.put(visitor.id, stored)
    assert visitor.post("/before").status_code == 200
    assert visitor.stored["count"] == 1


# --- after the answer has started ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stream", "task"])
def test_what_is_changed_later_is_not_stored(visitor: Visitor, how: str) -> None:
    """By the rest of a stream, or by a background task."""
    assert visitor.post(f"/late/{how}").text in ("firstsecond", "1")
    assert visitor.client.get("/read", headers=visitor.headers).json()["count"] == 1
    assert visitor.has_written() == 1


# --- clients ---------------------------------------------------------------------------------------------------------


def test_a_client_that_has_gone_away_stores_nothing(visitor: Visitor) -> None:
    """It has seen no answer, so it does not know what became of its request: it may try again."""
    host, port = visitor.client.base_url.host, visitor.client.base_url.port
    token = visitor.headers["Authorization"]
    with socket.create_connection((host, port or 80)) as connection:
        request = f"POST /slow HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(request.encode())
    # Nothing tells a client that left when its request is over, but the server goes on serving.
    deadline = time.monotonic() + 10
    while not visitor.store.finished and time.monotonic() < deadline:
        time.sleep(0.01)
    assert visitor.has_written() == 0


TOGETHER = 8


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["memory", "plain", "near"])
def test_increments_at_the_same_time_count_or_are_409(request: pytest.FixtureRequest, kind: str) -> None:
    """What stands there at the end is the number of those that were told 200, and each 409 is a whole answer."""
    if kind == "memory":
        sessions = SessionProvider(Shop, secret=SECRET, store=Store())
    else:
        server: servers.Server = request.getfixturevalue("valkey")
        near = 1_000_000 if kind == "near" else 0
        sessions = SessionProvider(Shop, secret=SECRET, redis_url=server.url, near_cache_bytes=near)
    with serving(application(sessions)) as client, ThreadPoolExecutor(TOGETHER) as pool:
        headers = bearer(client.post("/session").json()["access_token"])
        answers = [*pool.map(lambda _: client.post("/count", headers=headers), range(TOGETHER * 5))]
        told = [answer for answer in answers if answer.status_code == 200]
        assert client.get("/read", headers=headers).json()["count"] == len(told) >= 1
        assert sorted(answer.json() for answer in told) == [*range(1, len(told) + 1)]
        for answer in answers:
            assert answer.status_code == 200 or answer.json() == {
                "detail": "The session was changed by another request"
            }
