"""`SessionTester` with a real server: a keyspace of its own, and times to live that follow the test's clock."""

import traceback
from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from jwtsession import (
    Claims,
    ConfigurationError,
    Session,
    SessionManager,
    SessionProvider,
    Ticket,
    Token,
)
from jwtsession.testing import AsyncSessionTester, SessionTester
from tests.servers import Server


class UserSession(Session):
    user_id: int


sessions = SessionProvider(
    UserSession, user_index=True, revoke_before=True, rotation={"after": 60, "grace": 10}, reuse_grace=0
)
app = FastAPI(lifespan=sessions.lifespan)
Manager = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]


@app.get("/session")
async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> UserSession:
    return session


@app.post("/move")
async def move(manager: Manager) -> Token:
    return await manager.regenerate()


@app.post("/ticket")
async def issue(manager: Manager) -> Ticket:
    return await manager.ticket()


@app.get("/count")
async def count(manager: Manager) -> int:
    return len(await sessions.list_sessions("ann"))


Tester = SessionTester[UserSession, Claims]


@pytest.fixture
def tester(engine: Server) -> Iterator[Tester]:
    with SessionTester(sessions, redis_url=engine.url) as tester:
        yield tester


@pytest.fixture
def client(tester: Tester) -> Iterator[TestClient]:
    with tester.client(app) as client:
        yield client


def keys(engine: Server) -> list[str]:
    return list(engine.ask("KEYS", "*"))


def ttl(engine: Server, key: str) -> int:
    return int(engine.ask("PTTL", key))


def test_time_goes_by_on_the_server(client: TestClient, tester: Tester, engine: Server) -> None:
    """A session that nobody uses is gone after a day of the test, and the test takes no time."""
    ann, bob = (tester.login(UserSession(user_id=1), Claims(sub="ann")) for _ in range(2))
    tester.clock.advance(hours=23)
    assert client.get("/session", headers=ann.headers).status_code == 200
    tester.clock.advance(hours=2)
    assert client.get("/session", headers=ann.headers).status_code == 200
    assert client.get("/session", headers=bob.headers).status_code == 401
    assert client.get("/count", headers=ann.headers).json() == 1


def test_each_kind_of_key_has_its_time(client: TestClient, tester: Tester, engine: Server) -> None:
    """Sessions, forwards, generations, tickets and the index: all are shortened alike, and nothing else is."""
    engine.command("SET", "another", "1", "PX", "100000000")
    login = tester.login(UserSession(user_id=1), Claims(sub="ann"))
    tester.clock.advance(61)
    assert client.get("/session", headers=login.headers).headers["session-token"]
    moved = client.post("/move", headers=login.headers).json()["access_token"]
    client.post("/ticket", headers={"Authorization": f"Bearer {moved}"})
    before = {each: ttl(engine, each) for each in keys(engine)}
    assert len(before) >= 6
    tester.clock.advance(20)
    after = {each: ttl(engine, each) for each in keys(engine)}
    assert before.keys() == after.keys()
    for each in before:
        moved_by = 0 if each == "another" else 20_000
        assert moved_by <= before[each] - after[each] < moved_by + 5_000
    tester.clock.advance(days=400)
    assert keys(engine) == ["another"]


def test_a_login_of_a_while_ago_is_in_use(client: TestClient, tester: Tester, engine: Server) -> None:
    """The token is old, and the session has its whole idle timeout."""
    login = tester.login(UserSession(user_id=1), Claims(sub="ann"), age=5 * 86_400)
    assert client.get("/session", headers=login.headers).status_code == 200
    (key,) = [each for each in keys(engine) if each.endswith(login.id)]
    assert 86_000_000 < ttl(engine, key) <= 86_400_000


def test_the_keyspace_is_the_tests_own(engine: Server) -> None:
    """Nothing of another program on the server is seen or changed, and nothing of the test is left."""
    engine.command("SET", "sess:" + "a" * 43, "theirs")
    with SessionTester(sessions, redis_url=engine.url) as tester:
        tester.login(UserSession(user_id=1), Claims(sub="ann"))
        assert {each.partition("test-")[0] for each in keys(engine)} == {"sess:", "sess:" + "a" * 43}
        with pytest.raises(ConfigurationError, match="reload"):
            _ = tester.store
    assert keys(engine) == ["sess:" + "a" * 43]


def test_a_keyspace_is_no_pattern(engine: Server) -> None:
    """Its characters mean themselves, also where a pattern of Redis gives them a meaning."""
    strange = SessionProvider(UserSession, keyspace="s[e]ss*?\\:")
    engine.command("SET", "sess*?\\:test-theirs", "1", "PX", "100000")
    with SessionTester(strange, redis_url=engine.url) as tester:
        login = tester.login(UserSession(user_id=1))
        tester.clock.advance(60)
        (key,) = [each for each in keys(engine) if each.endswith(login.id)]
        assert ttl(engine, key) <= 86_340_000
        assert ttl(engine, "sess*?\\:test-theirs") > 90_000
    assert len(keys(engine)) == 1


def test_outages_and_conflicts(client: TestClient, tester: Tester) -> None:
    """They work as in memory."""
    login = tester.login(UserSession(user_id=1))
    with tester.outage():
        assert client.get("/session", headers=login.headers).status_code == 503
    with tester.conflict():
        assert client.post("/move", headers=login.headers).status_code == 409
    assert tester.reload(login).user_id == 1
    assert tester.revoke(login)


@pytest.mark.parametrize("url", ["embedded://", "redis+cluster://localhost:6379", "memory://", "nonsense"])
def test_one_server_is_needed(url: str) -> None:
    """The tester speaks to it by itself, to move its time."""
    with pytest.raises(ConfigurationError, match="needs one server"):
        SessionTester(sessions, redis_url=url)


def test_a_server_that_refuses_the_tester_is_told_without_the_password(engine: Server) -> None:
    """No frame of the error holds it, since pytest may show them; and the failure of the test itself stays."""
    url = engine.url.replace("//", "//nobody:canary-of-the-password@")
    failed = ValueError("the test")
    match = "redis_url: the server can't be used"
    with pytest.raises(ConfigurationError, match=match) as caught, SessionTester(sessions, redis_url=url):
        raise failed
    assert caught.value.__context__ is failed
    assert "canary" not in str([frame.f_locals for frame, _ in traceback.walk_tb(caught.tb.tb_next)])


@pytest.mark.anyio
async def test_the_asynchronous_tester(engine: Server) -> None:
    """It has one event loop with the application, and one set of connections."""
    tester = AsyncSessionTester(sessions, redis_url=engine.url)
    async with tester, tester.client(app) as client:
        login = await tester.login(UserSession(user_id=1), Claims(sub="ann"))
        assert (await client.get("/session", headers=login.headers)).status_code == 200
        tester.clock.advance(days=2)
        assert (await client.get("/session", headers=login.headers)).status_code == 401
    assert keys(engine) == []
