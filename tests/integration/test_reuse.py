"""Old tokens over real HTTP and on real servers: a logout by one ends the session, also while it moves."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import httpx2
import pytest
from fastapi import Depends, FastAPI

from jwtsession import Claims, Session, SessionEvent, SessionManager, SessionProvider, Token
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer, serving

EVENTS: list[SessionEvent] = []


def application(url: str, grace: int) -> FastAPI:
    sessions = SessionProvider(
        secret=SECRET, redis_url=url, on_reuse="end", reuse_grace=grace, user_index=True, on_event=EVENTS.append
    )
    app = FastAPI(lifespan=sessions.lifespan)
    Current = Annotated[Session, Depends(sessions.get_session)]  # noqa: N806
    Manager = Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]  # noqa: N806

    @app.post("/session")
    async def log_in(manager: Manager) -> Token:
        return await manager.create({"name": "Ann"}, Claims(sub="ann"))

    @app.post("/id")
    async def regenerate(session: Current, manager: Manager) -> Token:
        return await manager.regenerate()

    @app.get("/session")
    async def read(session: Current) -> Session:
        return session

    @app.get("/sessions")
    async def listed() -> int:
        return len(await sessions.list_sessions("ann"))

    @app.delete("/session", status_code=204)
    async def log_out(manager: Manager) -> None:
        await manager.destroy()

    return app


@pytest.fixture
def grace() -> int:
    """Long: no load of these tests is a reuse, so only the logout itself can end a session."""
    return 300


@pytest.fixture(params=["valkey", "redis", "cluster", "sentinel", "near"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, grace: int) -> Iterator[httpx2.Client]:
    """A client of the application on an empty server of each kind."""
    kind: str = request.param
    if kind == "near":
        monkeypatch.setenv("JWTSESSION_NEAR_CACHE_BYTES", "4194304")
    server: servers.Server = request.getfixturevalue("valkey_server" if kind == "near" else f"{kind}_server")
    url = server.url
    if kind == "cluster":
        url = f"redis+cluster://127.0.0.1:{server.port}"
    elif kind == "sentinel":
        url = f"redis+sentinel://127.0.0.1:{server.port}/mymaster/0"
        server = request.getfixturevalue("valkey_server")
    server.command("FLUSHALL")
    EVENTS.clear()
    with serving(application(url, grace)) as client:
        yield client


def token_of(answer: httpx2.Response) -> str:
    token: str = answer.raise_for_status().json()["access_token"]
    return token


def test_the_thief_is_out_after_the_victims_logout(client: httpx2.Client) -> None:
    """After several moves; the index is empty too."""
    stolen = thiefs = token_of(client.post("/session"))
    for _ in range(5):
        thiefs = token_of(client.post("/id", headers=bearer(thiefs)))
        assert client.get("/session", headers=bearer(thiefs)).status_code == 200
    assert client.delete("/session", headers=bearer(stolen)).status_code == 204
    assert client.get("/session", headers=bearer(thiefs)).status_code == 401
    assert client.get("/sessions").json() == 0


@pytest.mark.parametrize("grace", [0])
def test_the_thief_is_out_when_the_victim_goes_on(client: httpx2.Client) -> None:
    """With `on_reuse="end"`; the event names both, and comes once."""
    stolen = token_of(client.post("/session"))
    thiefs = token_of(client.post("/id", headers=bearer(stolen)))
    assert client.get("/session", headers=bearer(stolen)).status_code == 401
    assert client.get("/session", headers=bearer(thiefs)).status_code == 401
    servers.until(lambda: EVENTS[-1:] and len([e for e in EVENTS if e.name == "refused"]) == 2, "the events")
    (moved,) = [event for event in EVENTS if event.name == "regenerated"]
    (reuse,) = [event for event in EVENTS if event.name == "reuse_detected"]
    assert (reuse.handle, reuse.code, reuse.client) == (moved.handle, moved.code, "127.0.0.1")


def test_nobody_is_in_after_a_logout_among_many_moves(client: httpx2.Client) -> None:
    """Two thieves move the session on and on, and the victim logs out at some moment: 204, and all is over."""
    chance = random.Random(5)

    def thief(token: str) -> list[str]:
        got = [token]
        for _ in range(chance.randrange(1, 4)):
            answer = client.post("/id", headers=bearer(got[-1]))
            if answer.status_code != 200:
                assert answer.status_code == 401
                break
            got.append(answer.json()["access_token"])
        return got

    def victim(token: str) -> int:
        for _ in range(chance.randrange(3)):
            client.get("/session", headers=bearer("none"))  # takes as long as some of the thieves' requests
        return client.delete("/session", headers=bearer(token)).status_code

    with ThreadPoolExecutor(3) as pool:
        for _ in range(15):
            stolen = token_of(client.post("/session"))
            thieves = [pool.submit(thief, stolen) for _ in range(2)]
            out = pool.submit(victim, stolen)
            assert out.result() == 204
            tokens = {token for each in thieves for token in each.result()}
            assert {client.get("/session", headers=bearer(token)).status_code for token in tokens} == {401}
    assert client.get("/sessions").json() == 0
