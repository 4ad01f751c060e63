"""Tests of jwtsession.web.answers.saving: who answers instead of the endpoint, and what an answer waits for."""

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.exceptions import FastAPIError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from jwtsession import (
    Claims,
    ConfigurationError,
    InvalidArgumentError,
    JWTSessionError,
    Session,
    SessionConflictError,
    SessionManager,
    SessionMiddleware,
    SessionProvider,
    StoreUnavailableError,
)
from jwtsession.stores import Outcome
from jwtsession.testing import AsyncSessionTester, InspectableStore
from tests.asgi import Answer, ask, call, scope_of
from tests.conftest import SECRET, Clock, started


class Shop(Session):
    count: int = 0
    blob: str = ""


class Store(InspectableStore):
    """A store in which, just before a write, something else may happen."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.meanwhile: Callable[[str], Awaitable[None] | None] = lambda session_id: None

    async def update(self, session_id: str, old: bytes, new: bytes, ttl: int, *, retry: bool = True) -> Outcome:
        happening = self.meanwhile(session_id)
        if happening is not None:
            await happening
        return await super().update(session_id, old, new, ttl, retry=retry)


class Place:
    """One provider with its store, for an application that may have two."""

    def __init__(self, name: str = "session", **options: Any) -> None:
        self.store = Store()
        self.sessions = SessionProvider(
            Shop, secret=SECRET, store=self.store, request_key=name, keyspace=f"{name}:", audience=name, **options
        )
        self.editable = Annotated[Shop, Depends(self.sessions.get_editable_session)]
        self.manager = Annotated[SessionManager[Shop, Claims], Depends(self.sessions.get_manager)]

    async def log_in(self) -> tuple[str, str]:
        """A session's id, and the header of its token."""
        made = await AsyncSessionTester(self.sessions).login(Shop())
        assert made.id is not None
        return made.id, f"Bearer {made.token}"

    def conflicts(self) -> None:
        """Let somebody else change a session before each write."""
        self.store.meanwhile = lambda session_id: self.store.put(session_id, b'{"count":100}')

    def count(self, session_id: str) -> Any:
        return json.loads(self.store.contents[session_id].value)["count"]


def application(place: Place, **options: Any) -> FastAPI:
    app = FastAPI(lifespan=place.sessions.lifespan, **options)

    @app.post("/count")
    async def count(session: place.editable, value: Any = None) -> str:  # type: ignore[name-defined]
        session.count += 1
        if value == "large":
            session.blob = "x" * 70_000
        if value == "unfit":
            session.count = "many"
        return "own"

    return app


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[FastAPI]:
    async with app.router.lifespan_context(app):
        yield app


async def post(app: Any, path: str, token: str, **options: Any) -> Answer:
    return await ask(app, "POST", path, ("authorization", token), **options)


# --- the application's own handlers ----------------------------------------------------------------------------------


async def own(request: Request, error: Exception) -> Response:
    assert isinstance(error, SessionConflictError | InvalidArgumentError)
    return JSONResponse({"own": error.code, "at": request.url.path}, 499, {"x-own": "1"})


def own_blocking(request: Request, error: Exception) -> Response:
    return JSONResponse({"own": getattr(error, "code", ""), "at": request.url.path}, 499, {"x-own": "1"})


@pytest.mark.parametrize("handler", [own, own_blocking])
@pytest.mark.parametrize("key", [HTTPException.__mro__[1], JWTSessionError, SessionConflictError, 409])
async def test_an_own_handler_answers_a_conflict(key: Any, handler: Any) -> None:
    """By the exception's class, by a base of it, or by the status; a coroutine function or not."""
    place = Place()
    app = application(place, exception_handlers={key: handler})
    async with running(app):
        session_id, token = await place.log_in()
        place.conflicts()
        answer = await post(app, "/count", token)
    assert (answer.status, answer.json()) == (499, {"own": "session_conflict", "at": "/count"})
    assert (answer.all("x-own"), answer.all("cache-control")) == (["1"], ["no-store"])
    assert place.count(session_id) == 100


@pytest.mark.parametrize("key", [InvalidArgumentError, ValueError, JWTSessionError])
async def test_an_own_handler_answers_a_session_that_does_not_fit(key: Any) -> None:
    """An error without a status of its own."""
    place = Place()
    app = application(place, exception_handlers={key: own})
    async with running(app):
        session_id, token = await place.log_in()
        answer = await post(app, "/count", token, query="value=unfit")
    assert (answer.status, answer.json()["own"]) == (499, "invalid_argument")
    assert place.count(session_id) == 0


@pytest.mark.parametrize("key", [500, Exception])
async def test_the_handler_of_bugs_gets_what_no_other_handles(key: Any) -> None:
    """Starlette's outermost handler answers, and the server sees the error: as from an endpoint."""
    place = Place()
    app = application(place, exception_handlers={key: own})
    async with running(app):
        _, token = await place.log_in()
        sent: list[Any] = []
        with pytest.raises(InvalidArgumentError, match="not a valid Shop: count"):
            await app(scope_of("POST", "/count", [("authorization", token)], query="value=unfit"), _empty, _into(sent))
    assert [each["status"] for each in sent if "status" in each] == [499]


async def test_a_mounted_application_has_its_own_handlers() -> None:
    """Those of the application that has the endpoint answer."""
    place = Place()
    app = FastAPI(lifespan=place.sessions.lifespan, exception_handlers={409: own_blocking})
    app.mount("/inner", application(place, exception_handlers={409: lambda *_: PlainTextResponse("inner", 499)}))
    async with running(app):
        _, token = await place.log_in()
        place.conflicts()
        assert (await post(app, "/inner/count", token)).body == b"inner"


async def test_a_handler_may_stream_and_reads_the_body_that_the_endpoint_read() -> None:
    """It gets the endpoint's own request, and its answer may be of any kind."""

    async def streaming(request: Request, error: Exception) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"body: "
            yield await request.body()

        return StreamingResponse(parts(), 499)

    place = Place()
    app = FastAPI(lifespan=place.sessions.lifespan, exception_handlers={SessionConflictError: streaming})

    @app.post("/count")
    async def count(session: place.editable, item: dict[str, int]) -> None:  # type: ignore[name-defined]
        session.count += item["more"]

    async with running(app):
        _, token = await place.log_in()
        place.conflicts()
        headers = ("authorization", token), ("content-type", "application/json")
        answer = await ask(app, "POST", "/count", *headers, body=b'{"more": 2}')
    assert (answer.status, answer.body) == (499, b'body: {"more": 2}')


@pytest.mark.parametrize("middleware", ["gzip", "base", "none"])
async def test_middlewares_see_one_answer(middleware: str) -> None:
    """The error's, as if the endpoint had raised it; and without a conflict the endpoint's."""
    place = Place()
    app = application(place)
    seen: list[int] = []

    async def note(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        seen.append(response.status_code)
        return response

    if middleware == "gzip":
        app.add_middleware(GZipMiddleware, minimum_size=1)
    elif middleware == "base":
        app.add_middleware(BaseHTTPMiddleware, dispatch=note)
    async with running(app):
        session_id, token = await place.log_in()
        assert (await post(app, "/count", token)).status == 200
        assert place.count(session_id) == 1
        place.conflicts()
        assert (await post(app, "/count", token)).status == 409
    assert seen == ([200, 409] if middleware == "base" else [])


# --- two sessions in one request -------------------------------------------------------------------------------------


class Two:
    """An application with two providers, whose endpoint changes both sessions."""

    def __init__(self) -> None:
        self.first = Place("first", token_sources=["bearer"])
        self.second = Place("second", token_sources=["header"])

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with self.first.sessions.lifespan(app), self.second.sessions.lifespan(app):
                yield

        self.app = FastAPI(lifespan=lifespan)

        @self.app.post("/both")
        async def both(
            first: self.first.editable,  # type: ignore[name-defined]
            second: self.second.editable,  # type: ignore[name-defined]
            blob: int = 0,
        ) -> None:
            first.count += 1
            second.count += 1
            second.blob = "x" * blob

    async def post(self, query: str = "") -> tuple[int, int, int]:
        """The status, and what is stored then in the first and in the second."""
        async with running(self.app):
            (one, token), (two, other) = await self.first.log_in(), await self.second.log_in()
            headers = ("authorization", token), ("x-access-token", other.removeprefix("Bearer "))
            answer = await ask(self.app, "POST", "/both", *headers, query=query)
            return answer.status, self.first.count(one), self.second.count(two)


async def test_both_sessions_are_stored() -> None:
    """Each in its own store."""
    assert await Two().post() == (200, 1, 1)


async def test_a_session_that_can_not_be_stored_keeps_the_other_from_being_stored() -> None:
    """What needs no question to the store is checked for all before any is stored."""
    assert await Two().post("blob=70000") == (413, 0, 0)


@pytest.mark.parametrize(("conflict", "found"), [("first", (409, 100, 0)), ("second", (409, 1, 100))])
async def test_there_is_no_transaction_over_two_stores(conflict: str, found: tuple[int, int, int]) -> None:
    """They are stored in the order in which the endpoint asks; the first conflict ends that, and takes nothing back."""
    two = Two()
    getattr(two, conflict).conflicts()
    assert await two.post() == found


# --- where nothing could store ---------------------------------------------------------------------------------------


async def test_without_the_middleware_it_is_an_error() -> None:
    """An application that did not start the provider gets a `ConfigurationError`, and loses no change in silence."""
    place = Place()
    app = application(place)
    app.router.lifespan_context = FastAPI().router.lifespan_context
    async with place.sessions:
        _, token = await place.log_in()
        with pytest.raises(ConfigurationError, match=r"app\.add_middleware\(SessionMiddleware\)"):
            await post(app, "/count", token)


async def test_the_middleware_that_is_added_by_hand_is_enough() -> None:
    """Without the provider's lifespan in the application, from the first request on; for a middleware too."""
    place = Place()
    app = application(place)

    async def count(request: Request, call_next: Any) -> Any:
        (await place.sessions.get_editable_session(request)).count += 10
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=count)
    app.add_middleware(SessionMiddleware)
    async with place.sessions:
        session_id, token = await place.log_in()
        assert [(await post(app, "/count", token)).status for _ in range(2)] == [200, 200]
        assert place.count(session_id) == 22


async def test_after_the_start_of_the_answer_it_is_an_error() -> None:
    """A stream that asks only then would lose its changes."""
    place = Place()
    app = FastAPI(lifespan=place.sessions.lifespan)

    @app.post("/late")
    async def late(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"1"
            with pytest.raises(ConfigurationError, match="already started"):
                await place.sessions.get_editable_session(request)
            yield b"2"

        return StreamingResponse(parts())

    async with running(app):
        _, token = await place.log_in()
        assert (await post(app, "/late", token)).body == b"12"


def sockets(place: Place) -> FastAPI:
    app = FastAPI(lifespan=place.sessions.lifespan)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, session: place.editable) -> None: ...  # type: ignore[name-defined]

    return app


async def test_an_application_with_such_a_socket_does_not_start() -> None:
    """The error names the route. `document()` refuses it too."""
    place = Place()
    for app in (sockets(place), FastAPI(lifespan=place.sessions.lifespan)):
        if not app.routes[-1].path.startswith("/socket"):  # type: ignore[attr-defined]
            app.mount("/inner", sockets(place))
        with pytest.raises(ConfigurationError, match=r"WebSocket (/inner)?/socket: get_editable_session stores"):
            async with running(app):
                pass
        with pytest.raises(ConfigurationError, match="WebSocket"):
            place.sessions.document(app)


async def test_a_socket_that_the_check_does_not_see_is_refused_at_its_handshake() -> None:
    """A `WebSocket` passed by hand."""
    place = Place()
    async with place.sessions:
        _, token = await place.log_in()
        scope = scope_of(headers=[("authorization", token)], kind="websocket")
        with pytest.raises(ConfigurationError, match="a WebSocket has no answer"):
            await place.sessions.get_editable_session(WebSocket(scope, _empty, _into([])))


# --- halfway ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [False, True])
async def test_a_request_that_is_cancelled_while_it_stores(done: bool) -> None:
    """Nothing was sent, and the session is as it was or as it should be: the write is one step."""
    place = Place()
    entered = asyncio.Event()

    async def hang(session_id: str) -> None:
        entered.set()
        await asyncio.sleep(0 if done else 3600)

    place.store.meanwhile = hang
    app = application(place)
    sent: list[Any] = []
    async with running(app):
        session_id, token = await place.log_in()
        task = asyncio.create_task(
            app(scope_of("POST", "/count", [("authorization", token)]), _empty, _into(sent))  # type: ignore[arg-type]
        )
        await entered.wait()
        if done:
            await task
        else:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    assert (place.count(session_id), bool(sent)) == ((1, True) if done else (0, False))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_client_that_has_gone_away_stores_nothing(method: str) -> None:
    """If the server has noticed that before the answer starts."""
    place = Place()
    app = FastAPI(lifespan=place.sessions.lifespan)

    @app.api_route("/count", methods=["GET", "POST"])
    async def count(session: place.editable) -> None:  # type: ignore[name-defined]
        session.count += 1

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async with running(app):
        session_id, token = await place.log_in()
        await app(scope_of(method, "/count", [("authorization", token)]), gone, _into([]))
        assert place.count(session_id) == 0
        assert (await ask(app, method, "/count", ("authorization", token))).status == 200
        assert place.count(session_id) == 1


@pytest.mark.parametrize("header", [("content-length", "10"), ("transfer-encoding", "chunked")])
async def test_looking_for_the_client_takes_no_part_of_the_body_away(header: tuple[str, str]) -> None:
    """A stream may read the request's body while it answers."""
    place = Place()
    app = FastAPI(lifespan=place.sessions.lifespan)

    @app.post("/echo")
    async def echo(request: Request, session: place.editable) -> Response:  # type: ignore[name-defined]
        session.count += 1
        return StreamingResponse(request.stream())

    async with running(app):
        session_id, token = await place.log_in()
        scope = scope_of("POST", "/echo", [("authorization", token), header])
        assert (await call(app, scope, b"0123456789")).body == b"0123456789"
        assert place.count(session_id) == 1


LATE = "was changed after the answer had started, and this is not stored"


async def test_changes_that_come_too_late_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Once for each route, by its pattern: those of a stream, and those of a background task that calls no verb."""
    place = Place()
    app = FastAPI(lifespan=place.sessions.lifespan)

    @app.post("/warned/{how}")
    async def late(
        how: str,
        tasks: BackgroundTasks,
        session: place.editable,  # type: ignore[name-defined]
        manager: place.manager,  # type: ignore[name-defined]
    ) -> Any:
        async def after() -> None:
            session.count += 1
            if how == "verb":
                await manager.update()

        async def parts() -> AsyncIterator[bytes]:
            yield b"1"
            await after()
            yield b"2"

        if how == "refused":
            session.count += 1
            raise HTTPException(400)
        tasks.add_task(after)
        return StreamingResponse(parts()) if how == "stream" else None

    async with running(app):
        _, token = await place.log_in()
        for how, warnings in (("refused", 0), ("verb", 0), ("stream", 1), ("stream", 1), ("task", 1)):
            await post(app, f"/warned/{how}", token)
            told = [each.getMessage() for each in caplog.records if LATE in each.getMessage()]
            assert len(told) == warnings, how
        assert told[0].startswith("POST /warned/{how}: ")


async def test_a_dependency_that_changes_the_session_after_the_answer_stores_nothing() -> None:
    """The code behind a dependency's `yield` runs after the answer has been sent."""
    place = Place()
    app = FastAPI(lifespan=place.sessions.lifespan)

    async def counting(session: place.editable) -> AsyncIterator[None]:  # type: ignore[name-defined]
        session.count += 1
        yield
        session.count += 10

    @app.post("/count", dependencies=[Depends(counting)])
    async def count() -> None: ...

    async with running(app):
        session_id, token = await place.log_in()
        assert (await post(app, "/count", token)).status == 200
        assert place.count(session_id) == 1


@pytest.mark.parametrize("swallows", [False, True])
async def test_the_endpoint_s_dependencies_see_the_error(swallows: bool) -> None:
    """As if the endpoint had raised it: a transaction is rolled back, and no background task runs."""
    place = Place()
    app = FastAPI(lifespan=place.sessions.lifespan)
    happened: list[str] = []

    async def transaction() -> AsyncIterator[None]:
        try:
            yield
        except SessionConflictError:
            happened.append("rolled back")
            if not swallows:
                raise
        else:
            happened.append("committed")

    @app.post("/count", dependencies=[Depends(transaction)])
    async def count(tasks: BackgroundTasks, session: place.editable) -> None:  # type: ignore[name-defined]
        session.count += 1
        tasks.add_task(happened.append, "background")

    async with running(app):
        _, token = await place.log_in()
        assert (await post(app, "/count", token)).status == 200
        assert sorted(happened) == ["background", "committed"]
        happened.clear()
        place.conflicts()
        sent: list[Any] = []
        # FastAPI itself complains about a dependency that swallows an error.
        with pytest.raises(FastAPIError, match="Response not awaited") if swallows else nullcontext():
            await app(scope_of("POST", "/count", [("authorization", token)]), _empty, _into(sent))
    assert happened == ["rolled back"]
    assert [each["status"] for each in sent if "status" in each] == [409]
    assert b"".join(each.get("body", b"") for each in sent).startswith(b'{"detail":"The session was')


async def test_a_bug_behind_a_dependency_s_yield_is_not_hidden() -> None:
    """The conflict is answered, and the server still sees what went wrong afterwards."""
    place = Place()
    app = FastAPI(lifespan=place.sessions.lifespan)

    async def buggy() -> AsyncIterator[None]:
        try:
            yield
        finally:
            _ = 1 / len([])

    @app.post("/count", dependencies=[Depends(buggy)])
    async def count(session: place.editable) -> None:  # type: ignore[name-defined]
        session.count += 1

    async with running(app):
        _, token = await place.log_in()
        place.conflicts()
        with pytest.raises(ZeroDivisionError):
            await post(app, "/count", token)


async def test_an_application_that_answers_in_spite_of_the_error_is_not_heard() -> None:
    """An ASGI application that catches everything and begins another answer: the client has one already."""
    place = started_place()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = await place.sessions.get_editable_session(Request(scope, receive, send))
        session.count += 1
        with suppress(SessionConflictError):
            await Response(b"first")(scope, receive, send)
        await Response(b"second", 500)(scope, receive, send)

    _, token = await place.log_in()
    place.conflicts()

    async def handled(scope: Any, receive: Any, send: Any) -> None:
        await ExceptionMiddleware(SessionMiddleware(app))(scope, receive, send)

    answer = await call(handled, scope_of(headers=[("authorization", token)]))
    assert (answer.status, answer.body) == (409, b"The session was changed by another request")


async def test_a_store_that_fails_otherwise_is_no_lost_change() -> None:
    """An error that is not of this package passes to the server, as from an endpoint, and no answer starts."""
    place = Place()

    def fail(session_id: str) -> None:
        raise ZeroDivisionError

    place.store.meanwhile = fail
    app = application(place)
    sent: list[Any] = []
    async with running(app):
        _, token = await place.log_in()
        with pytest.raises(ZeroDivisionError):
            await app(scope_of("POST", "/count", [("authorization", token)]), _empty, _into(sent))
    assert [each["status"] for each in sent if "status" in each] == [500]


async def test_a_store_that_is_down_is_a_503() -> None:
    """With `Retry-After`."""
    place = Place()

    def fail(session_id: str) -> None:
        raise StoreUnavailableError

    place.store.meanwhile = fail
    app = application(place)
    async with running(app):
        _, token = await place.log_in()
        answer = await post(app, "/count", token)
    assert (answer.status, answer.all("retry-after")) == (503, ["1"])


@pytest.mark.parametrize("fails", [False, True])
async def test_a_request_leaves_nothing_to_the_collector(fails: bool) -> None:
    """The session is gone with the request, and not when the collector comes by."""
    place = started_place()
    held: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive, send)
        session = await place.sessions.get_editable_session(request)
        session.count += 1
        held.append(weakref.ref(session))
        if not fails:
            await Response()(scope, receive, send)

    session_id, token = await place.log_in()
    await call(SessionMiddleware(app), scope_of(headers=[("authorization", token)]))
    gc.collect()
    gc.disable()
    try:
        await call(SessionMiddleware(app), scope_of(headers=[("authorization", token)]))
        assert held[1]() is None
    finally:
        gc.enable()
    assert place.count(session_id) == (0 if fails else 2)


def started_place() -> Place:
    place = Place()
    started(place.sessions)
    return place


async def _empty() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


def _into(sent: list[Any]) -> Callable[[Any], Awaitable[None]]:
    async def send(message: Any) -> None:
        sent.append(message)

    return send
