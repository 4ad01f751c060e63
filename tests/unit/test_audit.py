"""Tests of jwtsession.audit: events reach the log and the hook, and never a request."""

import logging
import threading
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.testclient import TestClient

from jwtsession import Claims, MemorySessionStore, Session, SessionEvent, SessionManager, SessionProvider, Token
from jwtsession.audit import AuditTrail, hashed
from tests.conftest import SECRET
from tests.web import bearer

EVENT = SessionEvent("created", "0123456789ab")


def application(**options: Any) -> tuple[FastAPI, SessionProvider[Session, Claims]]:
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), **options)
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

    return app, sessions


def test_each_event_is_told_once_and_in_order() -> None:
    """The life of a session and every kind of refusal, with the hashed id, the reason and the client's address."""
    events: list[SessionEvent] = []
    app, _ = application(on_event=events.append)
    with TestClient(app) as client:
        first = client.post("/session").json()["access_token"]
        client.get("/session", headers=bearer(first))
        client.get("/scope", headers=bearer(first))
        client.get("/fresh", headers=bearer(first))
        client.get("/session", headers=bearer(first) | {"x-access-token": first})
        second = client.post("/id", headers=bearer(first)).json()["access_token"]
        client.get("/session", headers=bearer(first))
        client.get("/session", headers=bearer("bad"))
        client.get("/optional")
        client.get("/session")
        third = client.post("/session", headers=bearer(second)).json()["access_token"]
        client.delete("/session", headers=bearer(third))
        client.delete("/session", headers=bearer(third))
    named = [(event.name, event.code if event.name == "refused" else None) for event in events]
    assert named == [
        ("created", None),
        ("refused", "insufficient_scope"),
        ("refused", "insufficient_user_authentication"),
        ("refused", "ambiguous_token"),
        ("regenerated", None),
        ("refused", "session_not_found"),
        ("refused", "token_malformed"),
        ("refused", "missing_token"),
        ("created", None),
        ("destroyed", None),
        ("destroyed", None),
        ("refused", "session_not_found"),
    ]
    assert {event.client for event in events} == {"testclient"}
    assert events[0].session == events[1].session == events[4].session == events[5].session
    assert events[4].code == events[9].session
    assert events[6].session is None


def test_a_revocation_outside_a_request_is_told() -> None:
    """The provider's revoke tells of the session's end, without a client, and only where there was one."""
    events: list[SessionEvent] = []
    app, _ = application(on_event=events.append)
    session_id = "an-id-of-nobody-in-particular"
    with TestClient(app) as client:
        client.delete(f"/revoke/{session_id}")
    assert events == []
    app, sessions = application(on_event=events.append)
    store = sessions._store
    assert isinstance(store, MemorySessionStore)
    store._sessions[session_id] = (b"{}", 1e12)
    with TestClient(app) as client:
        client.delete(f"/revoke/{session_id}")
    assert events == [SessionEvent("destroyed", hashed(session_id))]


def test_a_hook_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The request is answered, the error is logged, and the next event is told."""
    told: list[str] = []

    def hook(event: SessionEvent) -> None:
        told.append(event.name)
        raise KeyError("mine")

    app, _ = application(on_event=hook)
    with TestClient(app) as client:
        token = client.post("/session").json()["access_token"]
        assert client.delete("/session", headers=bearer(token)).status_code == 200
    assert told == ["created", "destroyed"]
    assert "the audit hook failed" in caplog.text


def test_a_hook_that_hangs_slows_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """While it hangs events wait, up to a bound, then they are dropped and counted; requests go on."""
    monkeypatch.setattr("jwtsession.audit._WAITING", 10)
    free = threading.Event()
    told: list[str] = []

    def hook(event: SessionEvent) -> None:
        free.wait(30)
        told.append(event.name)

    app, sessions = application(on_event=hook)
    with TestClient(app) as client:
        for _ in range(50):
            assert client.get("/session").status_code == 401
        assert told == []
        assert sessions._sessions.audit._dropped >= 39
        free.set()
    assert 10 <= len(told) <= 12
    assert "events dropped" in caplog.text


def test_without_a_hook_there_is_no_thread() -> None:
    """The log alone costs nothing more."""
    trail = AuditTrail()
    trail.open()
    trail.tell(EVENT)
    assert trail._thread is None
    trail.close()


def test_a_trail_can_be_opened_again() -> None:
    """Open and close twice deliver what was told, and closing twice is no error."""
    told: list[SessionEvent] = []
    trail = AuditTrail(told.append)
    for _ in range(2):
        trail.open()
        trail.open()
        trail.tell(EVENT)
        trail.close()
        trail.close()
    assert told == [EVENT, EVENT]


def test_the_log_has_every_event(caplog: pytest.LogCaptureFixture) -> None:
    """The logger `jwtsession` tells the same at INFO."""
    with caplog.at_level(logging.INFO, "jwtsession"):
        AuditTrail().tell(SessionEvent("refused", None, "token_signature", "10.1.2.3"))
    assert caplog.messages == ["refused: session -, token_signature, client 10.1.2.3"]
