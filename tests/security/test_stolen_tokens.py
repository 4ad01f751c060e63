"""Attacks with a stolen token, by HTTP, as an attacker makes them: the rows of the table in docs/guides/reuse.md."""

import asyncio
import base64
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Annotated, Any

import jwt
import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from jwtsession import (
    Claims,
    Session,
    SessionEvent,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
    SessionSettings,
    Ticket,
    Token,
)
from jwtsession.sessions import TICKET_SECONDS
from jwtsession.testing import AsyncSessionTester, InspectableStore
from tests.conftest import SECRET, Clock, started
from tests.web import bearer

pytestmark = pytest.mark.caches("tokens")

LATER = 60
KEY = base64.urlsafe_b64encode(bytes(range(0, 224, 7))).decode()


class UserSession(Session):
    cart: list[str] = []


def application(**options: Any) -> tuple[FastAPI, SessionProvider[UserSession, Claims]]:
    """An application with a login, and with endpoints that regenerate, as a change of privileges does."""
    if "settings" not in options:
        options = {"secret": SECRET, "user_index": True, "touch_interval": 0} | options
    sessions = SessionProvider(UserSession, Claims, **options)
    app = FastAPI(lifespan=sessions.lifespan)
    current, manager_ = Depends(sessions.get_session), Depends(sessions.get_manager)
    Current = Annotated[UserSession, current]  # noqa: N806
    Manager = Annotated[SessionManager[UserSession, Claims], manager_]  # noqa: N806

    @app.post("/session")
    async def visit(manager: Manager, sub: str | None = None) -> Token:
        return await manager.create(UserSession(), Claims(sub=sub))

    @app.post("/id")
    async def regenerate(session: Current, manager: Manager, sub: str | None = None) -> Token:
        return await manager.regenerate(claims=None if sub is None else Claims(sub=sub))

    @app.get("/session")
    async def read(session: Current) -> UserSession:
        return session

    @app.get("/optional")
    async def optional(session: Annotated[UserSession | None, Depends(sessions.get_optional_session)]) -> bool:
        return session is not None

    @app.delete("/session", status_code=204)
    async def log_out(manager: Manager) -> None:
        await manager.destroy()

    @app.post("/ticket")
    async def ticket(manager: Manager) -> Ticket:
        return await manager.ticket()

    @app.websocket("/live")
    async def live(websocket: WebSocket, session: Current) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    def gateway() -> None:
        """A service that may ask."""

    app.include_router(sessions.token_router(gateway))
    return app, sessions


class Site:
    """The application in this process, at a time that a test turns, and everybody who sends requests to it."""

    def __init__(self, stack: ExitStack, clock: Clock, **options: Any) -> None:
        self.clock = clock
        self.events: list[SessionEvent] = []
        self.store = InspectableStore(clock)
        self._stack = stack
        app, self.sessions = application(store=self.store, clock=clock, on_event=self.events.append, **options)
        self.client = stack.enter_context(TestClient(app, raise_server_exceptions=False))

    def log_in(self, sub: str | None = "ann") -> str:
        answer = self.client.post("/session", params={} if sub is None else {"sub": sub})
        token: str = answer.json()["access_token"]
        return token

    def regenerate(self, token: str, times: int = 1, **params: str) -> str:
        for _ in range(times):
            token = self.client.post("/id", headers=bearer(token), params=params).json()["access_token"]
        return token

    def log_out(self, token: str) -> int:
        return self.client.delete("/session", headers=bearer(token)).status_code

    def status(self, token: str) -> int:
        return self.client.get("/session", headers=bearer(token)).status_code

    def told(self) -> list[str]:
        """The names of all events: the last request ends the application, so that all are delivered."""
        self._stack.close()
        return [event.name for event in self.events]


Make = Callable[..., Site]


@pytest.fixture
def site(clock: Clock) -> Iterator[Make]:
    with ExitStack() as stack:
        yield lambda **options: Site(stack, clock, **options)


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2, 32])
def test_a_thief_who_regenerates_is_logged_out_by_the_victim(site: Make, times: int) -> None:
    """The victim's logout by the old token is a 204, and the thief's newest token is a 401; so it stays."""
    shop = site()
    stolen = shop.log_in()
    thiefs = shop.regenerate(stolen, times)
    assert shop.status(thiefs) == 200
    assert shop.log_out(stolen) == 204
    assert shop.status(thiefs) == 401
    assert shop.client.post("/id", headers=bearer(thiefs)).status_code == 401
    assert shop.log_out(stolen) == 204
    assert shop.store.contents == {}


@pytest.mark.slow
def test_a_thief_who_regenerates_many_times_is_not_out_of_reach(site: Make) -> None:
    """Each request with the old token gets further along the chain, and none says 204 while the session lives."""
    shop = site()
    stolen = shop.log_in()
    thiefs = shop.regenerate(stolen, 100)
    answers = []
    while not answers or answers[-1] != 204:
        answers.append(shop.log_out(stolen))
        assert (answers[-1] == 204) is (shop.status(thiefs) == 401)
    assert len(answers) <= 4
    assert {*answers[:-1]} <= {503}


def test_a_victim_who_goes_on_is_refused_and_the_reuse_is_told(site: Make) -> None:
    """By default the event is all: the client sees an ordinary 401, and the living session goes on."""
    shop = site()
    stolen = shop.log_in()
    thiefs = shop.regenerate(stolen)
    dead = shop.client.get("/session", headers=bearer(stolen))
    shop.clock.advance(LATER)
    reused = shop.client.get("/session", headers=bearer(stolen))
    assert (reused.status_code, reused.content, reused.headers) == (401, dead.content, dead.headers)
    assert shop.status(thiefs) == 200
    assert shop.told() == ["created", "regenerated", "refused", "reuse_detected", "refused"]
    moved, found = shop.events[1], shop.events[3]
    assert (found.handle, found.code) == (moved.handle, moved.code)
    assert found.client == moved.client


@pytest.mark.parametrize("action", ["end", "end_all"])
@pytest.mark.parametrize("way", ["header", "optional", "socket"])
def test_the_thief_is_out_when_the_victim_goes_on(site: Make, action: str, way: str) -> None:
    """Wherever the old token is used, also where nobody is refused. `end_all` ends the user's other sessions too."""
    shop = site(on_reuse=action)
    stolen, other, foreign = shop.log_in(), shop.log_in(), shop.log_in("bob")
    thiefs = shop.regenerate(stolen)
    shop.clock.advance(LATER)
    if way == "header":
        assert shop.status(stolen) == 401
    elif way == "optional":
        assert shop.client.get("/optional", headers=bearer(stolen)).json() is False
    else:
        with pytest.raises(WebSocketDenialResponse) as refused:
            shop.client.websocket_connect("/live", headers=bearer(stolen)).__enter__()
        assert refused.value.status_code == 401
    assert shop.status(thiefs) == 401
    assert shop.status(other) == (401 if action == "end_all" else 200)
    assert shop.status(foreign) == 200
    assert shop.told().count("reuse_detected") == 1


def test_a_ticket_from_before_the_token_was_replaced_is_no_reuse(site: Make) -> None:
    """It outlives the grace, and nobody gets one by a replaced token: it is refused, and nothing ends."""
    shop = site(on_reuse="end_all", reuse_grace=0)
    token = shop.log_in()
    ticket = shop.client.post("/ticket", headers=bearer(token)).json()["ticket"]
    newest = shop.regenerate(token)
    shop.clock.advance(TICKET_SECONDS - 1)
    with pytest.raises(WebSocketDenialResponse) as refused:
        shop.client.websocket_connect(f"/live?ticket={ticket}").__enter__()
    assert refused.value.status_code == 401
    assert shop.client.post("/ticket", headers=bearer(newest)).status_code == 200
    assert "reuse_detected" not in shop.told()


@pytest.mark.parametrize("how", ["revoke", "introspect"])
def test_a_gateway_that_presents_the_old_token_does_the_same(site: Make, how: str) -> None:
    """A revocation (RFC 7009) is a logout, and an introspection (RFC 7662) is a use."""
    shop = site(on_reuse="end")
    stolen = shop.log_in()
    thiefs = shop.regenerate(stolen)
    shop.clock.advance(LATER)
    answer = shop.client.post(f"/{how}", data={"token": stolen})
    assert answer.status_code == 200
    assert how == "revoke" or answer.json() == {"active": False}
    assert shop.status(thiefs) == 401
    assert shop.told().count("reuse_detected") == (how == "introspect")


def test_a_socket_of_the_thief_closes_when_the_victim_logs_out(site: Make) -> None:
    """It belongs to the session under its new id, and ends with it at once."""
    shop = site()
    stolen = shop.log_in()
    thiefs = shop.regenerate(stolen)
    with shop.client.websocket_connect("/live", headers=bearer(thiefs)) as socket:
        socket.send_text("here")
        assert socket.receive_text() == "here"
        assert shop.log_out(stolen) == 204
        assert socket.receive()["code"] == 1008


def test_a_thief_who_becomes_somebody_else_is_logged_out_too(site: Make) -> None:
    """And nobody's index keeps an entry of that session."""
    shop = site()
    stolen = shop.log_in("ann")
    thiefs = shop.regenerate(stolen, sub="mallory")
    assert shop.log_out(stolen) == 204
    assert shop.status(thiefs) == 401

    async def listed() -> list[Any]:
        return [await shop.sessions.list_sessions(sub) for sub in ("ann", "mallory")]

    assert shop.client.portal is not None
    assert shop.client.portal.call(listed) == [[], []]


@pytest.mark.parametrize("action", ["refuse", "end", "end_all"])
def test_a_visitors_old_token_is_of_no_use_after_the_login(site: Make, action: str) -> None:
    """Somebody who planted it gets a 401. It names no user, so that only its own session can end by it."""
    shop = site(on_reuse=action)
    planted, other = shop.log_in(None), shop.log_in("ann")
    victims = shop.regenerate(planted, sub="ann")
    shop.clock.advance(LATER)
    assert shop.status(planted) == 401
    assert shop.status(victims) == (200 if action == "refuse" else 401)
    assert shop.status(other) == 200


def test_a_token_that_is_long_dead_logs_nobody_out(site: Make) -> None:
    """Its session ended, and its user's next one has nothing to do with it."""
    shop = site(on_reuse="end_all")
    old = shop.log_in()
    older = shop.regenerate(old)
    assert shop.log_out(older) == 204
    current = shop.log_in()
    shop.clock.advance(LATER)
    for token in (old, older):
        assert shop.status(token) == 401
        assert shop.log_out(token) == 204
    assert shop.status(current) == 200
    assert "reuse_detected" not in shop.told()


def test_a_forged_token_asks_nobody_for_a_forward(site: Make) -> None:
    """The id of a session that has moved is worth nothing without a signature."""
    shop = site(on_reuse="end")
    stolen = shop.log_in()
    thiefs = shop.regenerate(stolen)
    shop.clock.advance(LATER)
    head, payload, signature = stolen.split(".")
    for forged in (f"{head}.{payload}.", f"{head}.{payload}.{signature[::-1]}", f"{head}.{payload[:-4]}.{signature}"):
        assert shop.status(forged) == 401
        assert shop.log_out(forged) == 401
    assert shop.status(thiefs) == 200
    assert "reuse_detected" not in shop.told()


def test_a_copied_forward_does_not_open_under_another_id(site: Make) -> None:
    """Who can write to an encrypted store can't let the victim's logout or reuse end somebody else's session."""
    shop = site(encryption={"keys": (KEY,)}, on_reuse="end")
    mallorys, anns = shop.log_in("mallory"), shop.log_in("ann")
    anns_new, mallorys_new = shop.regenerate(anns), shop.regenerate(mallorys)

    async def copy() -> None:
        stored = await shop.store.forward_get(_id(anns))
        old = await shop.store.forward_get(_id(mallorys))
        assert stored is not None
        assert old is not None
        assert await shop.store.forward_replace(_id(mallorys), old, stored, 1_000_000)

    assert shop.client.portal is not None
    shop.client.portal.call(copy)
    shop.clock.advance(LATER)
    assert shop.status(mallorys) == 401
    assert shop.log_out(mallorys) == 204
    assert shop.status(anns_new) == 200
    assert shop.status(mallorys_new) == 200


def _id(token: str) -> str:
    found: str = jwt.decode(token, options={"verify_signature": False})["jti"]
    return found


def test_an_application_that_is_compatible_with_node_has_it_too(site: Make) -> None:
    """Its tokens have no `exp`, and come in the header of the Node original."""
    shop = site(settings=SessionSettings.node_compatible(secret=SECRET, on_reuse="end"))

    def ask(method: str, path: str, token: str) -> Any:
        return shop.client.request(method, path, headers={"x-access-token": token})

    for way in ("logout", "reuse"):
        stolen = shop.log_in()
        thiefs = ask("POST", "/id", stolen).json()["access_token"]
        assert "exp" not in jwt.decode(thiefs, options={"verify_signature": False})
        shop.clock.advance(LATER)
        if way == "logout":
            assert ask("DELETE", "/session", stolen).status_code == 204
        assert ask("GET", "/session", stolen).status_code == 401
        assert ask("GET", "/session", thiefs).status_code == 401


class TestAtTheVeryMoment:
    """The thief regenerates while the victim logs out: every interleaving of the two, and of two thieves and a victim.

    Each call of the store gives way to the others a number of times that a seed chooses.
    """

    @pytest.mark.parametrize("thieves", [1, 2])
    @pytest.mark.parametrize("seed", range(60))
    async def test_nobody_has_a_session_afterwards(self, clock: Clock, thieves: int, seed: int) -> None:
        """Whoever gets a token has one that is dead, and all others get a 401."""
        store = InspectableStore(clock)
        slow: Any = GivingWay(store, seed)
        provider = started(
            SessionProvider(UserSession, Claims, secret=SECRET, store=slow, clock=clock, user_index=bool(seed % 2))
        )
        tester = AsyncSessionTester(provider)
        token = (await tester.login(UserSession(), Claims(sub="ann"))).token
        thief_managers = [await tester.manager(token) for _ in range(thieves)]
        victim = await tester.manager(token)
        moves = [manager.regenerate() for manager in thief_managers]
        *got, _ = await asyncio.gather(*moves, victim.destroy(), return_exceptions=True)
        for each in got:
            if isinstance(each, Token):
                assert (await tester.manager(each.access_token)).session is None
            else:
                assert isinstance(each, SessionNotFoundError)
        assert store.contents == {}


class GivingWay:
    """A store whose answers, and its calls, come after some turns of the event loop."""

    def __init__(self, store: InspectableStore, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        async def giving_way(*args: Any, **options: Any) -> Any:
            await self._wait()
            found = await call(*args, **options)
            await self._wait()
            return found

        return giving_way

    async def _wait(self) -> None:
        # Now and then long: then the others take several steps meanwhile.
        for _ in range(self._random.choice((0, 0, 0, 1, 2, 40))):
            await asyncio.sleep(0)
