"""Tests of streamed answers that end with their session: jwtsession.web.answers.streams, and jwtsession.until_ended."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse

from jwtsession import Claims, SessionManager, SessionMiddleware, SessionNotFoundError, SessionProvider
from jwtsession.testing import AsyncSessionTester, Clock, InspectableStore, Login
from tests.asgi import call, scope_of
from tests.conftest import SECRET
from tests.unit.web.sockets.test_websocket import Driver, UserSession, watch_of

LAST = {"type": "http.response.body", "body": b"", "more_body": False}
Manager = SessionManager[UserSession, Claims]
Tester = AsyncSessionTester[UserSession, Claims]


@pytest.fixture
async def tester(clock: Clock) -> AsyncIterator[Tester]:
    async with AsyncSessionTester(
        SessionProvider(UserSession, secret=SECRET, store=InspectableStore(clock), clock=clock)
    ) as tester:
        yield tester


class HTTPDriver(Driver):
    """A server for one request whose client never leaves by itself."""

    def __init__(self, app: FastAPI, token: str | None, path: str = "/", spec: str = "2.4") -> None:
        super().__init__(app, token, path)
        self.scope |= {"type": "http", "method": "GET", "asgi": {"spec_version": spec}, "http_version": "1.1"}

    async def __aenter__(self) -> "HTTPDriver":
        self.incoming.put_nowait({"type": "http.request"})
        self.task = asyncio.ensure_future(self.app(self.scope, self.incoming.get, self.send))
        await until(lambda: self.sent or self.task.done())
        return self


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop run until something has happened."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # it waits for what tells nobody
            await asyncio.sleep(0)


def application(tester: Tester, answer: Callable[[Manager], Any], **options: Any) -> FastAPI:
    options.setdefault("middleware", [Middleware(SessionMiddleware)])
    app = FastAPI(**options)

    @app.get("/")
    async def get(manager: Annotated[Manager, Depends(tester.sessions.get_manager)]) -> Response:
        found = answer(manager)
        return await found if asyncio.iscoroutine(found) else found

    return app


class Ticks:
    """A stream that never ends by itself: with nothing to say, with much to say, or in another thread."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def idle(self) -> AsyncIterator[str]:
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            self.ended.append("idle")

    async def said(self) -> AsyncIterator[str]:
        try:
            yield "data: 1\n\n"
            await asyncio.Event().wait()
        finally:
            self.ended.append("said")

    async def busy(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "data: 1\n\n"
                await asyncio.sleep(0)
        finally:
            self.ended.append("busy")

    def thread(self) -> Iterator[str]:
        while True:
            yield "data: 1\n\n"


async def revoke(tester: Tester, login: Login[UserSession]) -> None:
    assert await tester.sessions.revoke(login.id)


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
@pytest.mark.parametrize("kind", ["idle", "said", "busy", "thread"])
async def test_a_stream_ends_with_its_session(tester: Tester, kind: str, spec: str) -> None:
    """The client gets the whole of a complete answer, the generator's `finally` runs, and the server sees no error."""
    login, ticks = await tester.login(UserSession()), Ticks()
    app = application(tester, lambda _: StreamingResponse(getattr(ticks, kind)(), media_type="text/event-stream"))
    async with HTTPDriver(app, login.token, spec=spec) as driver:
        assert watch_of(tester.sessions).count == 1
        await revoke(tester, login)
        sent = await driver.ended()
    assert (sent[-1], sent.count(LAST)) == (LAST, 1)
    if kind != "thread":
        await until(lambda: ticks.ended == [kind])  # one that was not waiting is closed by the event loop
    assert watch_of(tester.sessions).count == 0


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
async def test_a_stream_behind_a_middleware_of_starlettes_base_class_ends(tester: Tester, spec: str) -> None:
    """`BaseHTTPMiddleware` runs the application in a task of its own. This package's wrapper is within it."""
    login, ticks = await tester.login(UserSession()), Ticks()
    app = application(tester, lambda _: StreamingResponse(ticks.said()), middleware=[])

    @app.middleware("http")
    async def outside(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        return await call_next(request)

    async with tester.sessions.lifespan(app), HTTPDriver(app, login.token, spec=spec) as driver:
        await until(lambda: len(driver.sent) > 1)
        await revoke(tester, login)
        sent = await driver.ended()
    assert sent[-1]["more_body"] is False
    assert ticks.ended == ["said"]


async def test_server_sent_events_of_fastapi_end(tester: Tester) -> None:
    """`EventSourceResponse` and a `yield` in the endpoint."""
    sse = pytest.importorskip("fastapi.sse")
    login, app, ended = await tester.login(UserSession()), FastAPI(), list[str]()

    @app.get("/", response_class=sse.EventSourceResponse)
    async def events(
        session: Annotated[UserSession, Depends(tester.sessions.get_session)],
    ) -> AsyncIterator[dict[str, int]]:
        try:
            yield {"tick": 1}
            await asyncio.Event().wait()
        finally:
            ended.append("events")

    async with tester.sessions.lifespan(app), HTTPDriver(app, login.token) as driver:
        await until(lambda: len(driver.sent) > 1)
        await revoke(tester, login)
        sent = await driver.ended()
    assert (sent[-1], sent.count(LAST), ended) == (LAST, 1, ["events"])


async def test_a_stream_of_a_mounted_application_ends_once(tester: Tester) -> None:
    """Both applications have the middleware."""
    login, ticks = await tester.login(UserSession()), Ticks()
    app = FastAPI(middleware=[Middleware(SessionMiddleware)])
    app.mount("/inner", application(tester, lambda _: StreamingResponse(ticks.said())))
    async with HTTPDriver(app, login.token, "/inner/") as driver:
        assert watch_of(tester.sessions).count == 1
        await revoke(tester, login)
        sent = await driver.ended()
    assert (sent.count(LAST), ticks.ended) == (1, ["said"])


@pytest.mark.parametrize("token", [True, False])
async def test_an_answer_that_is_not_streamed_is_not_watched(tester: Tester, token: bool) -> None:
    """One with a length, also in several parts; one without a body; a stream without a session."""
    login = await tester.login(UserSession())
    answers: list[Callable[[], Response]] = [
        lambda: JSONResponse({}),
        lambda: StreamingResponse(iter(["a", "b"]), headers={"content-length": "2"}),
        lambda: Response(status_code=204),
        lambda: Response(status_code=304),
    ]
    if not token:
        answers.append(lambda: StreamingResponse(iter(["a", "b"])))
    counts: list[int] = []

    def answer(_: object) -> Response:
        made = answers[len(counts)]()
        made.background = BackgroundTask(lambda: None)
        return made

    class Counting(HTTPDriver):
        async def send(self, message: Any) -> None:
            self.most = max(getattr(self, "most", 0), watch_of(tester.sessions).count)
            await super().send(message)

    for _ in answers:
        async with Counting(application(tester, answer), login.token if token else None) as driver:
            await driver.ended()
        counts.append(driver.most)
    assert counts == [0] * len(answers)


async def test_a_background_task_is_not_cancelled(tester: Tester) -> None:
    """It runs after the answer is complete: the session's end does not concern it."""
    login, done, gate = await tester.login(UserSession()), list[str](), asyncio.Event()

    async def later() -> None:
        await gate.wait()
        done.append("done")

    def answer(_: object) -> Response:
        return StreamingResponse(iter(["a"]), background=BackgroundTask(later))

    async with HTTPDriver(application(tester, answer), login.token) as driver:
        await until(lambda: LAST in driver.sent)
        await revoke(tester, login)
        for _ in range(20):
            await asyncio.sleep(0)
        gate.set()
        await driver.ended()
    assert done == ["done"]


async def test_a_stream_that_holds_on_is_over_all_the_same(tester: Tester) -> None:
    """A generator that swallows its cancellation can send nothing more, as after a client's disconnect."""
    login, app_errors = await tester.login(UserSession()), list[BaseException]()

    async def stubborn() -> AsyncIterator[str]:
        yield "one"
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        yield "two"

    app = application(tester, lambda _: StreamingResponse(stubborn()))
    async with HTTPDriver(app, login.token) as driver:
        await revoke(tester, login)
        sent = await driver.ended()
    assert [each["body"] for each in sent] == [b"one", b""]
    assert driver.task.cancelling() == 0
    assert app_errors == []


async def test_a_failure_and_a_cancellation_stay_what_they_are(tester: Tester) -> None:
    """A stream that fails, also because of its end, raises; one that the server cancels is cancelled."""

    async def fails() -> AsyncIterator[str]:
        try:
            yield "one"
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    app = application(tester, lambda _: StreamingResponse(fails()))
    login = await tester.login(UserSession())
    async with HTTPDriver(app, login.token) as driver:
        await revoke(tester, login)
        with pytest.raises(ZeroDivisionError):
            await driver.ended()
        assert LAST in driver.sent
    for ends in (False, True):
        login, ticks = await tester.login(UserSession()), Ticks()
        async with HTTPDriver(application(tester, lambda _: StreamingResponse(ticks.said())), login.token) as driver:  # noqa: B023
            if ends:
                await revoke(tester, login)
            driver.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await driver.task
    assert watch_of(tester.sessions).count == 0


async def test_a_client_that_leaves_is_no_end(tester: Tester) -> None:
    """The server's `OSError` is passed on as always."""
    login, ticks = await tester.login(UserSession()), Ticks()
    async with HTTPDriver(application(tester, lambda _: StreamingResponse(ticks.busy())), login.token) as driver:
        driver.error = OSError("the client has left")
        with pytest.raises(ClientDisconnect):
            await driver.ended()
    assert watch_of(tester.sessions).count == 0


async def test_streams_leave_nothing_behind(tester: Tester) -> None:
    """No manager and no task, and nothing waits for the garbage collector."""
    kept, before = weakref.WeakSet[object](), asyncio.all_tasks()

    def answer(manager: Manager) -> Response:
        kept.add(manager)
        return StreamingResponse(Ticks().said() if len(kept) % 2 else iter(["a"]))

    app = application(tester, answer)
    for _ in range(20):
        login = await tester.login(UserSession())
        async with HTTPDriver(app, login.token) as driver:
            await revoke(tester, login)
            await driver.ended()
    del driver
    gc.collect()
    for _ in range(20):
        await asyncio.sleep(0)
    assert (watch_of(tester.sessions).count, len(kept), asyncio.all_tasks() - before) == (0, 0, set())


async def test_a_stream_that_is_complete_leaves_nothing_to_the_collector(tester: Tester) -> None:
    """Reference counting frees its request's manager, and so the session, when the request has ended."""
    kept: list[weakref.ref[Manager]] = []

    async def parts() -> AsyncIterator[str]:
        yield "a"

    def answer(manager: Manager) -> Response:
        kept.append(weakref.ref(manager))
        return StreamingResponse(parts())

    app, login = application(tester, answer), await tester.login(UserSession())
    gc.collect()
    gc.disable()
    try:
        assert (await call(app, scope_of(headers=[("authorization", f"Bearer {login.token}")]))).body == b"a"
        assert kept[0]() is None
    finally:
        gc.enable()


# --- blocks of one's own ---------------------------------------------------------------------------------------------


async def test_a_block_ends_with_the_session(tester: Tester) -> None:
    """The code after it runs, without an error and without a cancellation that is still to come."""
    login = await tester.login(UserSession())
    manager, seen = await tester.manager(login.token), list[str]()

    async def loop() -> int:
        async with tester.sessions.until_ended(manager):
            try:
                await asyncio.Event().wait()
            finally:
                seen.append("cancelled")
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    task = asyncio.ensure_future(loop())
    await until(lambda: watch_of(tester.sessions).count)
    await revoke(tester, login)
    assert (await asyncio.wait_for(task, 5), seen) == (0, ["cancelled"])
    assert watch_of(tester.sessions).count == 0


async def test_a_block_that_finishes_first_is_left_as_usual(tester: Tester) -> None:
    """Its errors are raised, and the later end of the session cancels nobody."""
    login = await tester.login(UserSession())
    manager = await tester.manager(login.token)
    async with tester.sessions.until_ended(manager):
        pass
    with pytest.raises(ZeroDivisionError):
        async with tester.sessions.until_ended(manager):
            raise ZeroDivisionError
    await revoke(tester, login)
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_block_that_the_garbage_collector_closes_raises_nothing(tester: Tester) -> None:
    """The collector has cleared the weak references to the block's task by then."""
    login, errors = await tester.login(UserSession()), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    manager, closed = await tester.sessions.authenticate(login.token), asyncio.Event()

    async def ticks(own: list[Any]) -> AsyncIterator[None]:
        try:
            async with tester.sessions.until_ended(manager):
                while True:
                    yield
        finally:
            closed.set()

    async def read() -> None:
        own: list[Any] = []
        own.append(ticks(own))  # a cycle
        await anext(own[0])
        await asyncio.Event().wait()

    reader = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    await revoke(tester, login)
    await asyncio.wait([reader])
    del reader
    gc.collect()
    await closed.wait()
    await asyncio.sleep(0)
    gc.collect()
    assert errors == []


async def test_a_block_needs_a_session(tester: Tester) -> None:
    """Without one it raises what `get_session` would raise."""
    login = await tester.login(UserSession())
    manager = await tester.manager(login.token)
    await manager.destroy()
    with pytest.raises(SessionNotFoundError):
        async with tester.sessions.until_ended(manager):
            raise AssertionError


async def test_a_cancellation_from_elsewhere_is_not_swallowed(tester: Tester) -> None:
    """Also at the moment of the end, and by `asyncio.timeout`."""
    for ends in (False, True):
        login = await tester.login(UserSession())
        manager = await tester.manager(login.token)

        async def loop() -> None:
            async with tester.sessions.until_ended(manager):  # noqa: B023
                await asyncio.Event().wait()

        task = asyncio.ensure_future(loop())
        await until(lambda: watch_of(tester.sessions).count)
        if ends:
            await revoke(tester, login)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    login = await tester.login(UserSession())
    manager = await tester.manager(login.token)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0), tester.sessions.until_ended(manager):
            await asyncio.Event().wait()


async def test_a_block_in_what_ends_by_itself_changes_nothing(tester: Tester) -> None:
    """Around a receive and in a stream two ends come at the same moment: one end is seen."""
    login, seen = await tester.login(UserSession()), list[str]()
    app = FastAPI(middleware=[Middleware(SessionMiddleware)])
    manager_ = Annotated[Manager, Depends(tester.sessions.get_manager)]

    def note(name: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        seen.append(f"{name} {task.cancelling()}")

    @app.websocket("/")
    async def listen(websocket: WebSocket, manager: manager_) -> None:
        await websocket.accept()
        async with tester.sessions.until_ended(manager):
            await websocket.receive_text()
        note("after the block")

    @app.get("/stream")
    async def stream(manager: manager_) -> Response:
        async def ticks() -> AsyncIterator[str]:
            yield "one"
            async with tester.sessions.until_ended(manager):
                await asyncio.Event().wait()

        return StreamingResponse(ticks())

    async with Driver(app, login.token) as driver:
        await revoke(tester, login)
        assert [each["code"] for each in await driver.ended()] == [1008]
        assert driver.task.cancelling() == 0
    login = await tester.login(UserSession())
    async with HTTPDriver(app, login.token, "/stream") as http:
        await until(lambda: len(http.sent) > 1 and watch_of(tester.sessions).count == 2)
        await revoke(tester, login)
        assert (await http.ended())[-1] == LAST
        assert http.task.cancelling() == 0
    assert seen == ["after the block 0"]
    assert watch_of(tester.sessions).count == 0


async def test_a_block_in_a_stream_whose_client_is_slow_ends_with_it(tester: Tester) -> None:
    """The generator waits for its reader when the session ends: it is closed, and the server sees no cancellation."""
    login, ended = await tester.login(UserSession()), asyncio.Event()
    full = asyncio.Event()

    async def ticks(manager: Manager) -> AsyncIterator[str]:
        try:
            async with tester.sessions.until_ended(manager):
                while True:
                    yield "data: 1\n\n"
        finally:
            ended.set()

    class Slow(HTTPDriver):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if message.get("body"):
                full.set()
                await asyncio.Event().wait()

    app = application(tester, lambda manager: StreamingResponse(ticks(manager)))
    async with Slow(app, login.token) as driver:
        await full.wait()
        await revoke(tester, login)
        assert (await driver.ended())[-1] == LAST
    await ended.wait()


async def test_a_socket_that_only_pushes_ends_by_a_block(tester: Tester) -> None:
    """It waits for something else than messages, so nothing but the block tells it of the end."""
    login, after = await tester.login(UserSession()), list[str]()
    app = FastAPI(middleware=[Middleware(SessionMiddleware)])

    @app.websocket("/")
    async def push(websocket: WebSocket, manager: Annotated[Manager, Depends(tester.sessions.get_manager)]) -> None:
        await websocket.accept()
        async with tester.sessions.until_ended(manager):
            await asyncio.Event().wait()
        after.append("after")

    async with Driver(app, login.token) as driver:
        await revoke(tester, login)
        assert [each["code"] for each in await driver.ended()] == [1008]
    assert after == ["after"]
