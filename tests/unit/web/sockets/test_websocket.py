"""Tests of jwtsession.web.sockets: sockets that end with their session, by a driver made by hand."""

import asyncio
import contextlib
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from jwtsession import Claims, Session, SessionManager, SessionMiddleware, SessionProvider
from jwtsession.sessions import SessionWatch
from jwtsession.testing import AsyncSessionTester, Clock, InspectableStore, Login
from tests.conftest import SECRET
from tests.parts import parts_of


class UserSession(Session):
    text: str = ""


Provider = SessionProvider[UserSession, Claims]
Endpoint = Callable[[WebSocket, SessionManager[UserSession, Claims]], Awaitable[None]]
CLOSE = {"type": "websocket.close", "code": 1008, "reason": "Session ended"}


class CountingStore(InspectableStore):
    """Counts what it is asked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.calls: list[str] = []

    async def touch(self, session_id: str, ttl: int) -> bool:
        self.calls.append("touch")
        return await super().touch(session_id, ttl)

    async def remaining(self, session_ids: Sequence[str]) -> list[int]:
        self.calls.append("remaining")
        return await super().remaining(session_ids)


@pytest.fixture
def store(clock: Clock) -> CountingStore:
    return CountingStore(clock)


@pytest.fixture
async def tester(store: CountingStore, clock: Clock) -> AsyncIterator[AsyncSessionTester[UserSession, Claims]]:
    async with AsyncSessionTester(made(store, clock)) as tester:
        yield tester


Tester = AsyncSessionTester[UserSession, Claims]


def made(store: InspectableStore, clock: Clock, **settings: Any) -> Provider:
    return SessionProvider(UserSession, secret=SECRET, store=store, clock=clock, **settings)


def watch_of(provider: Provider) -> SessionWatch:
    (found,) = parts_of(provider, SessionWatch)
    return found


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


class Driver:
    """A server for one socket: what the client sends is put into a queue, what the application sends is a list."""

    def __init__(self, app: FastAPI, token: str | None = None, path: str = "/") -> None:
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "subprotocols": [],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
            "scheme": "ws",
            "extensions": {"websocket.http.response": {}},
        }
        self.app = app
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.error: Exception | None = None

    async def __aenter__(self) -> "Driver":
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(self.app(self.scope, self.incoming.get, self.send))
        await settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.task.cancel():
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    async def send(self, message: Any) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(message)

    def say(self, text: str) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "text": text})

    async def ended(self) -> list[dict[str, Any]]:
        """What was sent after the accept, when the application has returned."""
        await asyncio.wait_for(self.task, 2)
        return self.sent[1:]


def application(sessions: Provider, endpoint: Endpoint) -> FastAPI:
    app = FastAPI(middleware=[Middleware(SessionMiddleware)])

    @app.websocket("/")
    async def run(
        websocket: WebSocket,
        manager: Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)],
    ) -> None:
        await endpoint(websocket, manager)

    return app


class Heard:
    """An endpoint that waits for messages, and what it got."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.end: tuple[int, str] | None = None

    async def __call__(self, websocket: WebSocket, manager: SessionManager[UserSession, Claims]) -> None:
        await websocket.accept()
        try:
            while True:
                self.texts.append(await websocket.receive_text())
        except WebSocketDisconnect as error:
            self.end = error.code, error.reason


async def revoke(tester: Tester, login: Login[UserSession]) -> None:
    assert await tester.sessions.revoke(login.id)


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_the_end_reaches_an_endpoint_that_waits_for_messages(tester: Tester) -> None:
    """The client gets a close with 1008, once, and the endpoint's receive raises `WebSocketDisconnect(1008)`."""
    login, heard = await tester.login(UserSession()), Heard()
    async with Driver(application(tester.sessions, heard), login.token) as driver:
        driver.say("hello")
        await settle()
        await revoke(tester, login)
        assert await driver.ended() == [CLOSE]
    assert (heard.texts, heard.end) == (["hello"], (1008, "Session ended"))
    assert watch_of(tester.sessions).count == 0


async def test_an_end_elsewhere_is_found_by_the_look(tester: Tester, store: CountingStore) -> None:
    """Nobody told this worker."""
    login, heard = await tester.login(UserSession()), Heard()
    async with Driver(application(tester.sessions, heard), login.token) as driver:
        await store.destroy(login.id)
        await watch_of(tester.sessions).look()
        assert await driver.ended() == [CLOSE]


async def test_a_message_that_has_arrived_is_read_before_the_end(tester: Tester) -> None:
    """The endpoint gets the whole message first, then the disconnect."""
    login, heard = await tester.login(UserSession()), Heard()
    async with Driver(application(tester.sessions, heard), login.token) as driver:
        driver.say("last words")
        await revoke(tester, login)
        await driver.ended()
    assert (heard.texts, heard.end) == (["last words"], (1008, "Session ended"))


async def test_the_end_reaches_an_endpoint_that_only_sends(tester: Tester) -> None:
    """Its next send raises `WebSocketDisconnect(1006)`, as after a client's disconnect; nothing follows the close."""
    login, codes = await tester.login(UserSession()), list[int]()

    async def busy(websocket: WebSocket, _: object) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("tick")
                await asyncio.sleep(0)
        except WebSocketDisconnect as error:
            codes.append(error.code)
            raise

    async with Driver(application(tester.sessions, busy), login.token) as driver:
        await revoke(tester, login)
        sent = await driver.ended()
    assert (sent[-1], sent.count(CLOSE), codes) == (CLOSE, 1, [1006])
    assert {each["type"] for each in sent[:-1]} == {"websocket.send"}


async def test_the_close_comes_after_a_message_that_is_being_sent(tester: Tester) -> None:
    """A server may wait in the middle of a message, until the client has read."""
    login, gate = await tester.login(UserSession()), asyncio.Event()

    async def endpoint(websocket: WebSocket, _: object) -> None:
        await websocket.accept()
        await websocket.send_text("long")
        await websocket.receive_text()

    class Slow(Driver):
        async def send(self, message: Any) -> None:
            if message["type"] == "websocket.send":
                await gate.wait()
            await super().send(message)

    async with Slow(application(tester.sessions, endpoint), login.token) as driver:
        await revoke(tester, login)
        await settle()
        assert len(driver.sent) == 1
        gate.set()
        assert await driver.ended() == [{"type": "websocket.send", "text": "long"}, CLOSE]


async def test_the_end_reaches_the_tasks_of_a_group(tester: Tester, caplog: pytest.LogCaptureFixture) -> None:
    """The reader gets the disconnect, which cancels the writer; an endpoint that lets it pass has not failed."""
    login, cancelled = await tester.login(UserSession()), list[str]()

    async def write() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("writer")
            raise

    async def endpoint(websocket: WebSocket, _: object) -> None:
        await websocket.accept()
        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            group.create_task(websocket.receive_text())

    async with Driver(application(tester.sessions, endpoint), login.token) as driver:
        await revoke(tester, login)
        assert await driver.ended() == [CLOSE]
    assert cancelled == ["writer"]


async def test_another_error_of_the_endpoint_is_not_hidden(tester: Tester) -> None:
    """What it raises after the end, other than its disconnect, is raised."""
    login = await tester.login(UserSession())

    async def endpoint(websocket: WebSocket, _: object) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        finally:
            raise ExceptionGroup("", [WebSocketDisconnect(1008), ZeroDivisionError()])

    async with Driver(application(tester.sessions, endpoint), login.token) as driver:
        await revoke(tester, login)
        with pytest.raises(ExceptionGroup):
            await driver.ended()
        assert driver.sent[1:] == [CLOSE]


async def test_an_endpoints_own_close_after_the_end_is_nothing(tester: Tester) -> None:
    """One close is sent. A second receive gets the same end."""
    login = await tester.login(UserSession())

    async def endpoint(websocket: WebSocket, _: object) -> None:
        await websocket.accept()
        assert (await websocket.receive())["code"] == 1008
        await websocket.close(1000)

    async with Driver(application(tester.sessions, endpoint), login.token) as driver:
        await revoke(tester, login)
        assert await driver.ended() == [CLOSE]


async def test_a_client_that_leaves_at_the_same_time_gets_no_close(tester: Tester) -> None:
    """Its disconnect that was read first counts; a server that refuses the close then is no error."""
    login, heard = await tester.login(UserSession()), Heard()
    async with Driver(application(tester.sessions, heard), login.token) as driver:
        driver.incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await revoke(tester, login)
        assert await driver.ended() == []
    assert heard.end == (1001, "")
    async with Driver(
        application(tester.sessions, heard), (login := await tester.login(UserSession())).token
    ) as driver:
        driver.error = OSError("the client has left")
        await revoke(tester, login)
        assert await driver.ended() == []
    assert heard.end == (1008, "Session ended")


async def test_a_server_that_refuses_the_code_sends_an_applications_code(tester: Tester) -> None:
    """Daphne sends only 1000 and codes from 3000 on: 1008 becomes 4008. Also for an error after `accept()`."""

    class Refusing(Driver):
        async def send(self, message: Any) -> None:
            if message.get("code", 1000) in range(1001, 3000):
                raise ValueError("invalid close code")
            await super().send(message)

    async def fails(websocket: WebSocket, manager: SessionManager[UserSession, Claims]) -> None:
        await websocket.accept()
        await manager.touch()

    login = await tester.login(UserSession())
    async with Refusing(application(tester.sessions, Heard()), login.token) as driver:
        await revoke(tester, login)
        assert await driver.ended() == [CLOSE | {"code": 4008}]
    async with Refusing(application(tester.sessions, fails)) as driver:
        assert await driver.ended() == [CLOSE | {"code": 4008, "reason": "401 Unauthorized"}]


@pytest.mark.parametrize("extensions", [None, {}, {"websocket.http.response": {}}])
async def test_a_handshake_is_refused_as_the_server_can_do_it(tester: Tester, extensions: Any) -> None:
    """By the application's own response; on a server that takes none (Daphne) by a close, which it sends as a 403."""

    async def needs_a_session(websocket: WebSocket, manager: SessionManager[UserSession, Claims]) -> None:
        manager.require()

    driver = Driver(application(tester.sessions, needs_a_session))
    driver.scope["extensions"] = extensions
    if extensions is None:
        del driver.scope["extensions"]
    async with driver:
        await asyncio.wait_for(driver.task, 2)
    if extensions:
        assert [message.get("status") for message in driver.sent] == [401, None]
    else:
        assert driver.sent == [{"type": "websocket.close"}]


async def test_a_cancellation_of_the_socket_stays_one(tester: Tester) -> None:
    """A server that shuts down cancels the endpoint, also at the moment of the end."""
    login, heard = await tester.login(UserSession()), Heard()
    for ends in (False, True):
        async with Driver(application(tester.sessions, heard), login.token) as driver:
            if ends:
                await revoke(tester, login)
            driver.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await driver.task
    assert heard.end is None


async def test_a_timeout_of_the_endpoints_own_still_works(tester: Tester) -> None:
    """`asyncio.timeout` around a receive: the end within it is a disconnect, not a `TimeoutError`."""
    login, found = await tester.login(UserSession()), list[object]()

    async def endpoint(websocket: WebSocket, _: object) -> None:
        await websocket.accept()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await websocket.receive_text()
        async with asyncio.timeout(60):
            try:
                await websocket.receive_text()
            except WebSocketDisconnect as error:
                found.append(error.code)
        task = asyncio.current_task()
        assert task is not None
        found.append(task.cancelling())

    async with Driver(application(tester.sessions, endpoint), login.token) as driver:
        await revoke(tester, login)
        await driver.ended()
    assert found == [1008, 0]


async def test_an_outage_closes_with_1013(tester: Tester, store: CountingStore, clock: Clock) -> None:
    """Never with 1008: the client may come back with the same token."""
    login, heard = await tester.login(UserSession()), Heard()

    async def fail(_: object) -> list[int]:
        raise OSError

    async with Driver(application(tester.sessions, heard), login.token) as driver:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "remaining", fail)
            patch.setattr("jwtsession.sessions.watch.session_watch.OUTAGE_SECONDS", -1.0)
            watch = watch_of(tester.sessions)
            await watch.look()
            await watch.look()
            sent = await driver.ended()
    assert [each["code"] for each in sent] == [1013]
    assert heard.end == (1013, "Session store unavailable")


async def test_the_closing_code_is_a_setting(store: CountingStore, clock: Clock) -> None:
    """Of the provider whose session ended; a socket of two providers ends with the first."""
    first = made(store, clock, token_sources=["bearer"], websocket={"close_code": 4001})
    second = made(InspectableStore(clock), clock, request_key="other", token_sources=["header"])
    app, ends = FastAPI(middleware=[Middleware(SessionMiddleware)]), list[int]()

    @app.websocket("/")
    async def run(
        websocket: WebSocket,
        one: Annotated[UserSession, Depends(first.get_session)],
        two: Annotated[UserSession, Depends(second.get_session)],
    ) -> None:
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.receive_text()

    async with AsyncSessionTester(first) as tester, second:
        scope = {"type": "http", "headers": [], "query_string": b""}
        manager = await second.get_manager(Request(scope))
        for ending in (first, second):
            login = await tester.login(UserSession())
            token = (await manager.create(UserSession())).access_token
            driver = Driver(app, login.token)
            driver.scope["headers"].append((b"x-access-token", str(token).encode()))
            async with driver:
                session_id = login.id if ending is first else manager.id
                assert session_id is not None
                await ending.revoke(session_id)
                ends += [each["code"] for each in await driver.ended()]
        assert (watch_of(first).count, watch_of(second).count) == (0, 0)
    assert ends == [4001, 1008]


# --- the endpoint's own verbs ----------------------------------------------------------------------------------------


async def test_destroy_ends_the_own_socket(tester: Tester) -> None:
    """As a log-out elsewhere does."""
    login = await tester.login(UserSession())

    async def endpoint(websocket: WebSocket, manager: SessionManager[UserSession, Claims]) -> None:
        await websocket.accept()
        await manager.destroy()
        await websocket.receive_text()

    async with Driver(application(tester.sessions, endpoint), login.token) as driver:
        assert await driver.ended() == [CLOSE]


@pytest.mark.parametrize("verb", ["create", "regenerate"])
async def test_a_new_id_by_its_own_endpoint_keeps_the_socket(tester: Tester, verb: str) -> None:
    """The socket lives with the new session, and ends with it."""
    login = await tester.login(UserSession())

    async def endpoint(websocket: WebSocket, manager: SessionManager[UserSession, Claims]) -> None:
        await websocket.accept()
        await (manager.create(UserSession()) if verb == "create" else manager.regenerate())
        await websocket.send_text(str(manager.id))
        await websocket.receive_text()

    async with Driver(application(tester.sessions, endpoint), login.token) as driver:
        await watch_of(tester.sessions).look()
        await settle()
        assert len(driver.sent) == 2
        assert await tester.sessions.revoke(driver.sent[1]["text"])
        assert (await driver.ended())[1:] == [CLOSE]


async def test_regenerate_by_another_request_keeps_the_socket(tester: Tester) -> None:
    """Of the same user: a rotation of the id. Messages go on counting as uses of the session."""
    login, heard = await tester.login(UserSession(), Claims(sub="ada")), Heard()
    async with Driver(application(tester.sessions, heard), login.token) as driver:
        other = await tester.manager(login.token)
        await other.regenerate()
        await watch_of(tester.sessions).look()
        driver.say("still here")
        await settle()
        assert (heard.texts, len(driver.sent)) == (["still here"], 1)
        await other.destroy()
        assert await driver.ended() == [CLOSE]


async def test_the_manager_of_a_socket_that_stays_has_the_new_token(tester: Tester) -> None:
    """After a `regenerate()` by another request the endpoint's verbs work, and it sees the claims as they are now."""
    login = await tester.login(UserSession(), Claims(sub="ada", scope="admin"))
    held: list[SessionManager[UserSession, Claims]] = []

    async def endpoint(websocket: WebSocket, manager: SessionManager[UserSession, Claims]) -> None:
        held.append(manager)
        await websocket.accept()
        async for _ in websocket.iter_text():
            (await manager.reload()).text += "!"
            await manager.update()

    async with Driver(application(tester.sessions, endpoint), login.token) as driver:
        other = await tester.manager(login.token)
        await other.regenerate(UserSession(text="moved"), Claims(sub="ada", scope="read"))
        driver.say("go on")
        await settle()
        assert len(driver.sent) == 1
        (manager,) = held
        assert (manager.id, manager.token) == (other.id, other.token)
        assert manager.claims is not None
        assert manager.claims.scope == "read"
        assert (await other.reload()).text == "moved!"


async def test_a_visitors_socket_ends_when_the_visitor_logs_in_elsewhere(tester: Tester) -> None:
    """Who planted the visitor's token keeps no socket of the user's session."""
    login, heard = await tester.login(UserSession()), Heard()
    async with Driver(application(tester.sessions, heard), login.token) as driver:
        await (await tester.manager(login.token)).regenerate(claims=Claims(sub="ada"))
        assert await driver.ended() == [CLOSE]


async def test_a_login_elsewhere_ends_the_socket_of_the_session_before(tester: Tester) -> None:
    """`create()` ends the session that its request came with."""
    login, heard = await tester.login(UserSession()), Heard()
    async with Driver(application(tester.sessions, heard), login.token) as driver:
        await (await tester.manager(login.token)).create(UserSession())
        assert await driver.ended() == [CLOSE]


async def test_a_socket_that_logs_in_is_watched_from_then_on(tester: Tester) -> None:
    """Before, it has no session and costs the store nothing."""

    async def endpoint(websocket: WebSocket, manager: SessionManager[UserSession, Claims]) -> None:
        await websocket.accept()
        await websocket.receive_text()
        await manager.create(UserSession())
        await websocket.send_text(str(manager.id))
        await websocket.receive_text()

    async with Driver(application(tester.sessions, endpoint)) as driver:
        assert watch_of(tester.sessions).count == 0
        driver.say("log in")
        await settle()
        assert watch_of(tester.sessions).count == 1
        await tester.sessions.revoke(driver.sent[1]["text"])
        assert (await driver.ended())[1:] == [CLOSE]


async def test_a_session_that_ends_before_accept_ends_the_socket_after_it(tester: Tester, store: CountingStore) -> None:
    """A slow endpoint: the handshake is accepted, then closed."""
    login, gate = await tester.login(UserSession()), asyncio.Event()

    async def endpoint(websocket: WebSocket, _: object) -> None:
        await gate.wait()
        await websocket.accept()
        await websocket.receive_text()

    async with Driver(application(tester.sessions, endpoint), login.token) as driver:
        await store.destroy(login.id)
        gate.set()
        assert await driver.ended() == [CLOSE]


async def test_a_mounted_application_closes_once(tester: Tester) -> None:
    """Both applications have the middleware."""
    heard, app = Heard(), FastAPI(middleware=[Middleware(SessionMiddleware)])
    app.mount("/inner", application(tester.sessions, heard))

    @app.websocket("/")
    async def own(websocket: WebSocket, session: Annotated[UserSession, Depends(tester.sessions.get_session)]) -> None:
        await websocket.accept()
        await websocket.receive_text()

    for path in ("/", "/inner/", "/inner/", "/"):
        login = await tester.login(UserSession())
        async with Driver(app, login.token, path) as driver:
            assert watch_of(tester.sessions).count == 1
            await revoke(tester, login)
            assert await driver.ended() == [CLOSE]


# --- uses ------------------------------------------------------------------------------------------------------------


async def test_messages_of_the_client_restart_the_idle_timeout(
    tester: Tester, store: CountingStore, clock: Clock
) -> None:
    """Once in `touch_interval` and not at all right after the handshake, which was a use itself."""
    login, heard = await tester.login(UserSession()), Heard()
    async with Driver(application(tester.sessions, heard), login.token) as driver:
        for seconds, touches in ((0, 0), (59, 0), (1, 1), (59, 1), (1, 2)):
            clock.advance(seconds)
            for _ in range(10):
                driver.say("?")
            await settle()
            assert store.calls.count("touch") == touches
    assert store.contents[login.id].expires == clock.now + 86_400


async def test_messages_on_a_socket_that_only_peeks_are_no_use(
    tester: Tester, store: CountingStore, clock: Clock
) -> None:
    """`peek_session`: what a script sends by itself does not keep the session, as its polling does not."""
    login, app = await tester.login(UserSession()), FastAPI(middleware=[Middleware(SessionMiddleware)])

    @app.websocket("/")
    async def echo(websocket: WebSocket, _: Annotated[UserSession, Depends(tester.sessions.peek_session)]) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text(await websocket.receive_text())

    async with Driver(app, login.token) as driver:
        clock.advance(3600)
        driver.say("beat")
        await settle()
        assert (len(driver.sent), "touch" in store.calls) == (2, False)


async def test_a_use_that_the_store_does_not_answer_breaks_nothing(
    tester: Tester, store: CountingStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The messages arrive."""

    async def fail(*_: object) -> bool:
        raise OSError

    login, heard = await tester.login(UserSession()), Heard()
    monkeypatch.setattr(store, "touch", fail)
    async with Driver(application(tester.sessions, heard), login.token) as driver:
        clock.advance(60)
        driver.say("one")
        driver.say("two")
        await settle()
        assert (heard.texts, len(driver.sent)) == (["one", "two"], 1)


async def test_messages_count_for_nothing_if_the_setting_is_off(store: CountingStore, clock: Clock) -> None:
    """`keeps_alive=False`: a socket alone does not keep its session."""
    sessions = made(store, clock, websocket={"keeps_alive": False})
    async with AsyncSessionTester(sessions) as tester:
        login, heard = await tester.login(UserSession()), Heard()
        async with Driver(application(sessions, heard), login.token) as driver:
            clock.advance(3600)
            driver.say("?")
            await settle()
            assert "touch" not in store.calls
            clock.advance(86_400)
            await watch_of(sessions).look()
            assert await driver.ended() == [CLOSE]


# --- nothing stays ---------------------------------------------------------------------------------------------------


async def test_sockets_leave_nothing_behind(tester: Tester, caplog: pytest.LogCaptureFixture) -> None:
    """Left by their clients, ended with their sessions, failed, or cancelled: no manager is kept."""
    kept = weakref.WeakSet[object]()
    before = asyncio.all_tasks()

    async def endpoint(websocket: WebSocket, manager: SessionManager[UserSession, Claims]) -> None:
        kept.add(manager)
        await websocket.accept()
        if await websocket.receive_text() == "fail":
            raise ZeroDivisionError

    app = application(tester.sessions, endpoint)
    for number in range(60):
        login = await tester.login(UserSession())
        async with Driver(app, login.token) as driver:
            if number % 4 == 0:
                await revoke(tester, login)
            elif number % 4 == 1:
                driver.incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
            elif number % 4 == 2:
                driver.say("fail")
            if number % 4 != 3:
                with contextlib.suppress(ZeroDivisionError, WebSocketDisconnect):
                    await driver.ended()
    del driver
    await settle()
    gc.collect()
    assert (watch_of(tester.sessions).count, len(kept)) == (0, 0)
    assert asyncio.all_tasks() == before


def test_starlettes_test_client_sees_the_close(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An application's own tests see what a client sees."""
    sessions = made(InspectableStore(clock), clock)
    app = application(sessions, Heard())
    app.router.lifespan_context = sessions.lifespan  # type: ignore[assignment]

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]) -> Any:
        return await manager.create(UserSession())

    @app.delete("/session")
    async def log_out(manager: Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]) -> None:
        await manager.destroy()

    with TestClient(app) as client:
        headers = {"Authorization": f"Bearer {client.post('/session').json()['access_token']}"}
        with client.websocket_connect("/", headers=headers) as socket:
            client.delete("/session", headers=headers)
            with pytest.raises(WebSocketDisconnect) as ended:
                socket.receive_text()
    assert (ended.value.code, ended.value.reason) == (1008, "Session ended")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
