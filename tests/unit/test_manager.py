"""Tests of jwtsession.manager, on the memory store and with a clock of the test's own."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest

from jwtsession import (
    AuthenticationError,
    Claims,
    ExpiredTokenError,
    InvalidArgumentError,
    InvalidTokenError,
    MissingTokenError,
    Session,
    SessionConflictError,
    SessionCorruptError,
    SessionNotFoundError,
    SessionSettings,
    SessionTooLargeError,
    StoreUnavailableError,
    TooManySessionsError,
)
from jwtsession.stores import Outcome
from jwtsession.testing import InspectableStore
from tests.conftest import SECRET, Clock
from tests.parts import parts
from tests.unit.conftest import Manager, UserClaims, UserSession, World, empty

NEED_A_SESSION: list[Callable[[Manager], Awaitable[Any]]] = [
    lambda manager: manager.update(),
    lambda manager: manager.update(UserSession(user_id=1)),
    lambda manager: manager.reload(),
    lambda manager: manager.touch(),
    lambda manager: manager.regenerate(),
    lambda manager: manager.mutate(lambda session: None),
]


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
    assert world.store.contents == {}


async def test_create_gives_the_manager_its_session(world: World) -> None:
    """After create the manager is that of the new session, and a request with its token finds the same."""
    manager = await world.request()
    token = await manager.create(UserSession(user_id=1), UserClaims(sub="ann", role="admin"))
    session = manager.session
    assert session == UserSession(user_id=1)
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
    before = world.store.contents
    with pytest.raises(InvalidArgumentError, match="jti"):
        await world.log_in(jti="an-id-of-an-attackers-own-choice")
    assert world.store.contents == before


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
    before = world.store.contents
    with pytest.raises(error):
        await getattr(manager, verb)(session, claims)
    assert world.store.contents == before
    assert (await world.request(token)).session is not None


async def test_create_ends_the_session_that_came_with_the_request(world: World) -> None:
    """A login on top of a session leaves one session."""
    token = await world.log_in()
    manager = await world.request(token)
    await manager.create({"user_id": 2})
    assert empty(await world.request(token))
    assert [*world.store.contents] == [manager.id]


async def test_update_stores_changes_in_place_or_another_session(world: World) -> None:
    """Both ways the manager's session is what was stored, and the idle timeout starts again."""
    manager = await world.request(await world.log_in())
    session = manager.require()
    session.cart.append("tea")
    world.clock.advance(500)
    assert await manager.update() is session
    assert world.stored(manager)["cart"] == ["tea"]
    assert world.left(manager.id) == 1000
    other = UserSession(user_id=2)
    assert await manager.update(other) is session is manager.session
    assert session == other
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


async def test_an_equal_update_of_somebody_else_is_a_conflict(world: World) -> None:
    """Of two requests that make the same change one made it: the other is told, and loses nothing by trying again."""
    token = await world.log_in()
    first, second = [await world.request(token) for _ in range(2)]
    for manager in (first, second):
        manager.require().cart.append("tea")
    await first.update()
    with pytest.raises(SessionConflictError):
        await second.update()
    assert (await second.reload()).cart == ["tea"]


async def test_reload_of_what_can_not_be_read_is_corrupt_and_keeps_it(world: World) -> None:
    """Somebody's garbage is a 401, and stays where it is."""
    manager = await world.request(await world.log_in())
    session_id = manager.id
    assert session_id is not None
    world.store.put(session_id, b"garbage")
    with pytest.raises(SessionCorruptError):
        await manager.reload()
    assert empty(manager)
    assert world.store.contents[session_id].value == b"garbage"
    await manager.destroy()  # the token is genuine: logging out works all the same
    assert world.store.contents == {}


async def test_touch_starts_the_idle_timeout_again(world: World) -> None:
    """A session that is touched lives on, its data as it was."""
    manager = await world.request(await world.log_in())
    world.clock.advance(999)
    await manager.touch()
    assert world.left(manager.id) == 1000


async def test_no_verb_outlives_the_token(world: World) -> None:
    """Every time to live is the shorter of the idle timeout and what the token has left; afterwards it is a 401."""
    token = await world.log_in()
    for _ in range(5):
        world.clock.advance(900)
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
    world.clock.advance(500)
    verbs: list[Callable[[], Awaitable[Any]]] = [manager.touch, manager.update, manager.regenerate]
    for verb in verbs:
        with pytest.raises(AuthenticationError):
            await verb()
    with pytest.raises(ExpiredTokenError):
        (await world.request(token)).require()


async def test_reads_extend_once_in_touch_interval(clock: Clock) -> None:
    """Between two extensions reads leave the time to live alone, so it is exact to the interval."""
    world = World(clock, touch_interval=60)
    token = await world.log_in()
    session_id = (await world.request(token)).id
    clock.advance(59)
    await world.request(token)
    assert world.left(session_id) == 941
    clock.advance(1)
    await world.request(token)
    assert world.left(session_id) == 1000


async def test_a_touch_interval_is_never_more_than_a_quarter(clock: Clock) -> None:
    """A session that is read now and then stays alive, however large the interval was set."""
    world = World(clock, touch_interval=100_000)
    token = await world.log_in()
    for _ in range(10):
        clock.advance(300)
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
    monkeypatch.setattr("jwtsession.manager.session_manager.MUTATE_ATTEMPTS", 3)
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
    world.store.put(old, b'{"user_id":1,"theirs":2}')
    await manager.reload()
    manager.require().cart.append("tea")
    moved = await manager.regenerate()
    assert manager.id != old
    assert moved.access_token == manager.token != token
    assert world.stored(manager) == {"user_id": 1, "cart": ["tea"], "theirs": 2}
    assert manager.claims is not None
    assert (manager.claims.sub, manager.claims.role) == ("ann", "admin")
    assert empty(await world.request(token))


async def test_of_many_that_regenerate_one_wins(world: World) -> None:
    """Ten requests that move one session at once leave one session, and nine are told that it is gone."""
    token = await world.log_in()
    managers = [await world.request(token) for _ in range(10)]
    answers = await asyncio.gather(*(manager.regenerate() for manager in managers), return_exceptions=True)
    assert [isinstance(answer, SessionNotFoundError) for answer in answers].count(True) == 9
    (winner,) = [manager for manager in managers if not empty(manager)]
    assert [*world.store.contents] == [winner.id]


async def test_regenerate_tells_a_conflict_and_leaves_the_session(world: World) -> None:
    """What somebody else has changed meanwhile is not moved; it stays where it was, with the change."""
    token = await world.log_in()
    manager, other = await world.request(token), await world.request(token)
    await other.update({"user_id": 2})
    with pytest.raises(SessionConflictError):
        await manager.regenerate()
    assert (await world.request(token)).session == other.session


@pytest.mark.parametrize("distance", [999, 999.5, 1000, 1001])
@pytest.mark.parametrize(
    "verb",
    [
        Manager.touch,
        Manager.update,
        Manager.reload,
        Manager.regenerate,
        lambda manager: manager.mutate(lambda session: None),
        lambda manager: manager.create({"user_id": 2}, UserClaims(exp=manager.claims.exp)),
    ],
    ids=["touch", "update", "reload", "regenerate", "mutate", "create"],
)
async def test_the_time_to_live_is_the_shorter_of_both_to_the_millisecond(
    world: World, distance: float, verb: Callable[[Manager], Awaitable[Any]]
) -> None:
    """Whatever a verb does, the session lives for `max_age` or until the token's `exp`, whichever comes first."""
    manager = await world.request(await world.log_in(exp=world.clock() + distance))
    await verb(manager)
    assert world.left(manager.id) == pytest.approx(min(1000, distance), abs=0.001)


async def test_a_session_that_is_destroyed_during_a_mutate_stays_so(world: World) -> None:
    """A logout between the read and the write of a mutate wins: 401, nothing stored, and the manager is empty."""
    token = await world.log_in()
    manager, other = await world.request(token), await world.request(token)

    async def log_out(session: UserSession) -> None:
        await other.destroy()

    with pytest.raises(SessionNotFoundError):
        await manager.mutate(log_out)
    assert empty(manager)
    assert world.store.contents == {}


@pytest.mark.parametrize("bad", [5, {"user_id": "x"}, Session(user_id=1), UserSession(user_id=1, cart=["x" * 70_000])])
async def test_a_mutate_that_returns_what_does_not_fit_stores_nothing(world: World, bad: Any) -> None:
    """Another type, data that does not fit, too much of it: an error, and the stored session stays."""
    manager = await world.request(await world.log_in())
    with pytest.raises((InvalidArgumentError, SessionTooLargeError)):
        await manager.mutate(lambda session: bad)
    assert world.stored(manager) == {"user_id": 1, "cart": []}


async def test_an_id_that_is_taken_is_never_overwritten(clock: Clock) -> None:
    """Where the store says that the new id is taken, there is no session under it, and no token: 503."""

    class Full(InspectableStore):
        async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
            return False

    manager = await World(clock, Full(clock)).request()
    with pytest.raises(StoreUnavailableError) as caught:
        await manager.create(UserSession(user_id=1))
    assert caught.value.code == "session_id_taken"
    assert empty(manager)


async def test_a_users_sessions_are_indexed_through_their_lives(clock: Clock) -> None:
    """Login, new id, logout and `destroy_others` keep the index of a user's sessions true; a visitor has no index."""
    world = World(clock, user_index=True, max_sessions=3)

    async def listed() -> set[str]:
        return {info.id for info in await world.provider.list_sessions("ann")}

    ann = [await world.request(await world.log_in(sub="ann")) for _ in range(3)]
    assert await listed() == {manager.id for manager in ann}
    await ann[0].regenerate()
    await ann[1].destroy()
    assert await listed() == {ann[0].id, ann[2].id}
    assert await ann[0].destroy_others() == 1
    assert await listed() == {ann[0].id}
    visitor = await world.request(await world.log_in())
    with pytest.raises(InvalidArgumentError, match="needs a token with a sub"):
        await visitor.destroy_others()
    alone = World(clock)
    with pytest.raises(InvalidArgumentError, match=r"set user_index=True$"):
        await (await alone.request(await alone.log_in(sub="ann"))).destroy_others()
    await visitor.regenerate(claims=UserClaims(sub="ann"))
    assert await listed() == {ann[0].id, visitor.id}
    await visitor.touch()
    await visitor.create({"user_id": 1}, UserClaims(sub="bob"))
    assert await listed() == {ann[0].id}


async def test_a_login_beyond_the_limit_is_refused_or_ends_the_oldest(clock: Clock) -> None:
    """With `refuse` the login is an error and nothing is stored; with `evict` the oldest session is gone."""
    refusing = World(clock, user_index=True, max_sessions=1)
    await refusing.log_in(sub="ann")
    with pytest.raises(TooManySessionsError):
        await refusing.log_in(sub="ann")
    assert len(refusing.store.contents) == 1
    evicting = World(clock, user_index=True, max_sessions=1, too_many_sessions="evict")
    old = await evicting.log_in(sub="ann")
    new = await evicting.log_in(sub="ann")
    assert empty(await evicting.request(old))
    assert not empty(await evicting.request(new))


async def test_a_session_that_is_ended_on_its_way_to_a_new_id_has_ended(clock: Clock) -> None:
    """A `revoke_all` between the end of the old id and the start of the new one leaves neither: 401."""

    class Between(InspectableStore):
        async def compare_and_delete(self, session_id: str, expected: bytes) -> Outcome:
            outcome = await super().compare_and_delete(session_id, expected)
            await world.provider.revoke_all("ann")
            return outcome

    world = World(clock, Between(clock), user_index=True)
    manager = await world.request(await world.log_in(sub="ann"))
    with pytest.raises(SessionNotFoundError):
        await manager.regenerate()
    assert empty(manager)
    assert world.store.contents == {}


async def test_nothing_shows_what_is_secret(world: World) -> None:
    """No repr and no str tells a token, an id, a secret or data: of manager, provider, settings, codec, keys, token."""
    manager = await world.request()
    token = await manager.create(UserSession(user_id=1, cart=["canary"]))
    settings = SessionSettings(secret=SECRET, redis_url="redis://:canary@host")
    shown = parts(manager, manager.sync, world.provider, token, settings)
    assert {"KeyRing", "TokenCodec", "InspectableStore"} <= {type(each).__name__ for each in shown}
    for secret in ("canary", SECRET, manager.id, manager.token):
        assert secret is not None
        assert all(secret not in f"{each!r} {each}" for each in shown)


async def test_a_login_that_no_index_can_have_is_warned_of_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """With `user_index` a session without a `sub` can't be listed or ended with its user: the log says so, once."""
    await World(clock).log_in()
    assert "sub" not in caplog.text
    world = World(clock, user_index=True)
    await world.log_in(sub="ann")
    assert "sub" not in caplog.text
    for _ in range(2):
        await world.log_in()
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "user_index" in record.getMessage()
    assert "Claims(sub=...)" in record.getMessage()


@pytest.mark.parametrize("claims", [None, UserClaims(), "those that were read"])
async def test_regenerate_after_the_limit_was_lowered_gives_the_limit(clock: Clock, claims: Any) -> None:
    """An inherited idle timeout above `max_age_limit` becomes the limit, and the user moves on."""
    generous = World(clock, max_age_limit=3000)
    strict = World(clock, generous.store, max_age_limit=2000)
    login = await generous.request()
    token = await login.create(UserSession(user_id=1), UserClaims(sub="ann"), max_age=3000)
    manager = await strict.request(token.access_token)
    await manager.regenerate(claims=manager.claims if isinstance(claims, str) else claims)
    assert manager.claims is not None
    assert manager.claims.jwtsession_idle_timeout == 2000
    assert strict.left(manager.id) == 2000


@pytest.mark.parametrize("own", ["30m", 5, -1, 2.5])
async def test_a_claim_of_the_name_idle_timeout_is_the_applications(world: World, own: object) -> None:
    """Whoever else has such a claim, as the Node side or the application, keeps it, and it ends no session."""
    manager = await world.request(await world.log_in(idle_timeout=own))
    assert manager.session is not None
    assert manager.claims is not None
    assert manager.claims.model_extra == {"idle_timeout": own}
    assert world.left(manager.id) == 1000
    await manager.regenerate()
    assert world.left(manager.id) == 1000


async def test_a_login_whose_client_goes_away_leaves_no_session(clock: Clock) -> None:
    """Without an index too, and while the session from before ends: nobody gets the new one's token."""
    ending, go_on = asyncio.Event(), asyncio.Event()

    class Slow(InspectableStore):
        async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
            if not ending.is_set():
                ending.set()
                await go_on.wait()
            return await super().destroy(session_id, wait_replicas)

    world = World(clock, Slow(clock))
    token = await world.log_in()
    manager = await world.request(token)
    login = asyncio.create_task(manager.create(UserSession(user_id=2)))
    await ending.wait()
    assert len(world.store.contents) == 2
    login.cancel()
    with pytest.raises(asyncio.CancelledError):
        await login
    assert [json.loads(each.value)["user_id"] for each in world.store.contents.values()] == [1]


async def test_without_a_cookie_nothing_is_said_of_one(world: World) -> None:
    """A login by bearer token has no claim of "remember me", and can't be by cookie: nothing is stored then."""
    manager = await world.request()
    with pytest.raises(InvalidArgumentError, match="token_sources"):
        await manager.create(UserSession(user_id=1), transport="cookie")
    assert world.store.contents == {}
    token = await manager.create(UserSession(user_id=1), persistent=False, transport="bearer")
    assert manager.claims is not None
    assert manager.claims.jwtsession_persistent is None
    assert token.token_type == "bearer"
    assert token.model_dump().keys() == {"access_token", "token_type", "expires_in"}


@pytest.mark.parametrize("value", [0, 1, "true", None, [], {}])
async def test_a_claim_of_remember_me_is_true_or_false(world: World, value: Any) -> None:
    """Anything else is no token of ours."""
    payload = {"jti": "i" * 43, "exp": world.clock() + 100, "jwtsession_persistent": value}
    manager = await world.request(jwt.encode(payload, SECRET, "HS256"))
    with pytest.raises(InvalidTokenError):
        manager.require()
