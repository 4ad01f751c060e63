"""Tests of jwtsession.web.dependencies and web.authenticate: several questions of one request."""

import gc
import itertools
import json
import weakref
from typing import Annotated, Any, get_args

import pytest
from fastapi import Depends, FastAPI
from fastapi.security import SecurityScopes
from starlette.requests import Request
from starlette.responses import Response

from jwtsession import (
    AuthenticationError,
    InsufficientScopeError,
    MemorySessionStore,
    Session,
    SessionEvent,
    SessionNotFoundError,
    SessionProvider,
)
from jwtsession.settings.options import TokenSource
from jwtsession.testing import Clock, InspectableStore
from tests.conftest import SECRET
from tests.unit.conftest import World, request


def with_body(world: World, token: str) -> Request:
    """A POST whose JSON body has the token."""
    body = json.dumps({"accessToken": token}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    scope = {"type": "http", "method": "POST", "headers": headers, "query_string": b"", "path": "/"}
    return Request(scope, receive)


async def test_a_refused_request_extends_nothing_where_the_body_has_the_token(clock: Clock) -> None:
    """Also where a middleware asked for the manager before, which does not read the body."""
    world = World(clock, token_sources=["bearer", "body"])
    token = await world.log_in(scope="a")
    ((session_id, _),) = world.store.contents.items()
    clock.advance(100)
    asked = with_body(world, token)
    assert (await world.provider.get_manager(asked)).session is None
    with pytest.raises(InsufficientScopeError):
        await world.provider.get_session(asked, Response(), SecurityScopes(["b"]))
    assert world.left(session_id) == 900


async def test_a_peek_beside_a_use_is_as_good_as_the_use_alone(clock: Clock) -> None:
    """Within the leeway after `exp` too, whichever comes first: the session is there, and nothing is extended."""
    world = World(clock, InspectableStore(lambda: 0.0), leeway=30)
    token = await world.log_in()
    clock.advance(5010)
    for first, second in (("get_session", "peek_session"), ("peek_session", "get_session")):
        asked = request(token)
        assert await getattr(world.provider, first)(asked) is await getattr(world.provider, second)(asked)


async def test_a_use_after_a_peek_counts_though_a_middleware_added_a_header(clock: Clock) -> None:
    """The manager stays the same for the same token, and the session's idle timeout starts again."""
    world = World(clock)
    token = await world.log_in()
    ((session_id, _),) = world.store.contents.items()
    clock.advance(100)
    asked = request(token)
    peeked = await world.provider.peek_session(asked)
    assert world.left(session_id) == 900
    asked.scope["headers"] = [*asked.scope["headers"], (b"x-more", b"1")]
    assert await world.provider.get_session(asked) is peeked
    assert world.left(session_id) == 1000


async def test_a_session_that_ends_between_a_peek_and_a_use_is_an_event(clock: Clock) -> None:
    """The use is a 401, and is told as every refused request is."""
    events: list[SessionEvent] = []
    world = World(clock, on_event=events.append)
    token = await world.log_in()
    ((session_id, _),) = world.store.contents.items()
    async with world.provider:
        asked = request(token)
        await world.provider.peek_session(asked)
        await world.store.destroy(session_id)
        with pytest.raises(SessionNotFoundError):
            await world.provider.get_session(asked)
    assert [(event.name, event.code) for event in events[1:]] == [("refused", "session_not_found")]


async def test_a_refused_request_leaves_nothing_to_the_collector(world: World) -> None:
    """Its manager, which knows the token, is gone with the request, and not when the collector comes by."""
    asked: Request | None = request("no token")
    gc.disable()
    try:
        manager = weakref.ref(await world.provider.get_manager(asked))
        with pytest.raises(AuthenticationError) as refused:
            await world.provider.get_session(asked)
        del refused
        asked = None
        assert manager() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("verb", ["update", "destroy", "touch", "reload", "destroy_others"])
async def test_a_verb_without_a_token_is_told(clock: Clock, verb: str) -> None:
    """It is a 401, and the event says that there was no token, as that of `get_session` does."""
    events: list[SessionEvent] = []
    world = World(clock, on_event=events.append)
    async with world.provider:
        manager = await world.request()
        with pytest.raises(SessionNotFoundError):
            await getattr(manager, verb)()
    assert [(event.name, event.code) for event in events] == [("refused", "missing_token")]


@pytest.mark.parametrize(
    "sources", [some for number in (1, 2) for some in itertools.permutations(get_args(TokenSource), number)]
)
def test_every_source_works_and_is_shown(sources: tuple[TokenSource, ...]) -> None:
    """Each source alone, and each with each other, makes a provider and an OpenAPI document."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), token_sources=sources)
    app = FastAPI()

    @app.get("/session")
    async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> None: ...

    sessions.document(app)
    assert "401" in app.openapi()["paths"]["/session"]["get"]["responses"]
