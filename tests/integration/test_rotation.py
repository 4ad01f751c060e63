"""Rotation over real HTTP, on a real server: what a request costs, and what parallel requests get."""

import asyncio
from typing import Annotated, Any

import httpx2
import jwt
import pytest
from fastapi import Depends, FastAPI

from jwtsession import Session, SessionManager, SessionProvider, Token
from jwtsession.testing import Clock
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer, in_process, serving

AFTER, GRACE = 900, 30


class UserSession(Session):
    user_id: int = 1


def application(url: str, clock: Clock, **options: Any) -> FastAPI:
    sessions = SessionProvider(UserSession, secret=SECRET, redis_url=url, clock=clock, **options)
    app = FastAPI(lifespan=sessions.lifespan)

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]) -> Token:
        return await manager.create(UserSession())

    @app.get("/session")
    async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> UserSession:
        return session

    return app


@pytest.mark.parametrize("rotates", [False, True])
def test_an_ordinary_request_has_one_more_command_and_no_more_round_trips(
    own_server: servers.Server, clock: Clock, rotates: bool
) -> None:
    """The server reads once for each request, with rotation and without. Without it, it sees GET alone."""
    options = {"rotation": {"after": AFTER}} if rotates else {}
    with in_process(application(own_server.url, clock, **options)) as client:
        token = bearer(client.post("/session").json()["access_token"])
        client.get("/session", headers=token)  # connects, and notes the first use
        own_server.command("CONFIG", "RESETSTAT")
        for _ in range(5):
            assert client.get("/session", headers=token).status_code == 200
        stats = own_server.ask("INFO", "everything")
    commands = {
        name.removeprefix("cmdstat_"): found["calls"]
        for name, found in stats.items()
        if name.startswith("cmdstat_") and not name.startswith(("cmdstat_config", "cmdstat_info", "cmdstat_hello"))
    }
    pings = commands.pop("ping", 0)  # of a connection that was silent for long
    assert commands == {"get": 5} | ({"hmget": 5} if rotates else {})
    assert 5 <= stats["total_reads_processed"] - pings < 10  # some are the test's own


async def test_parallel_requests_make_one_generation_and_a_late_one_is_a_reuse(
    valkey: servers.Server, clock: Clock
) -> None:
    """Two workers: each of ten requests gets the same generation; after the grace the old token ends the session."""
    made = [application(valkey.url, clock, rotation={"after": AFTER, "grace": GRACE}) for _ in range(2)]
    with serving(made[0]) as one, serving(made[1]) as other:
        urls = [str(one.base_url), str(other.base_url)]
        old = bearer(one.post("/session").json()["access_token"])
        clock.advance(AFTER)
        async with httpx2.AsyncClient() as client:
            asked = [client.get(f"{urls[number % 2]}/session", headers=old) for number in range(10)]
            answers = await asyncio.gather(*asked)
        tokens = [answer.headers["Session-Token"] for answer in answers]
        assert {jwt.decode(each, options={"verify_signature": False})["gen"] for each in tokens} == {1}
        for each in tokens:
            assert one.get("/session", headers=bearer(each)).status_code == 200
        late = other.get("/session", headers=old)
        assert (late.status_code, late.headers.get("Session-Token")) == (200, None)
        clock.advance(GRACE)
        assert other.get("/session", headers=old).status_code == 401
        assert one.get("/session", headers=bearer(tokens[0])).status_code == 401
