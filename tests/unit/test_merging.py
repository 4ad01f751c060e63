"""Tests of jwtsession.manager.merging: a login takes over the data of the session before it, once, and loses none."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient

from jwtsession import (
    Claims,
    InvalidArgumentError,
    SessionConflictError,
    SessionEvent,
    SessionManager,
    SessionTooLargeError,
    StoreUnavailableError,
    Token,
    TooManySessionsError,
)
from jwtsession.testing import InspectableStore
from tests.conftest import Clock
from tests.unit.conftest import Manager, UserClaims, UserSession, World
from tests.web import bearer

ANN = UserClaims(sub="ann")


def add(old: UserSession, new: UserSession) -> None:
    """The usual merge."""
    new.cart += old.cart


async def visit(world: World) -> Manager:
    """A request of a visitor who has a cart."""
    login = await world.tester.login(UserSession(user_id=0, cart=["tea"]))
    return await world.request(login.token)


async def cart(world: World, token: str | None) -> list[str] | None:
    """What is in the cart that this token gives; None if it gives no session."""
    session = (await world.request(token)).session
    return None if session is None else session.cart


def contents(world: World) -> dict[str, bytes]:
    return {each: stored.value for each, stored in world.store.contents.items()}


def returned(old: UserSession, new: UserSession) -> UserSession:
    return UserSession(user_id=new.user_id, cart=[*new.cart, *old.cart])


def the_old_one(old: UserSession, new: UserSession) -> UserSession:
    old.user_id, old.cart = new.user_id, [*new.cart, *old.cart]
    return old


async def later(old: UserSession, new: UserSession) -> None:
    await asyncio.sleep(0)
    add(old, new)


async def returned_later(old: UserSession, new: UserSession) -> UserSession:
    return returned(old, new)


@pytest.mark.parametrize("merge", [add, returned, the_old_one, later, returned_later])
async def test_the_cart_goes_along(world: World, merge: Any) -> None:
    """Changed in place or returned, at once or later: the user has it, the visitor's session is gone."""
    visitor = await visit(world)
    old = visitor.token
    given = UserSession(user_id=1, cart=["milk"])
    token = await visitor.create(given, ANN, merge=merge)
    assert visitor.require() == UserSession(user_id=1, cart=["milk", "tea"])
    assert given.cart == ["milk"]
    assert await cart(world, token.access_token) == ["milk", "tea"]
    assert await cart(world, old) is None
    assert len(world.store.contents) == 1


async def test_a_client_without_a_session_has_nothing_to_merge(world: World) -> None:
    """No token, and a token whose session has ended: the function is not called."""

    def never(old: Any, new: Any) -> None:
        raise AssertionError

    manager = await world.request()
    await manager.create(UserSession(user_id=1), ANN, merge=never)
    token = manager.token
    await manager.destroy()
    manager = await world.request(token)
    await manager.create(UserSession(user_id=1), ANN, merge=never)
    assert manager.require().cart == []


async def test_only_what_is_stored_goes_along(world: World) -> None:
    """Changes in place of the request's instance do not, and the function can't change that instance."""
    visitor = await visit(world)
    shown = visitor.require()
    shown.cart.append("unsaved")
    seen: list[UserSession] = []

    def merge(old: UserSession, new: UserSession) -> None:
        seen.extend((old, new))
        add(old, new)
        old.cart.clear()

    await visitor.create(UserSession(user_id=1), ANN, merge=merge)
    assert visitor.require().cart == ["tea"]
    assert shown.cart == ["tea", "unsaved"]
    assert seen[0] is not shown


def broken(old: UserSession, new: UserSession) -> None:
    old.cart.clear()
    new.cart.append("half")
    raise KeyError


def too_large(old: UserSession, new: UserSession) -> None:
    new.cart = ["x" * 70_000]


@pytest.mark.parametrize(
    ("merge", "error"),
    [
        (broken, KeyError),
        (too_large, SessionTooLargeError),
        (lambda old, new: 5, InvalidArgumentError),
        (lambda old, new: UserSession.model_construct(user_id="x"), InvalidArgumentError),
        (lambda: None, TypeError),
        (5, InvalidArgumentError),
    ],
)
async def test_if_it_fails_nothing_has_happened(world: World, merge: Any, error: type[Exception]) -> None:
    """Neither to the old session, nor to the request's manager, and there is no new one."""
    visitor = await visit(world)
    before, token = contents(world), visitor.token
    with pytest.raises(error):
        await visitor.create(UserSession(user_id=1), ANN, merge=merge)
    assert contents(world) == before
    assert (visitor.token, visitor.require().cart) == (token, ["tea"])
    await visitor.create(UserSession(user_id=1), ANN, merge=add)
    assert visitor.require().cart == ["tea"]


def interrupted(between: Callable[[int], Awaitable[object]]) -> Callable[..., Awaitable[None]]:
    """A merge in the middle of which something else happens; it gets the number of the attempt."""
    attempts = iter(range(100))

    async def merge(old: UserSession, new: UserSession) -> None:
        assert new.cart == ["milk"]  # nothing of the attempt before
        add(old, new)
        await between(next(attempts))

    return merge


async def test_a_cart_that_changes_meanwhile_is_merged_as_it_is_then(world: World) -> None:
    """Another tab puts something into it, twice: the function gets new instances, and nothing is lost or doubled."""
    visitor = await visit(world)
    other = await world.request(visitor.token)

    async def shop(attempt: int) -> None:
        if attempt < 2:
            other.require().cart.append(f"apple {attempt}")
            await other.update()

    await visitor.create(UserSession(user_id=1, cart=["milk"]), ANN, merge=interrupted(shop))
    assert visitor.require().cart == ["milk", "tea", "apple 0", "apple 1"]
    assert len(world.store.contents) == 1


async def test_a_session_that_ends_meanwhile_takes_its_cart_with_it(world: World) -> None:
    """A logout in between: the login succeeds, with what it would have without a merge."""
    visitor = await visit(world)
    other = await world.request(visitor.token)
    merge = interrupted(lambda attempt: other.destroy())
    await visitor.create(UserSession(user_id=1, cart=["milk"]), ANN, merge=merge)
    assert visitor.require().cart == ["milk"]
    assert await cart(world, visitor.token) == ["milk"]
    assert len(world.store.contents) == 1


async def test_a_session_that_moves_meanwhile_is_found(world: World) -> None:
    """`regenerate()` in between, by another request: the cart goes along, and the moved session ends."""
    visitor = await visit(world)
    other = await world.request(visitor.token)

    async def move(attempt: int) -> None:
        if attempt == 0:
            await other.regenerate()

    await visitor.create(UserSession(user_id=1, cart=["milk"]), ANN, merge=interrupted(move))
    assert visitor.require().cart == ["milk", "tea"]
    assert await cart(world, other.token) is None
    assert len(world.store.contents) == 1


@pytest.mark.slow
async def test_it_gives_up_some_time(clock: Clock) -> None:
    """If the old session changes at every attempt: a conflict, the cart stays where it was, and nothing is left."""
    world = World(clock, user_index=True)
    visitor = await visit(world)
    other = await world.request(visitor.token)

    async def shop(attempt: int) -> None:
        other.require().cart.append("apple")
        await other.update()

    with pytest.raises(SessionConflictError):
        await visitor.create(UserSession(user_id=1, cart=["milk"]), ANN, merge=interrupted(shop))
    assert await cart(world, visitor.token) == ["tea", *["apple"] * 32]
    assert len(world.store.contents) == 1
    assert await world.provider.list_sessions("ann") == []


@pytest.mark.parametrize("index", [False, True])
async def test_of_many_logins_at_once_one_gets_the_cart(clock: Clock, index: bool) -> None:
    """All succeed, each with a session; the visitor's is gone."""
    world = World(clock, user_index=index)
    token = (await visit(world)).token
    logins = [await world.request(token) for _ in range(20)]
    await asyncio.gather(*(each.create(UserSession(user_id=1), ANN, merge=later) for each in logins))
    carts = [await cart(world, each.token) for each in logins]
    assert sorted(map(str, carts)) == ["['tea']", *["[]"] * 19]
    assert await cart(world, token) is None


async def test_a_refused_login_leaves_the_visitor_as_he_was(clock: Clock) -> None:
    """`max_sessions` with `refuse`: no session of the user's more, and the cart is still the visitor's."""
    world = World(clock, user_index=True, max_sessions=1, too_many_sessions="refuse")
    await world.log_in(sub="ann")
    visitor = await visit(world)
    before = contents(world)
    with pytest.raises(TooManySessionsError):
        await visitor.create(UserSession(user_id=1), ANN, merge=add)
    assert contents(world) == before
    assert len(await world.provider.list_sessions("ann")) == 1


async def test_a_user_who_logs_in_again_takes_no_second_place(clock: Clock) -> None:
    """The old session is the user's own, and the only one that is permitted: it makes room for the new one."""
    world = World(clock, user_index=True, max_sessions=1, too_many_sessions="refuse")
    manager = await world.request(await world.log_in(sub="ann"))
    manager.require().cart.append("tea")
    await manager.update()
    await manager.create(UserSession(user_id=1), ANN, merge=add)
    assert manager.require().cart == ["tea"]
    (info,) = await world.provider.list_sessions("ann")
    assert info.id == manager.id


async def test_the_oldest_make_room_once(clock: Clock) -> None:
    """With `evict`, also if the cart changes in between."""
    world = World(clock, user_index=True, max_sessions=2, too_many_sessions="evict")
    oldest = await world.log_in(sub="ann")
    clock.advance(1)
    newer = await world.log_in(sub="ann")
    visitor = await visit(world)
    other = await world.request(visitor.token)

    async def shop(attempt: int) -> None:
        if attempt == 0:
            other.require().cart.append("apple")
            await other.update()

    await visitor.create(UserSession(user_id=1, cart=["milk"]), ANN, merge=interrupted(shop))
    assert [await cart(world, each) for each in (oldest, newer)] == [None, []]
    assert visitor.require().cart == ["milk", "tea", "apple"]


async def test_the_events_are_those_of_a_login(clock: Clock) -> None:
    """One session begins and one ends, however many attempts there were."""
    events: list[SessionEvent] = []
    world = World(clock, on_event=events.append)
    async with world.provider:
        visitor = await visit(world)
        other = await world.request(visitor.token)

        async def shop(attempt: int) -> None:
            if attempt == 0:
                await other.mutate(lambda session: session.cart.append("apple"))

        await visitor.create(UserSession(user_id=1, cart=["milk"]), ANN, merge=interrupted(shop))
    assert [(each.name, each.reason) for each in events[1:]] == [("created", "login"), ("destroyed", "replaced")]


# --- faults -----------------------------------------------------------------------------------------------------------

CALLS = ("index_add", "create", "compare_and_delete", "index_remove", "destroy", "load", "forward_get")


class Unreliable(InspectableStore):
    """At some of its calls, counted from 0, something happens instead of an answer."""

    at: tuple[int, ...] = ()
    calls = 0
    happens: Callable[[], None] = staticmethod(lambda: None)
    is_done = False
    """Whether the store does what it is asked, before that."""


def _unreliable(name: str) -> Any:
    async def call(self: Unreliable, *args: Any, **options: Any) -> Any:
        method = getattr(InspectableStore, name)
        number, self.calls = self.calls, self.calls + 1
        if number not in self.at:
            return await method(self, *args, **options)
        if self.is_done:
            await method(self, *args, **options)
        self.happens()
        await asyncio.sleep(0)  # where a cancellation arrives
        raise StoreUnavailableError

    return call


for _name in CALLS:
    setattr(Unreliable, _name, _unreliable(_name))


@pytest.mark.parametrize("is_done", [False, True], ids=["not done", "answer lost"])
@pytest.mark.parametrize(("conflicts", "at"), [*((False, at) for at in range(4)), *((True, at) for at in range(9))])
async def test_no_failure_of_the_store_loses_the_cart(
    clock: Clock, at: int, is_done: bool, conflicts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """At whichever command, done or not: the cart is behind the token that the client has then, the new or the old."""
    store = Unreliable(clock)
    world = World(clock, store, user_index=True)
    visitor = await visit(world)
    other = await world.request(visitor.token)
    wanted = ["tea"]

    async def shop(attempt: int) -> None:
        if conflicts and attempt == 0:
            other.require().cart.append("apple")
            await other.update()
            wanted.append("apple")

    store.at, store.is_done, store.calls = (at,), is_done, 0
    token = visitor.token
    with caplog.at_level(logging.WARNING, "jwtsession"):
        try:
            token = (
                await visitor.create(UserSession(user_id=1, cart=["milk"]), ANN, merge=interrupted(shop))
            ).access_token
        except StoreUnavailableError:
            assert visitor.token == token
        else:
            wanted.insert(0, "milk")
    assert store.calls > at
    store.at = ()
    assert await cart(world, token) == wanted


@pytest.mark.parametrize("is_done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("at", range(4))
async def test_a_client_that_goes_away_loses_no_cart(clock: Clock, at: int, is_done: bool) -> None:
    """At whichever command the request is cancelled: the visitor's session has the cart, or else the user's has it."""
    store = Unreliable(clock)
    world = World(clock, store, user_index=True)
    visitor = await visit(world)
    token = visitor.token
    store.at, store.is_done, store.calls = (at,), is_done, 0
    login = asyncio.ensure_future(visitor.create(UserSession(user_id=1), ANN, merge=add))
    store.happens = login.cancel  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        await login
    store.at = ()
    kept = [UserSession.model_validate_json(each).cart for each in contents(world).values()]
    assert ["tea"] in kept
    if await cart(world, token) != ["tea"]:
        (info,) = await world.provider.list_sessions("ann")
        session = await world.provider.get(info.id)
        assert session is not None
        assert session.cart == ["tea"]


async def test_the_log_tells_of_an_old_session_that_may_live(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """If the store fails when the old session shall go: the login has succeeded."""
    store = Unreliable(clock)
    world = World(clock, store)
    visitor = await visit(world)
    old = visitor.token
    store.at, store.calls = (1, 2), 0
    with caplog.at_level(logging.WARNING, "jwtsession"):
        await visitor.create(UserSession(user_id=1), ANN, merge=add)
    assert "may not have ended" in caplog.text
    assert await cart(world, visitor.token) == await cart(world, old) == ["tea"]


# --- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(clock: Clock) -> Iterator[TestClient]:
    """A shop whose visitors have carts."""
    sessions = World(clock).provider
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]

    @app.post("/visit")
    async def enter(manager: manager_) -> Token:
        return await manager.create(UserSession(user_id=0, cart=["tea"]))

    @app.post("/session")
    def log_in(manager: manager_) -> Token:
        return manager.sync.create(UserSession(user_id=1), UserClaims(sub="ann"), merge=add)

    @app.get("/cart")
    async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> list[str]:
        return session.cart

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, manager: manager_) -> None:
        await websocket.accept()
        token = await manager.create(UserSession(user_id=1), UserClaims(sub="ann"), merge=add)
        await websocket.send_json(token.access_token)
        await websocket.receive_text()
        await websocket.send_json(manager.require().cart)

    with TestClient(app) as client:
        yield client


def test_it_works_in_a_def_endpoint(shop: TestClient) -> None:
    """By `manager.sync`."""
    visitor = bearer(shop.post("/visit").json()["access_token"])
    user = bearer(shop.post("/session", headers=visitor).json()["access_token"])
    assert shop.get("/cart", headers=user).json() == ["tea"]
    assert shop.get("/cart", headers=visitor).status_code == 401


def test_the_socket_that_logs_in_stays_open_and_the_others_close(shop: TestClient) -> None:
    """As at any login: its own session is the user's now, and ends with that."""
    visitor = bearer(shop.post("/visit").json()["access_token"])
    with shop.websocket_connect("/ws", headers=visitor) as socket:
        user = bearer(socket.receive_json())
        socket.send_text("more")
        assert socket.receive_json() == ["tea"]
    assert shop.get("/cart", headers=user).json() == ["tea"]
