"""Tests of jwtsession.provider."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field
from redis.asyncio import Redis
from starlette.requests import Request

from jwtsession import (
    Claims,
    ConfigurationError,
    InvalidTokenError,
    MemorySessionStore,
    MissingTokenError,
    Session,
    SessionCorruptError,
    SessionEvent,
    SessionProvider,
    SessionSettings,
)
from jwtsession.testing import InspectableStore
from tests.conftest import SECRET, Clock, started


class UserSession(Session):
    user_id: int


class Stored(BaseModel):
    user_id: int


class Unreadable(Session):
    password: str = Field(exclude=True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"session_model": Stored}, "session_model"),
        ({"session_model": UserSession(user_id=1)}, "session_model"),
        ({"session_model": Unreadable}, "password"),
        ({"claims_model": UserSession}, "claims_model"),
        ({"settings": SessionSettings(secret=SECRET), "max_age": 5}, "max_age"),
        ({"store": MemorySessionStore(), "client": Redis()}, "store or client"),
        ({"client": Redis(decode_responses=True)}, "decode_responses"),
        ({"colour": "blue"}, "colour"),
        ({"shares_sessions_with": "canary"}, "shares_sessions_with"),
        ({"redis_url": "redis+sentinel://localhost:26379"}, "Sentinel"),
        ({"redis_url": "redis://localhost:canary"}, "redis_url"),
        ({"redis_url": "embedded://canary/path"}, "redis_url"),
        ({"secret": "-----BEGIN PUBLIC KEY-----\ncanary canary canary\n-----END PUBLIC KEY-----"}, "secret"),
        ({"algorithm": "RS256"}, "secret"),
        ({"store": object(), "user_index": True}, "UserIndexStore"),
    ],
)
def test_what_can_not_work_is_refused_at_start(arguments: dict[str, Any], named: str) -> None:
    """Each mistake is a ConfigurationError that names the argument and shows no value of it."""
    if "settings" not in arguments:
        arguments = {"secret": SECRET} | arguments
    with pytest.raises(ConfigurationError, match=named) as caught:
        SessionProvider(**arguments)
    assert "canary" not in str(caught.value)


def provider(**options: Any) -> SessionProvider[UserSession, Claims]:
    return SessionProvider(UserSession, **({"secret": SECRET, "store": MemorySessionStore()} | options))


async def test_two_providers_under_one_request_key_are_refused_at_start() -> None:
    """In one application each provider needs a request_key of its own; another application may use it again."""
    first, second = provider(), provider()

    @asynccontextmanager
    async def both(app: FastAPI) -> AsyncIterator[None]:
        async with first.lifespan(app), second.lifespan(app):
            yield

    app = FastAPI()
    with pytest.raises(ConfigurationError, match="request_key"):
        async with both(app):
            pass
    async with first.lifespan(app):
        pass
    async with second.lifespan(app), first.lifespan(FastAPI()):
        pass


class Watched(MemorySessionStore):
    """Notes when it is opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    async def open(self) -> None:
        self.events.append("open")

    async def close(self) -> None:
        self.events.append("close")


async def test_the_store_lives_as_long_as_the_application() -> None:
    """It is opened at the start and closed at the end, also where the application fails, and again the next time."""
    store = Watched()
    sessions = provider(store=store)
    app = FastAPI()
    with pytest.raises(KeyError):  # noqa: PT012
        async with sessions.lifespan(app):
            assert store.events == ["open"]
            raise KeyError
    async with sessions.lifespan(app):
        pass
    assert store.events == ["open", "close"] * 2


async def test_two_applications_share_a_provider_until_the_last_one_ends() -> None:
    """The first to start opens the store, and it stays open for the other where one ends."""
    store = Watched()
    sessions = provider(store=store)
    async with sessions.lifespan(FastAPI()):
        async with sessions.lifespan(FastAPI()):
            pass
        assert store.events == ["open"]
    assert store.events == ["open", "close"]


async def test_a_store_that_fails_to_close_leaves_nothing_behind() -> None:
    """Its error is told, the hook's thread has ended with all events delivered, and the request_key is free."""

    class Failing(MemorySessionStore):
        async def close(self) -> None:
            raise OSError("broken")

    told: list[SessionEvent] = []
    sessions = provider(store=Failing(), on_event=told.append)
    app = FastAPI()
    with pytest.raises(OSError, match="broken"):  # noqa: PT012
        async with sessions.lifespan(app):
            manager = await sessions.get_manager(Request({"type": "http", "method": "GET", "headers": []}))
            await manager.create(UserSession(user_id=1))
    assert [event.name for event in told] == ["created"]
    assert not [thread for thread in threading.enumerate() if thread.name == "jwtsession-audit"]
    async with provider().lifespan(app):
        pass


async def test_sessions_are_reached_outside_a_request(clock: Clock) -> None:
    """Get reads without extending, revoke ends, ping asks the store; what is no id is nobody's session."""
    store = InspectableStore(clock)
    sessions = started(provider(store=store, clock=clock))
    scope = {"type": "http", "method": "GET", "headers": [], "query_string": b""}
    manager = await sessions.get_manager(Request(scope))
    await manager.create(UserSession(user_id=1))
    session_id = manager.id
    assert session_id is not None
    clock.advance(100)
    assert await sessions.get(session_id) == UserSession(user_id=1)
    assert store.contents[session_id].expires == clock() + 86_300
    assert await sessions.ping()
    assert await sessions.revoke(session_id)
    assert not await sessions.revoke(session_id)
    assert await sessions.get(session_id) is None
    for bad in ("", "*", "user:x", "../" * 10, "x" * 200):
        assert await sessions.get(bad) is None
        assert not await sessions.revoke(bad)
    store.put(session_id, b"garbage", 5000)
    with pytest.raises(SessionCorruptError):
        await sessions.get(session_id)


async def test_no_id_reaches_the_store_in_an_odd_form() -> None:
    """What is not in the form of an id is answered without asking the store."""

    class Refusing(MemorySessionStore):
        async def load(self, session_id: str, ttl: int | None = None, *, near: bool = False) -> bytes | None:
            raise AssertionError(session_id)

        async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
            raise AssertionError(session_id)

    sessions = started(provider(store=Refusing()))
    assert await sessions.get("user:" + "0" * 64) is None
    assert not await sessions.revoke("a b")


def scope_with(token: str | None, **extra: Any) -> dict[str, Any]:
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    return {"type": "http", "method": "GET", "headers": headers, "query_string": b""} | extra


async def test_a_request_keeps_its_manager_in_its_own_scope() -> None:
    """Whoever asks again gets the same manager: with another Request, a copy of the scope, other headers beside."""
    sessions = started(provider())
    scope = scope_with(None)
    token = (await (await sessions.get_manager(Request(scope))).create(UserSession(user_id=1))).access_token
    scope = scope_with(token)
    manager = await sessions.get_manager(Request(scope))
    assert await sessions.get_manager(Request(scope)) is manager
    copied = dict(scope)
    assert await sessions.get_manager(Request(copied)) is manager
    assert Request(copied).headers  # Starlette replaces the list
    assert await sessions.get_manager(Request(copied)) is manager
    copied["headers"] = [*copied["headers"], (b"x-request-id", b"1")]
    assert await sessions.get_manager(Request(copied)) is manager
    assert Request(copied).state.session is manager


async def test_a_manager_is_never_taken_for_another_token() -> None:
    """Where all that a scope holds is shared between requests, other headers mean another manager."""
    sessions = started(provider())
    shared: dict[str, Any] = {"jwtsession": {}, "state": {}}

    async def ask(token: str | None) -> Any:
        return await sessions.get_manager(Request(scope_with(token, **shared)))

    nobody = await ask(None)
    ann = (await nobody.create(UserSession(user_id=1))).access_token
    bob = (await (await ask(None)).create(UserSession(user_id=2))).access_token
    for token, expected in [(ann, 1), (None, None), (bob, 2), ("garbage", None), (ann, 1), (ann + "x", None)]:
        session = (await ask(token)).session
        assert (session and session.user_id) == expected


async def test_a_manager_is_never_taken_for_another_query_or_for_headers_that_were_changed() -> None:
    """A scope that is used for another request, or a list of headers that is, has the session of what it says now."""
    sessions = started(provider(token_sources=("bearer", "query")))
    token = (await (await sessions.get_manager(Request(scope_with(None)))).create(UserSession(user_id=1))).access_token
    scope = scope_with(None) | {"query_string": f"accessToken={token}".encode()}

    async def session() -> UserSession | None:
        return (await sessions.get_manager(Request(scope))).session

    assert await session() is not None
    scope["query_string"] = b""
    assert await session() is None
    scope["headers"].append((b"authorization", f"Bearer {token}".encode()))
    assert await session() is not None
    scope["headers"][0] = (b"authorization", b"Bearer garbage")
    assert await session() is None


@pytest.mark.parametrize("max_age", ["60", None, True, -1, 1.5])
def test_what_is_no_number_of_seconds_is_refused_at_once(max_age: Any) -> None:
    """`require_fresh` takes whole seconds, and says so where the route is declared."""
    with pytest.raises(ConfigurationError, match="require_fresh: max_age"):
        provider().require_fresh(max_age)


async def test_a_required_manager_needs_a_genuine_token_and_no_more(clock: Clock) -> None:
    """A log-out is a 401 without a token or with a bad one; a session that is gone or unreadable can be ended."""
    told: list[SessionEvent] = []
    store = InspectableStore(clock)
    sessions = provider(store=store, clock=clock, on_event=told.append)
    async with sessions:
        for token, error, code in (
            (None, MissingTokenError, "missing_token"),
            ("garbage", InvalidTokenError, "token_malformed"),
        ):
            with pytest.raises(error) as caught:
                await sessions.get_required_manager(Request(scope_with(token)))
            assert caught.value.code == code
        manager = await sessions.get_manager(Request(scope_with(None)))
        token = (await manager.create(UserSession(user_id=1))).access_token
        session_id = str(manager.id)
        store.put(session_id, b"garbage", 5000)
        manager = await sessions.get_required_manager(Request(scope_with(token)))
        assert manager.session is None
        await manager.destroy()
        assert store.contents == {}
        await (await sessions.get_required_manager(Request(scope_with(token)))).destroy()
    assert [event.code for event in told if event.name == "refused"][:2] == ["missing_token", "token_malformed"]


def test_the_store_in_use_can_be_seen_and_not_replaced() -> None:
    """A store that is assigned would be ignored, so the assignment is an error."""
    store = MemorySessionStore()
    provider = SessionProvider(secret=SECRET, store=store)
    assert provider.store is store
    with pytest.raises(AttributeError, match="store"):
        provider.store = MemorySessionStore()  # type: ignore[misc]
