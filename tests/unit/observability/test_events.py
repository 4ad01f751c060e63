"""Tests of jwtsession.observability.events: events reach the log and the hook, and never a request."""

import logging
import threading
import time
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.testclient import TestClient

from jwtsession import (
    Claims,
    ConfigurationError,
    MemorySessionStore,
    Session,
    SessionEvent,
    SessionManager,
    SessionProvider,
    Token,
)
from jwtsession._ids import handle_of
from jwtsession.observability.events import AuditTrail, client_address
from jwtsession.testing import InspectableStore
from tests import servers
from tests.conftest import SECRET
from tests.security.forge import genuine
from tests.web import InProcess, bearer

ID = "an-id-of-nobody-in-particular"
EVENT = SessionEvent("created", handle_of(ID))


def hook_thread() -> threading.Thread:
    """The thread of the trail that was opened last."""
    return [each for each in threading.enumerate() if each.name == "jwtsession-audit"][-1]


def application(**options: Any) -> FastAPI:
    sessions = SessionProvider(**({"secret": SECRET, "store": MemorySessionStore()} | options))
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]
    fresh = sessions.require_fresh(0)

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create({"name": "ann"}, Claims(scope="a"))

    @app.get("/session")
    async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> None: ...

    @app.get("/optional")
    async def optional(session: Annotated[Session | None, Depends(sessions.get_optional_session)]) -> None: ...

    @app.get("/scope")
    async def scope(session: Annotated[Session, Security(sessions.get_session, scopes=["b"])]) -> None: ...

    @app.get("/fresh")
    async def sensitive(session: Annotated[Session, Depends(fresh)]) -> None: ...

    @app.post("/id")
    async def regenerate(manager: manager_) -> Token:
        return await manager.regenerate()

    @app.delete("/session")
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    @app.delete("/revoke/{session_id}")
    async def revoke(session_id: str) -> bool:
        return await sessions.revoke(session_id)

    return app


def test_each_event_is_told_once_and_in_order() -> None:
    """The life of a session and every kind of refusal, with the handle, the reason and the client's address."""
    events: list[SessionEvent] = []
    app = application(on_event=events.append)
    with TestClient(app, client=("198.51.100.7", 50_000)) as client:
        first = client.post("/session").json()["access_token"]
        client.get("/session", headers=bearer(first))
        client.get("/scope", headers=bearer(first))
        client.get("/fresh", headers=bearer(first))
        client.get("/session", headers=bearer(first) | {"x-access-token": "another"})
        second = client.post("/id", headers=bearer(first)).json()["access_token"]
        client.get("/session", headers=bearer(first))
        client.get("/session", headers=bearer("bad"))
        client.get("/optional")
        client.get("/session")
        third = client.post("/session", headers=bearer(second)).json()["access_token"]
        client.delete("/session", headers=bearer(third))
        client.delete("/session", headers=bearer(third))
    named = [(event.name, event.code if event.name == "refused" else event.reason) for event in events]
    assert named == [
        ("created", "login"),
        ("refused", "insufficient_scope"),
        ("refused", "insufficient_user_authentication"),
        ("refused", "ambiguous_token"),
        ("regenerated", None),
        ("refused", "session_not_found"),
        ("refused", "token_malformed"),
        ("refused", "missing_token"),
        ("created", "login"),
        ("destroyed", "replaced"),
        ("destroyed", "logout"),
        ("refused", "session_not_found"),
    ]
    assert {event.client for event in events} == {"198.51.100.7"}
    assert events[0].handle == events[1].handle == events[4].handle == events[5].handle
    assert events[4].code == events[9].handle
    assert events[6].handle is None


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:8080", "198.51.100.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:8080", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%x\nrefused: session -", "fe80::1"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("", None),
        (None, None),
        (b"198.51.100.7", None),
        (5, None),
        ("testclient", None),
        ("/run/app.sock", None),
        ("198.51.100.7\n2026-11-25 created: session 0123", None),
        ("198.51.100.7 code=ok client=10.0.0.1", None),
        ("198.51.100.7, 10.0.0.1", None),
        ("\x1b[2J198.51.100.7", None),
        ("\u0661.2.3.4", None),
        ("1.2.3.4" + "0" * 3_000, None),
        ("fe80::1%" + "x" * 3_000, None),
        ("[" * 50, None),
    ],
)
def test_a_client_is_an_address_or_nobody(host: object, shown: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """What a client writes into `X-Forwarded-For` is no more than an IP address in events, the log and the index."""
    assert client_address(host) == shown
    events: list[SessionEvent] = []
    sessions = SessionProvider(
        secret=SECRET, store=MemorySessionStore(), on_event=events.append, user_index=True, capture_client=True
    )
    app = FastAPI(lifespan=sessions.lifespan)

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]) -> None:
        await manager.create({}, Claims(sub="ann"))
        assert [info.client for info in await sessions.list_sessions("ann")] == [shown]

    with caplog.at_level(logging.INFO, "jwtsession"), TestClient(app, client=(host, 5)) as client:  # type: ignore[arg-type]
        assert client.post("/session").status_code == 200
    assert [event.client for event in events] == [shown]
    assert f"client {shown or '-'}" in caplog.messages[-1]


def test_a_revocation_outside_a_request_is_told() -> None:
    """The provider's revoke tells of the session's end, without a client, and only where there was one."""
    events: list[SessionEvent] = []
    app = application(on_event=events.append)
    session_id = "an-id-of-nobody-in-particular"
    with InProcess(app, raises=True) as client:
        client.delete(f"/revoke/{session_id}")
    assert events == []
    store = InspectableStore()
    store.put(session_id, b"{}", 1000)
    app = application(on_event=events.append, store=store)
    with InProcess(app, raises=True) as client:
        client.delete(f"/revoke/{session_id}")
    assert events == [SessionEvent("destroyed", handle_of(session_id), reason="revoked", provider="session")]


def test_a_hook_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The request is answered, the error is logged, and the next event is told."""
    told: list[str] = []

    def hook(event: SessionEvent) -> None:
        told.append(event.name)
        raise KeyError("mine")

    app = application(on_event=hook)
    with InProcess(app, raises=True) as client:
        token = client.post("/session").json()["access_token"]
        assert client.delete("/session", headers=bearer(token)).status_code == 200
    assert told == ["created", "destroyed"]
    assert "the audit hook failed" in caplog.text


def test_a_hook_that_hangs_slows_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """While it hangs events wait, up to a bound, then they are dropped and counted; requests go on."""
    monkeypatch.setattr("jwtsession.observability.events._WAITING", 10)
    free = threading.Event()
    told: list[str] = []

    def hook(event: SessionEvent) -> None:
        free.wait(30)
        told.append(event.name)

    app = application(on_event=hook)
    with TestClient(app) as client:
        for _ in range(50):
            assert client.get("/session").status_code == 401
        assert told == []
        free.set()
    assert 10 <= len(told) <= 12
    assert "32 events dropped" in caplog.text


def test_a_hook_that_hangs_holds_up_no_requests_and_not_the_end_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Hundreds of requests are answered meanwhile; closing gives up after its time and tells what was not delivered."""
    monkeypatch.setattr(AuditTrail.close, "__defaults__", (0.1,))
    stuck, free = threading.Event(), threading.Event()

    def hook(event: SessionEvent) -> None:
        stuck.set()
        free.wait(30)

    app = application(on_event=hook)
    start = time.monotonic()
    with TestClient(app) as client:
        token = client.post("/session").json()["access_token"]
        assert stuck.wait(10)
        for _ in range(100):
            assert client.get("/session", headers=bearer(token)).status_code == 200
            assert client.get("/session").status_code == 401
        thread = hook_thread()
    assert time.monotonic() - start < 20
    assert "100 events wait for it at the end" in caplog.text
    free.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_hook_that_hung_does_not_take_the_next_ones_events() -> None:
    """Opened again after a hook hung at the end: later events are delivered, and the old thread ends when it can."""
    free, told = threading.Event(), threading.Semaphore(0)

    def hook(event: SessionEvent) -> None:
        if event.code == "hang":
            free.wait(30)
        told.release()

    trail = AuditTrail(hook)
    trail.open()
    trail.emit(SessionEvent("refused", None, "hang"))
    trail.emit("created", ID)
    old = hook_thread()
    trail.close(timeout=0.05)
    trail.open()
    for _ in range(3):
        trail.emit("created", ID)
    assert all(told.acquire(timeout=10) for _ in range(3))
    free.set()
    assert all(told.acquire(timeout=10) for _ in range(2))
    trail.close()
    old.join(10)
    assert not old.is_alive()
    assert not told.acquire(blocking=False)


def test_a_full_queue_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a trail whose queue is full delivers what is in it and ends the thread."""
    monkeypatch.setattr("jwtsession.observability.events._WAITING", 5)
    started, free = threading.Event(), threading.Event()
    told: list[SessionEvent] = []

    def hook(event: SessionEvent) -> None:
        started.set()
        free.wait(30)
        told.append(event)

    trail = AuditTrail(hook)
    trail.open()
    trail.emit("created", ID)
    assert started.wait(10)
    for _ in range(100):
        trail.emit("created", ID)
    threading.Timer(0.05, free.set).start()
    thread = hook_thread()
    trail.close()
    assert not thread.is_alive()
    assert len(told) == 6


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), ValueError("mine")])
def test_nothing_that_a_hook_raises_ends_the_thread(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """The next event finds it alive, and the log has the error."""
    told: list[SessionEvent] = []

    def hook(event: SessionEvent) -> None:
        told.append(event)
        if len(told) == 1:
            raise error

    trail = AuditTrail(hook)
    trail.open()
    trail.emit("created", ID)
    trail.emit("created", ID)
    trail.close()
    assert told == [EVENT, EVENT]
    assert "the audit hook failed" in caplog.text


def test_a_logging_handler_that_raises_breaks_nothing() -> None:
    """Neither a request nor the hook's thread depends on the application's own logging."""
    told: list[str] = []

    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("no route to the log")

    def hook(event: SessionEvent) -> None:
        told.append(event.name)
        raise KeyError("mine")

    logger, handler = logging.getLogger("jwtsession"), Broken()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        app = application(on_event=hook)
        with InProcess(app, raises=True) as client:
            token = client.post("/session").json()["access_token"]
            assert client.get("/session", headers=bearer("bad")).status_code == 401
            assert client.delete("/session", headers=bearer(token)).status_code == 200
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
    assert told == ["created", "refused", "destroyed"]


def test_a_coroutine_function_is_no_hook() -> None:
    """It would never run in the hook's thread: refused when the application starts."""

    async def hook(event: SessionEvent) -> None: ...

    with pytest.raises(ConfigurationError, match="on_event"):
        SessionProvider(secret=SECRET, store=MemorySessionStore(), on_event=hook)


def test_events_keep_their_order_under_load() -> None:
    """Thousands of events of many requests reach the hook in the order in which they were told."""
    told: list[str | None] = []
    trail = AuditTrail(lambda event: told.append(event.code))
    trail.open()
    for number in range(5_000):
        trail.emit("refused", code=str(number))
    trail.close()
    assert told == [str(number) for number in range(5_000)]


def test_what_is_told_before_the_start_is_not_lost() -> None:
    """Events wait for the hook's thread, in their order."""
    told: list[SessionEvent] = []
    trail = AuditTrail(told.append)
    trail.emit("created", ID)
    assert told == []
    trail.open()
    trail.close()
    assert told == [EVENT]


def test_an_outage_is_in_the_log_and_no_event(caplog: pytest.LogCaptureFixture) -> None:
    """A store that does not answer refuses nobody: the request was not judged. The error log has it instead."""
    events: list[SessionEvent] = []
    sessions = SessionProvider(
        secret=SECRET, redis_url=f"redis://127.0.0.1:{servers.free_port()}", on_event=events.append
    )
    app = FastAPI(lifespan=sessions.lifespan)

    @app.get("/session")
    async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> None: ...

    with InProcess(app, raises=True) as client:
        assert client.get("/session", headers=bearer(genuine())).status_code == 503
    assert events == []
    assert "the session store is unavailable: ConnectionError" in caplog.text


def test_events_hold_no_secret_and_do_not_change() -> None:
    """An event has the session's handle: 22 characters, from which nobody gets the id back."""
    event = SessionEvent("destroyed", handle_of("an-id-of-nobody-in-particular"))
    assert event.handle == "E_fubclgVwhaqbWy18c6Ed"
    assert "nobody" not in repr(event)
    with pytest.raises(AttributeError):
        event.name = "created"  # type: ignore[misc]


def test_without_a_hook_there_is_no_thread() -> None:
    """The log alone costs nothing more."""
    before = threading.enumerate()
    trail = AuditTrail()
    trail.open()
    trail.emit("created", ID)
    assert threading.enumerate() == before
    trail.close()


def test_a_trail_can_be_opened_again() -> None:
    """Open and close twice deliver what was told, and closing twice is no error."""
    told: list[SessionEvent] = []
    trail = AuditTrail(told.append)
    for _ in range(2):
        trail.open()
        trail.open()
        trail.emit("created", ID)
        trail.close()
        trail.close()
    assert told == [EVENT, EVENT]


def test_the_log_has_every_event(caplog: pytest.LogCaptureFixture) -> None:
    """The logger `jwtsession` tells the same at INFO."""
    with caplog.at_level(logging.INFO, "jwtsession"):
        AuditTrail().emit("refused", code="token_signature", host="10.1.2.3")
    assert caplog.messages == ["refused: session -, token_signature, client 10.1.2.3"]


def test_a_login_beyond_the_limit_is_told() -> None:
    """It is refused as others are, with its reason."""
    events: list[SessionEvent] = []
    sessions = SessionProvider(
        secret=SECRET, store=MemorySessionStore(), user_index=True, max_sessions=1, on_event=events.append
    )
    app = FastAPI(lifespan=sessions.lifespan)

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]) -> Token:
        return await manager.create({}, Claims(sub="ann"))

    with InProcess(app, raises=True) as client:
        assert [client.post("/session").status_code for _ in range(2)] == [200, 403]
    assert [(event.name, event.code) for event in events] == [("created", None), ("refused", "too_many_sessions")]


def test_a_log_record_has_the_event_as_fields(caplog: pytest.LogCaptureFixture) -> None:
    """Each field of the event, by its name with `jwtsession_` before it: for a log in JSON."""
    with caplog.at_level(logging.INFO, "jwtsession"):
        AuditTrail(provider="shop").emit("destroyed", ID, sub="ann", actor="eve", reason="logout", host="10.1.2.3")
    fields = {name: value for name, value in vars(caplog.records[0]).items() if name.startswith("jwtsession_")}
    assert fields == {
        "jwtsession_event": "destroyed",
        "jwtsession_handle": handle_of(ID),
        "jwtsession_code": None,
        "jwtsession_client": "10.1.2.3",
        "jwtsession_reason": "logout",
        "jwtsession_sub": "ann",
        "jwtsession_actor": "eve",
        "jwtsession_provider": "shop",
    }


@pytest.mark.parametrize("sub", ["ann@example.com", "\ud800", "", "x" * 10_000])
def test_a_user_is_an_hmac_unless_the_setting_says_otherwise(sub: str) -> None:
    """Of 22 characters, with a key: a list of addresses does not tell who it is."""
    told: list[SessionEvent] = []
    for key in (b"key", b"key", b"other", None):
        trail = AuditTrail(told.append, sub_key=key)
        trail.open()
        trail.emit("created", ID, sub=sub, actor=sub)
        trail.close()
    first, second, other, plain = told
    assert first.sub == first.actor == second.sub != other.sub
    assert len(first.sub or "") == 22
    assert plain.sub == plain.actor == sub


@pytest.mark.parametrize(
    ("options", "is_shown"),
    [({}, False), ({"audit_sub": True}, True), ({"user_index": True, "user_index_key": SECRET[5:]}, False)],
)
def test_the_setting_audit_sub_shows_users(options: dict[str, Any], is_shown: bool) -> None:
    """Otherwise two workers with one secret give a user one name, which another secret does not."""
    names: list[str | None] = []
    for secret in (SECRET, SECRET, SECRET[::-1]):
        events: list[SessionEvent] = []
        sessions = SessionProvider(
            Session, secret=secret, store=MemorySessionStore(), on_event=events.append, **options
        )
        app = FastAPI(lifespan=sessions.lifespan)

        @app.post("/session")
        async def log_in(manager: Annotated[Any, Depends(sessions.get_manager)]) -> None:
            await manager.create({}, Claims(sub="ann"))

        with InProcess(app, raises=True) as client:
            client.post("/session")
        names += [event.sub for event in events]
    if is_shown:
        assert names == ["ann"] * 3
    else:
        assert names[0] == names[1] != "ann"
        assert (names[0] == names[2]) is ("user_index_key" in options)


def test_why_sessions_ended_is_told() -> None:
    """Each way by which a session ends has its reason."""
    events: list[SessionEvent] = []
    sessions = SessionProvider(
        Session, secret=SECRET, store=MemorySessionStore(), on_event=events.append, user_index=True, audit_sub=True,
        max_sessions=2, too_many_sessions="evict",
    )  # fmt: skip
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(manager: manager_) -> str:
        return (await manager.create({}, Claims(sub="ann"))).access_token

    @app.delete("/others")
    async def end_others(manager: manager_) -> int:
        return await manager.destroy_others()

    @app.delete("/handle")
    async def end(manager: manager_) -> bool:
        (info,) = await sessions.list_sessions("ann")
        return await sessions.revoke_handle(info.handle, sub="ann")

    with InProcess(app, raises=True) as client:
        for _ in range(3):
            token = client.post("/session").json()
        client.delete("/others", headers=bearer(token))
        token = client.post("/session", headers=bearer(token)).json()
        client.delete("/handle", headers=bearer(token))
    ends = [(event.name, event.reason) for event in events if event.name == "destroyed"]
    assert ends == [("destroyed", each) for each in ("evicted", "logout_others", "replaced", "revoked")]
    assert {event.sub for event in events} == {"ann"}
