"""Tests of jwtsession.manager, on the memory store and with a clock of the test's own."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from jwtsession import (
    AuthenticationError,
    Claims,
    ExpiredTokenError,
    InvalidArgumentError,
    InvalidTokenError,
    MemorySessionStore,
    MissingTokenError,
    Session,
    SessionConflictError,
    SessionCorruptError,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
    SessionTooLargeError,
)
from tests.conftest import SECRET, Clock


class UserSession(Session):
    user_id: int
    cart: list[str] = []


class UserClaims(Claims):
    role: str = "user"


Manager = SessionManager[UserSession, UserClaims]


class World:
    """One provider, and requests to it."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.clock = clock
        self.store = MemorySessionStore(clock=clock)
        options = {"max_age": 1000, "absolute_max_age": 5000, "touch_interval": 0} | options
        self.provider = SessionProvider(
            UserSession, UserClaims, secret=SECRET, store=self.store, clock=clock, **options
        )

    async def request(self, token: str | None = None) -> Manager:
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": "GET", "headers": headers, "query_string": b""}
        return await self.provider.get_manager(Request(scope))

    async def log_in(self, **claims: Any) -> str:
        manager = await self.request()
        return (await manager.create(UserSession(user_id=1), UserClaims(**claims))).access_token

    def stored(self, manager: Manager) -> Any:
        assert manager.id is not None
        return json.loads(self.store._sessions[manager.id][0])

    def left(self, session_id: str | None) -> float:
        assert session_id is not None
        return self.store._sessions[session_id][1] - self.clock()


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


NEED_A_SESSION: list[Callable[[Manager], Awaitable[Any]]] = [
    lambda manager: manager.update(),
    lambda manager: manager.update(UserSession(user_id=1)),
    lambda manager: manager.reload(),
    lambda manager: manager.touch(),
    lambda manager: manager.regenerate(),
    lambda manager: manager.mutate(lambda session: None),
]


def empty(manager: Manager) -> bool:
    return manager.id is manager.session is manager.claims is manager.token is None


async def test_without_a_session_everything_is_none(world: World) -> None:
    """No token, a bad one and a dead one alike give a manager with nothing in it, and its reason."""
    dead = await world.log_in()
    await (await world.request(dead)).destroy()
    reasons: list[tuple[str | None, type[AuthenticationError]]] = [
        (None, MissingTokenError),
        ("nonsense", InvalidTokenError),
        (dead, SessionNotFoundError),
    ]
    for token, reason in reasons:
        manager = await world.request(token)
        assert empty(manager)
        with pytest.raises(reason):
            manager.require()


@pytest.mark.parametrize("verb", NEED_A_SESSION)
async def test_verbs_that_need_a_session_say_that_there_is_none(
    world: World, verb: Callable[[Manager], Awaitable[Any]]
) -> None:
    """Each is a 401 without a token, and with the token of a session that was destroyed after it was loaded."""
    with pytest.raises(SessionNotFoundError):
        await verb(await world.request())
    token = await world.log_in()
    manager = await world.request(token)
    await (await world.request(token)).destroy()
    with pytest.raises(SessionNotFoundError):
        await verb(manager)
    assert empty(manager)
    assert world.store._sessions == {}


async def test_create_gives_the_manager_its_session(world: World) -> None:
    """After create the manager is that of the new session, and a request with its token finds the same."""
    manager = await world.request()
    session = UserSession(user_id=1)
    token = await manager.create(session, UserClaims(sub="ann", role="admin"))
    assert manager.session is session
    assert manager.token == token.access_token
    assert token.expires_in == 5000
    again = await world.request(token.access_token)
    assert again.id == manager.id
    assert again.session == session
    assert again.claims == manager.claims
    assert again.claims is not None
    assert (again.claims.sub, again.claims.role, again.claims.jti) == ("ann", "admin", again.id)


async def test_ids_are_random_and_never_the_callers(world: World) -> None:
    """Each session has an id of 256 random bits; claims that bring one are refused and nothing is stored."""
    ids = {(await world.request(await world.log_in())).id for _ in range(10)}
    assert len(ids) == 10
    assert all(session_id is not None and len(session_id) == 43 for session_id in ids)
    before = dict(world.store._sessions)
    with pytest.raises(InvalidArgumentError, match="jti"):
        await world.log_in(jti="an-id-of-an-attackers-own-choice")
    assert world.store._sessions == before


@pytest.mark.parametrize(
    ("session", "claims", "error"),
    [
        (Session(user_id=1), None, InvalidArgumentError),
        ({"user_id": "x"}, None, InvalidArgumentError),
        (UserSession(user_id=1), Claims(), InvalidArgumentError),
        (UserSession(user_id=1), UserClaims(exp=1.0), InvalidArgumentError),
        (UserSession(user_id=1), UserClaims(aud="nobody configured it"), InvalidArgumentError),
        (UserSession(user_id=1), UserClaims(sub="x" * 9000), InvalidArgumentError),
        (UserSession(user_id=1, cart=["x" * 70_000]), None, SessionTooLargeError),
    ],
)
@pytest.mark.parametrize("verb", ["create", "regenerate"])
async def test_what_can_not_be_stored_or_signed_loses_nothing(
    world: World, verb: str, session: Any, claims: Any, error: type[Exception]
) -> None:
    """A bad session or bad claims are an error, and the session that there is goes on."""
    token = await world.log_in()
    manager = await world.request(token)
    before = dict(world.store._sessions)
    with pytest.raises(error):
        await getattr(manager, verb)(session, claims)
    assert world.store._sessions == before
    assert (await world.request(token)).session is not None


async def test_create_ends_the_session_that_came_with_the_request(world: World) -> None:
    """A login on top of a session leaves one session."""
    token = await world.log_in()
    manager = await world.request(token)
    await manager.create({"user_id": 2})
    assert empty(await world.request(token))
    assert list(world.store._sessions) == [manager.id]


async def test_update_stores_changes_in_place_or_another_session(world: World) -> None:
    """Both ways the manager's session is what was stored, and the idle timeout starts again."""
    manager = await world.request(await world.log_in())
    session = manager.require()
    session.cart.append("tea")
    world.clock.tick(500)
    assert await manager.update() is session
    assert world.stored(manager)["cart"] == ["tea"]
    assert world.left(manager.id) == 1000
    other = UserSession(user_id=2)
    assert await manager.update(other) is other is manager.session
    assert world.stored(manager) == {"user_id": 2, "cart": []}


async def test_update_refuses_a_change_that_does_not_fit(world: World) -> None:
    """A change in place that the model would not read back is told, and the stored session stays."""
    manager = await world.request(await world.log_in())
    manager.require().cart.append(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"cart\.0"):
        await manager.update()
    assert world.stored(manager)["cart"] == []


async def test_update_tells_a_conflict_and_reload_mends_it(world: World) -> None:
    """The one who comes second is told and overwrites nothing; after a reload the same change works."""
    token = await world.log_in()
    first, second = await world.request(token), await world.request(token)
    first.require().cart.append("theirs")
    second.require().cart.append("ours")
    await first.update()
    with pytest.raises(SessionConflictError):
        await second.update()
    assert world.stored(first)["cart"] == ["theirs"]
    (await second.reload()).cart.append("ours")
    await second.update()
    assert world.stored(first)["cart"] == ["theirs", "ours"]


async def test_an_equal_update_is_done(world: World) -> None:
    """Two requests that make the same change agree."""
    token = await world.log_in()
    managers = [await world.request(token) for _ in range(2)]
    for manager in managers:
        manager.require().cart.append("tea")
        await manager.update()
    assert world.stored(managers[0])["cart"] == ["tea"]


async def test_reload_of_what_can_not_be_read_is_corrupt_and_keeps_it(world: World) -> None:
    """Somebody's garbage is a 401, and stays where it is."""
    manager = await world.request(await world.log_in())
    session_id = manager.id
    assert session_id is not None
    world.store._sessions[session_id] = (b"garbage", world.clock() + 100)
    with pytest.raises(SessionCorruptError):
        await manager.reload()
    assert empty(manager)
    assert world.store._sessions[session_id][0] == b"garbage"
    await manager.destroy()  # the token is genuine: logging out works all the same
    assert world.store._sessions == {}


async def test_touch_starts_the_idle_timeout_again(world: World) -> None:
    """A session that is touched lives on, its data as it was."""
    manager = await world.request(await world.log_in())
    world.clock.tick(999)
    await manager.touch()
    assert world.left(manager.id) == 1000


async def test_no_verb_outlives_the_token(world: World) -> None:
    """Every time to live is the shorter of the idle timeout and what the token has left; afterwards it is a 401."""
    token = await world.log_in()
    for _ in range(5):
        world.clock.tick(900)
        manager = await world.request(token)
    assert world.left(manager.id) == 500
    await manager.touch()
    assert world.left(manager.id) == 500
    await manager.update()
    assert world.left(manager.id) == 500
    await manager.mutate(lambda session: session.cart.append("x"))
    assert world.left(manager.id) == 500
    await manager.regenerate()
    assert world.left(manager.id) == 500
    world.clock.tick(500)
    verbs: list[Callable[[], Awaitable[Any]]] = [manager.touch, manager.update, manager.regenerate]
    for verb in verbs:
        with pytest.raises(AuthenticationError):
            await verb()
    with pytest.raises(ExpiredTokenError):
        (await world.request(manager._token)).require()


async def test_reads_extend_once_in_touch_interval(clock: Clock) -> None:
    """Between two extensions reads leave the time to live alone, so it is exact to the interval."""
    world = World(clock, touch_interval=60)
    token = await world.log_in()
    session_id = (await world.request(token)).id
    clock.tick(59)
    await world.request(token)
    assert world.left(session_id) == 941
    clock.tick(1)
    await world.request(token)
    assert world.left(session_id) == 1000


async def test_a_touch_interval_is_never_more_than_a_quarter(clock: Clock) -> None:
    """A session that is read now and then stays alive, however large the interval was set."""
    world = World(clock, touch_interval=100_000)
    token = await world.log_in()
    for _ in range(10):
        clock.tick(300)
        assert (await world.request(token)).session is not None


async def test_destroy_ends_the_session_and_twice_is_no_error(world: World) -> None:
    """It is gone for everybody; without a genuine token there is nothing to end."""
    token = await world.log_in()
    manager = await world.request(token)
    await manager.destroy()
    assert empty(manager)
    await manager.destroy()
    await (await world.request(token)).destroy()
    for nothing in (None, "nonsense"):
        with pytest.raises(SessionNotFoundError):
            await (await world.request(nothing)).destroy()


async def test_mutate_applies_every_change(world: World) -> None:
    """Twenty requests that each add one leave twenty, whatever the order."""
    token = await world.log_in()
    managers = [await world.request(token) for _ in range(20)]

    async def add(session: UserSession) -> None:
        count = session.user_id
        await asyncio.sleep(0)
        session.user_id = count + 1

    await asyncio.gather(*(manager.mutate(add) for manager in managers))
    assert world.stored(managers[0])["user_id"] == 21


async def test_mutate_takes_functions_that_return_another_session(world: World) -> None:
    """A function or a coroutine function may change in place or return what to store."""
    manager = await world.request(await world.log_in())

    async def replace(session: UserSession) -> UserSession:
        return UserSession(user_id=session.user_id + 10)

    assert (await manager.mutate(lambda session: UserSession(user_id=session.user_id + 1))).user_id == 2
    assert (await manager.mutate(replace)).user_id == 12
    assert manager.session is not None
    assert manager.session.user_id == world.stored(manager)["user_id"] == 12


async def test_mutate_gives_up_in_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody else is faster time after time it is a conflict, and nothing is overwritten."""
    monkeypatch.setattr("jwtsession.manager.MUTATE_ATTEMPTS", 3)
    token = await world.log_in()
    manager, other = await world.request(token), await world.request(token)
    calls = 0

    async def overtaken(session: UserSession) -> None:
        nonlocal calls
        calls += 1
        await other.mutate(lambda theirs: theirs.cart.append("theirs"))
        session.cart.append("ours")

    with pytest.raises(SessionConflictError):
        await manager.mutate(overtaken)
    assert calls == 3
    assert world.stored(other)["cart"] == ["theirs"] * 3


async def test_what_a_change_raises_reaches_the_caller(world: World) -> None:
    """An error in the function is the caller's, and nothing is stored."""
    manager = await world.request(await world.log_in())

    def fail(session: UserSession) -> None:
        session.cart.append("x")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await manager.mutate(fail)
    assert world.stored(manager)["cart"] == []


async def test_regenerate_moves_the_session(world: World) -> None:
    """A new id and token, the data and the unknown fields moved, the old token dead."""
    token = await world.log_in(sub="ann", role="admin")
    manager = await world.request(token)
    old = manager.id
    assert old is not None
    world.store._sessions[old] = (b'{"user_id":1,"theirs":2}', world.clock() + 10)
    await manager.reload()
    manager.require().cart.append("tea")
    moved = await manager.regenerate()
    assert manager.id != old
    assert moved.access_token == manager.token != token
    assert world.stored(manager) == {"user_id": 1, "cart": ["tea"], "theirs": 2}
    assert manager.claims is not None
    assert (manager.claims.sub, manager.claims.role) == ("ann", "admin")
    assert empty(await world.request(token))


async def test_nothing_shows_what_is_secret(world: World) -> None:
    """The repr of a manager, its synchronous face and the provider tell no token, id or data."""
    manager = await world.request()
    await manager.create(UserSession(user_id=1, cart=["canary"]))
    text = f"{manager!r} {manager} {manager.sync!r} {world.provider!r} {world.store!r}"
    for secret in ("canary", SECRET, manager.id, manager.token):
        assert secret is not None
        assert secret not in text


class TestSync:
    """The synchronous face."""

    async def test_verbs_run_on_the_loop_from_another_thread(self, world: World) -> None:
        """Every verb works from a thread, returns what the manager's returns, and raises what it raises."""
        manager = await world.request()

        def work() -> list[Any]:
            sync = manager.sync
            token = sync.create(UserSession(user_id=1))
            sync.touch()
            updated = sync.update(UserSession(user_id=2))
            reloaded = sync.reload()
            mutated = sync.mutate(lambda session: session.cart.append("tea"))
            moved = sync.regenerate()
            sync.destroy()
            with pytest.raises(SessionNotFoundError):
                sync.update()
            return [token != moved, updated.user_id, reloaded.user_id, mutated.cart]

        assert await asyncio.to_thread(work) == [True, 2, 2, ["tea"]]
        assert empty(manager)

    async def test_on_the_loops_own_thread_it_says_so(self, world: World) -> None:
        """Waiting for itself would never end: it is a RuntimeError at once."""
        manager = await world.request(await world.log_in())
        with pytest.raises(RuntimeError, match="await"):
            manager.sync.touch()
