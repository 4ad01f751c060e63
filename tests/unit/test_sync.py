"""Tests of `manager.sync`: the verbs as blocking calls, for everything that does not run on the event loop."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from jwtsession import (
    InvalidArgumentError,
    SessionConflictError,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
    StoreUnavailableError,
    SyncSessionManager,
    SyncSessionProvider,
    Token,
)
from tests.conftest import Clock
from tests.unit.conftest import Manager, UserClaims, UserSession, World, empty
from tests.web import bearer

Sync = SyncSessionManager[UserSession, UserClaims]


async def in_a_thread(work: Callable[[], Any]) -> Any:
    """What a thread of the application's own, not of a pool, comes to."""
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def run() -> None:
        try:
            done.get_loop().call_soon_threadsafe(done.set_result, work())
        except Exception as error:
            done.get_loop().call_soon_threadsafe(done.set_exception, error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        return await done
    finally:
        thread.join()


async def test_every_verb_works_from_a_thread(clock: Clock) -> None:
    """Each returns what the manager's own returns, and the manager is as it would be after that."""
    world = World(clock, user_index=True)
    manager = await world.request()
    await world.log_in(sub="ann")

    def work() -> None:
        sync = manager.sync
        token = sync.create(UserSession(user_id=1), UserClaims(sub="ann"))
        assert token.access_token == manager.token
        sync.touch()
        assert sync.update() is manager.session
        assert sync.update(UserSession(user_id=2)).user_id == 2
        assert sync.reload().user_id == 2
        assert sync.mutate(lambda session: session.cart.append("tea")).cart == ["tea"]
        assert sync.destroy_others() == 1
        assert sync.regenerate() != token
        sync.destroy()
        sync.destroy()

    await in_a_thread(work)
    assert empty(manager)
    assert world.store.contents == {}


def test_a_def_endpoint_uses_it(world: World) -> None:
    """FastAPI runs it in a thread: it logs in, changes and logs out, and an error is its HTTP answer."""
    app = FastAPI(lifespan=world.provider.lifespan)
    manager_ = Annotated[SessionManager[UserSession, UserClaims], Depends(world.provider.get_manager)]

    @app.post("/session")
    def log_in(manager: manager_) -> Token:
        return manager.sync.create(UserSession(user_id=1))

    @app.put("/session")
    def change(manager: manager_, item: str) -> UserSession:
        manager.require().cart.append(item)
        return manager.sync.update()

    @app.delete("/session")
    def log_out(manager: manager_) -> None:
        manager.sync.destroy()

    with TestClient(app) as client:
        headers = bearer(client.post("/session").json()["access_token"])
        assert client.put("/session?item=tea", headers=headers).json() == {"user_id": 1, "cart": ["tea"]}
        assert client.delete("/session", headers=headers).status_code == 200
        assert client.put("/session?item=tea", headers=headers).status_code == 401
        assert client.delete("/session").status_code == 401


@pytest.mark.parametrize(
    ("verb", "error"),
    [
        (lambda sync: sync.create("no session"), InvalidArgumentError),
        (lambda sync: sync.update(UserSession(user_id=3)), SessionConflictError),
        (lambda sync: sync.destroy(wait_replicas=1), StoreUnavailableError),
        (lambda sync: sync.mutate(lambda session: session.nothing), AttributeError),
    ],
    ids=["create", "update", "destroy", "mutate"],
)
async def test_what_a_verb_raises_crosses_over(
    world: World, verb: Callable[[Sync], Any], error: type[Exception]
) -> None:
    """The thread gets the very exception of the manager's own verb."""
    token = await world.log_in()
    manager, other = await world.request(token), await world.request(token)
    await other.update(UserSession(user_id=2))
    with pytest.raises(error):
        await in_a_thread(lambda: verb(manager.sync))
    assert world.stored(other)["user_id"] == 2


async def test_a_session_that_is_gone_is_a_401_in_a_thread_too(world: World) -> None:
    """What somebody else destroyed is `SessionNotFoundError` there, and the manager is empty."""
    token = await world.log_in()
    manager = await world.request(token)
    await (await world.request(token)).destroy()
    with pytest.raises(SessionNotFoundError):
        await in_a_thread(manager.sync.update)
    assert empty(manager)


async def test_on_the_loops_own_thread_it_says_so(world: World) -> None:
    """Waiting for itself would never end: a RuntimeError at once, in an endpoint and in a function for `mutate`."""
    manager = await world.request(await world.log_in())
    with pytest.raises(RuntimeError, match="await"):
        manager.sync.touch()
    with pytest.raises(RuntimeError, match="await"):
        await in_a_thread(lambda: manager.sync.mutate(lambda session: manager.sync.reload()))


def test_after_the_applications_end_it_is_an_error(world: World) -> None:
    """A thread that outlives the event loop is told, and does not wait for ever."""

    async def log_in() -> Manager:
        return await world.request(await world.log_in())

    manager = asyncio.run(log_in())
    with pytest.raises(RuntimeError, match="closed"):
        manager.sync.touch()


@pytest.mark.parametrize(
    ("blocking", "awaited"), [(SyncSessionManager, SessionManager), (SyncSessionProvider, SessionProvider)]
)
def test_a_blocking_call_takes_what_the_coroutine_takes(blocking: type, awaited: type) -> None:
    """The same parameters by the same names, with the same defaults."""
    verbs = [name for name, _ in inspect.getmembers(blocking, inspect.isfunction) if not name.startswith("_")]
    for name in verbs:
        mine, theirs = (inspect.signature(getattr(each, name)).parameters.values() for each in (blocking, awaited))
        assert [(p.name, p.kind, p.default) for p in mine] == [(p.name, p.kind, p.default) for p in theirs], name
