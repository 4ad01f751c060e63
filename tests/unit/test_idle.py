"""What counts as a use of a session, and starts its idle timeout again."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security

from jwtsession import SessionNotFoundError
from tests.conftest import Clock
from tests.unit.conftest import UserClaims, UserSession, World, request
from tests.web import InProcess, bearer


class Uses:
    """An application whose endpoints ask in every way, by path."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.world = World(clock, **options)
        sessions = self.world.provider
        app = self.app = FastAPI(lifespan=sessions.lifespan)

        @app.post("/session")
        async def log_in(manager: Annotated[Any, Depends(sessions.get_manager)], sub: str = "ann") -> str:
            token = await manager.create(UserSession(user_id=1), UserClaims(sub=sub, scope="read"))
            return str(token.access_token)

        def route(path: str, *dependencies: Any) -> None:
            app.add_api_route(path, lambda: None, dependencies=[*dependencies])

        peek, get = sessions.peek_session, sessions.get_session
        route("/get", Depends(get))
        route("/peek", Depends(peek))
        route("/peek-read", Security(peek, scopes=["read"]))
        route("/peek-then-get", Depends(peek), Depends(get))
        route("/get-then-peek", Depends(get), Depends(peek))
        route("/read", Security(get, scopes=["read"]))
        route("/write", Security(get, scopes=["write"]))
        route("/read-then-write", Security(get, scopes=["write"]), Security(get, scopes=["read"]))
        route("/optional-write", Security(sessions.get_optional_session, scopes=["write"]))
        route("/manager-write", Security(sessions.get_manager, scopes=["write"]))
        route("/peek-then-manager", Depends(peek), Depends(sessions.get_manager))
        route("/fresh", Depends(sessions.require_fresh(50)))
        route("/stale-write", Security(sessions.require_fresh(50), scopes=["write"]))


@pytest.mark.parametrize("user_index", [False, True])
@pytest.mark.parametrize(
    ("path", "status", "used"),
    [
        ("/get", 200, True),
        ("/read", 200, True),
        ("/peek", 200, False),
        ("/peek-read", 200, False),
        ("/peek-then-get", 200, True),
        ("/get-then-peek", 200, True),
        ("/peek-then-manager", 200, True),
        ("/write", 403, False),
        ("/read-then-write", 403, False),
        ("/optional-write", 403, False),
        ("/manager-write", 403, False),
        ("/fresh", 401, False),
        ("/stale-write", 403, False),
    ],
)
def test_only_a_request_that_uses_the_session_keeps_it_alive(
    clock: Clock, path: str, status: int, used: bool, user_index: bool
) -> None:
    """Who only looks, and whoever is refused, leaves the idle timeout and the user's index as they are."""
    uses = Uses(clock, user_index=user_index)
    with InProcess(uses.app, raises=True) as client:
        token = client.post("/session").json()
        (session_id,) = uses.world.store.contents
        clock.advance(100)
        assert client.get(path, headers=bearer(token)).status_code == status
        assert uses.world.left(session_id) == (1000 if used else 900)
        if user_index:
            (entry,) = client.call(uses.world.provider.list_sessions, "ann")
            assert entry.last_seen == clock() - (0 if used else 100)


@pytest.mark.parametrize("path", ["/peek", "/peek-read", "/write", "/manager-write", "/fresh", "/stale-write"])
def test_a_session_that_is_gone_is_a_401_before_all_else(clock: Clock, path: str) -> None:
    """Without a session nobody learns whether the token's scope or the time of its sign-in would have done."""
    uses = Uses(clock)
    with InProcess(uses.app, raises=True) as client:
        token = client.post("/session").json()
        (session_id,) = uses.world.store.contents
        clock.advance(100)
        client.call(uses.world.provider.revoke, session_id)
        answer = client.get(path, headers=bearer(token))
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')


def test_a_session_that_nobody_uses_ends_however_often_somebody_looks(clock: Clock) -> None:
    """Polling every 100 seconds does not keep a session beyond its idle timeout."""
    uses = Uses(clock)
    with InProcess(uses.app, raises=True) as client:
        token = client.post("/session").json()
        for _ in range(9):
            clock.advance(100)
            assert client.get("/peek", headers=bearer(token)).status_code == 200
        clock.advance(100)
        assert client.get("/peek", headers=bearer(token)).status_code == 401


async def test_a_session_that_ends_between_a_look_and_a_use_is_a_401(world: World) -> None:
    """What comes after the look finds the session gone, in the same request too."""
    made = request(await world.log_in())
    await world.provider.peek_session(made)
    (session_id,) = world.store.contents
    await world.provider.revoke(session_id)
    with pytest.raises(SessionNotFoundError):
        await world.provider.get_session(made)


@pytest.mark.parametrize("odd", ["\xa0", "\u2003", "\t", "\n", "\x0b", "\x1f", "\u3000"])
def test_a_space_alone_separates_scopes(clock: Clock, odd: str) -> None:
    """Other whitespace of Unicode is part of a scope's name (RFC 6749 section 3.3)."""
    world = World(clock)
    app = FastAPI(lifespan=world.provider.lifespan)

    @app.get("/read", dependencies=[Security(world.provider.get_session, scopes=["read"])])
    async def read() -> None: ...

    @app.get("/empty", dependencies=[Security(world.provider.get_session, scopes=[""])])
    async def empty() -> None: ...

    with InProcess(app, raises=True) as client:
        log_in = client.call

        async def token(scope: str) -> str:
            return await world.log_in(scope=scope)

        for scope, status in [(f"write{odd}read", 403), (f"read{odd}", 403), ("write  read", 200), (" read ", 200)]:
            headers = bearer(log_in(token, scope))
            assert client.get("/read", headers=headers).status_code == status, scope
            assert client.get("/empty", headers=headers).status_code == 403
