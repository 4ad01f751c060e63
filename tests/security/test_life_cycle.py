"""A session's life: idle and absolute timeout, new ids at login and at a change of privilege, fresh sign-ins."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Annotated, Any

import jwt
import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from jwtsession import (
    Claims,
    ConfigurationError,
    ExpiredTokenError,
    InvalidArgumentError,
    InvalidTokenError,
    MemorySessionStore,
    Session,
    SessionConflictError,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
    Token,
)
from jwtsession.testing import AsyncSessionTester, InspectableStore
from tests import servers
from tests.conftest import SECRET, Clock, started
from tests.fleet import running
from tests.keymaterial import pem, private_key, twin
from tests.security.forge import signed
from tests.web import bearer

pytestmark = pytest.mark.caches("tokens")

MAX_AGE = 1_000
ABSOLUTE = 10_000


class UserSession(Session):
    user_id: int = 0
    cart: list[str] = []


class UserClaims(Claims):
    role: str = "user"


Provider = SessionProvider[UserSession, UserClaims]
Manager = SessionManager[UserSession, UserClaims]


class World:
    """A provider on a store in memory, where time is a number."""

    def __init__(self, clock: Clock, store: InspectableStore | None = None, **options: Any) -> None:
        self.clock = clock
        self.store = store or InspectableStore(clock)
        settings: dict[str, Any] = {
            "secret": SECRET,
            "max_age": MAX_AGE,
            "absolute_max_age": ABSOLUTE,
            "touch_interval": 0,
        } | options
        self.provider: Provider = started(
            SessionProvider(UserSession, UserClaims, store=self.store, clock=clock, **settings)
        )
        self.tester = AsyncSessionTester(self.provider)

    async def request(self, token: str | None = None) -> Manager:
        """The manager of a request with this token."""
        return await self.tester.manager(token)

    async def log_in(self, **claims: Any) -> str:
        return (await self.tester.login(UserSession(user_id=1), UserClaims(**({"sub": "ann"} | claims)))).token

    async def alive(self, token: str) -> bool:
        return (await self.request(token)).session is not None

    def expires(self, session_id: str | None) -> float:
        """When the stored session ends, if nobody uses it."""
        assert session_id is not None
        return self.store.contents[session_id].expires


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


async def read(manager: Manager) -> object:
    return manager.require()


async def append(manager: Manager) -> object:
    manager.require().cart.append("tea")
    return await manager.update()


async def mutate(manager: Manager) -> object:
    return await manager.mutate(lambda session: session.cart.append("tea"))


async def regenerate(manager: Manager) -> object:
    return await manager.regenerate()


async def touch(manager: Manager) -> object:
    await manager.touch()
    return None


async def reload(manager: Manager) -> object:
    return await manager.reload()


VERBS = [read, append, mutate, regenerate, touch, reload]
Verb = Callable[[Manager], Awaitable[object]]

# --- idle timeout ----------------------------------------------------------------------------------------------------


async def test_a_session_that_nobody_uses_ends(world: World) -> None:
    """After `max_age` seconds without a request, and not a moment before."""
    first, second = await world.log_in(), await world.log_in()
    world.clock.advance(MAX_AGE - 1)
    assert await world.alive(first)
    world.clock.advance(1)
    assert not await world.alive(second)
    assert await world.alive(first)


@pytest.mark.parametrize("verb", VERBS)
async def test_every_use_starts_the_idle_timeout_again(verb: Verb, world: World) -> None:
    """After each verb the session has all of `max_age` before it."""
    manager = await world.request(await world.log_in())
    world.clock.advance(MAX_AGE - 1)
    await verb(manager)
    token = manager.token
    assert token is not None
    if verb is not read:  # it was read when the request came
        assert world.expires(manager.id) == world.clock() + MAX_AGE
    world.clock.advance(1 if verb is read else MAX_AGE - 1)
    assert await world.alive(token) is (verb is not read)


async def test_reads_extend_no_more_often_than_the_interval(clock: Clock) -> None:
    """Within `touch_interval` of the last extension a read changes nothing in the store; the next one after it does."""
    world = World(clock, touch_interval=60)
    token = await world.log_in()
    session_id = (await world.request(token)).id
    ends = world.expires(session_id)
    clock.advance(59)
    await world.request(token)
    assert world.expires(session_id) == ends
    clock.advance(1)
    await world.request(token)
    assert world.expires(session_id) == ends + 60


async def test_the_interval_never_costs_a_user_more_than_a_quarter(clock: Clock) -> None:
    """With an interval as long as the timeout itself, somebody who comes every half of it stays in."""
    world = World(clock, touch_interval=MAX_AGE, absolute_max_age=None)
    token = await world.log_in()
    for _ in range(20):
        clock.advance(MAX_AGE / 2)
        assert await world.alive(token)


async def test_looking_from_outside_of_a_request_is_no_use(world: World) -> None:
    """An administrator who looks at a session keeps nobody logged in."""
    manager = await world.request(await world.log_in())
    ends = world.expires(manager.id)
    world.clock.advance(500)
    assert await world.provider.get(str(manager.id)) is not None
    assert world.expires(manager.id) == ends


# --- absolute timeout ------------------------------------------------------------------------------------------------


async def test_a_session_ends_however_busy_it_is(world: World) -> None:
    """A request every few seconds keeps a session to its `exp`, where the token is refused as expired."""
    token = await world.log_in()
    while world.clock() < 1_800_000_000 + ABSOLUTE - 500:
        world.clock.advance(500)
        assert await world.alive(token)
    world.clock.advance(499)
    manager = await world.request(token)
    assert manager.session is not None
    world.clock.advance(1)
    with pytest.raises(ExpiredTokenError):
        (await world.request(token)).require()
    # The request that was under way has nothing left to keep alive either.
    for verb in (append, mutate, touch):
        with pytest.raises((ExpiredTokenError, SessionNotFoundError)):
            await verb(manager)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("left", [MAX_AGE + 1, MAX_AGE, 999.5, 1, 0.01])
async def test_nothing_outlives_the_absolute_timeout(verb: Verb, left: float, clock: Clock) -> None:
    """Whatever is done shortly before `exp`: the stored session ends with its token, never after it."""
    world = World(clock, absolute_max_age=MAX_AGE + 10)
    token = await world.log_in()
    exp = clock() + MAX_AGE + 10
    for moment in (exp - MAX_AGE - 1, exp - MAX_AGE / 2, exp - left):
        clock.now = min(moment, exp - left)
        assert await world.alive(token)
    manager = await world.request(token)
    await verb(manager)
    assert manager.claims is not None
    assert manager.claims.exp == exp
    assert world.expires(manager.id) <= exp


@pytest.mark.parametrize(
    "verb",
    [
        append,
        mutate,
        touch,
        regenerate,
    ],
)
async def test_a_clock_that_is_ahead_reads_but_gives_no_more_time(verb: Verb, clock: Clock) -> None:
    """Within the leeway after `exp` a token is accepted, but nothing can be extended: 401, on every worker alike."""
    world = World(clock, leeway=60)
    ahead = World(Clock(clock() + 30), world.store, leeway=60)
    token = await world.log_in(exp=clock() + 500)
    ahead.clock.advance(490)
    manager = await ahead.request(token)
    assert manager.session is not None
    with pytest.raises(ExpiredTokenError):
        await verb(manager)


async def test_without_an_absolute_timeout_only_the_idle_one_counts(clock: Clock) -> None:
    """`absolute_max_age=None`, as the original: no `exp`, and a busy session lives for years."""
    world = World(clock, absolute_max_age=None)
    token = await world.log_in()
    for _ in range(100):
        clock.advance(MAX_AGE - 1)
        assert await world.alive(token)
    clock.advance(MAX_AGE)
    assert not await world.alive(token)


def test_the_server_s_own_clock_counts_down_to_the_same_moment(valkey: servers.Server, clock: Clock) -> None:
    """On a real server the time to live is the shorter of both timeouts, after each use."""
    with running(valkey.url, clock, {"secret": SECRET}, max_age=500, absolute_max_age=600, touch_interval=0) as fleet:
        token = fleet.log_in("a")
        key = re.findall(rb"sess:[\w-]+", valkey.command("KEYS", "sess:*"))[0].decode()
        for passed, left in ((0, 500), (50, 500), (100, 450), (400, 50)):
            clock.advance(passed)
            for use in (lambda: fleet.refused(token), lambda: fleet.add("b", token, "tea")):
                use()
                pttl = int(valkey.command("PTTL", key).strip().removeprefix(b":"))
                assert left * 1000 - 10_000 < pttl <= left * 1000


# --- regenerate ------------------------------------------------------------------------------------------------------


async def test_regenerate_moves_the_session_to_a_new_id(world: World) -> None:
    """New id and token, the same data and claims; the old token is dead, for the login's owner and for a thief."""
    old = await world.log_in(role="admin", tenant="acme", scope="read write")
    manager = await world.request(old)
    old_id, old_claims = manager.id, manager.claims
    manager.require().cart.append("tea")
    world.clock.advance(100)
    new = await manager.regenerate()
    assert manager.id not in (None, old_id)
    assert not await world.alive(old)
    moved = await world.request(new.access_token)
    assert moved.require() == UserSession(user_id=1, cart=["tea"])
    assert old_claims is not None
    assert moved.claims is not None
    kept = {"sub", "exp", "auth_time", "role", "scope", "tenant"}
    assert moved.claims.model_dump(include=kept) == old_claims.model_dump(include=kept)
    assert moved.claims.iat == world.clock()
    assert moved.claims.jti == moved.id
    assert new.expires_in == ABSOLUTE - 100
    assert len(world.store.contents) == 1


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (None, ABSOLUTE),
        (200, 200),
        (ABSOLUTE - 1, ABSOLUTE - 1),
        (ABSOLUTE + 50, ABSOLUTE + 50),
        (ABSOLUTE + 100, ABSOLUTE + 100),
        (ABSOLUTE + 101, ABSOLUTE + 100),
        (2**53, ABSOLUTE + 100),
    ],
)
async def test_another_absolute_timeout_is_kept_unless_asked_for(asked: int | None, given: int, world: World) -> None:
    """`exp` stays; a shorter or longer one is given on demand, but never beyond `absolute_max_age` from now.

    The sign-in stays what it was, too: a change of privilege is none.
    """
    start = int(world.clock())
    manager = await world.request(await world.log_in())
    world.clock.advance(100)
    exp = None if asked is None else min(start + asked, 2**53)
    await manager.regenerate(claims=UserClaims(sub="ann", exp=exp))
    assert manager.claims is not None
    assert manager.claims.exp == start + given
    assert manager.claims.auth_time == start
    assert world.expires(manager.id) <= start + given


@pytest.mark.parametrize(
    ("session", "claims"),
    [
        (None, UserClaims(sub="ann", exp=1)),
        (None, UserClaims(sub="ann", jti="0123456789abcdef0123456789")),
        (None, UserClaims.model_construct(sub="ann", scope=5)),
        (UserSession.model_construct(user_id="no number"), None),
        ({"user_id": "no number"}, None),
    ],
)
async def test_what_can_not_be_stored_or_signed_costs_no_session(session: Any, claims: Any, world: World) -> None:
    """A mistake in the call is told before the old session ends."""
    token = await world.log_in()
    manager = await world.request(token)
    with pytest.raises(InvalidArgumentError):
        await manager.regenerate(session, claims)
    assert await world.alive(token)
    assert manager.token == token


async def test_a_change_of_privilege_hands_back_the_claims_that_were_read(world: World) -> None:
    """The request's own claims with one changed: its `jti` and `iat` are the old token's, and become new."""
    manager = await world.request(await world.log_in(tenant="acme"))
    old_id, claims = manager.id, manager.claims
    assert claims is not None
    world.clock.advance(100)
    await manager.regenerate(claims=claims.model_copy(update={"role": "admin"}))
    assert manager.claims is not None
    assert manager.id != old_id
    assert manager.claims.model_dump() == claims.model_dump() | {
        "jti": manager.id,
        "iat": world.clock(),
        "role": "admin",
    }


async def test_another_user_does_not_inherit_the_time_of_the_sign_in(world: World) -> None:
    """Read claims that are handed back for another user tell of no sign-in: neither the old one nor one now."""
    manager = await world.request(await world.log_in(sub="ann"))
    claims = manager.claims
    assert claims is not None
    world.clock.advance(100)
    await manager.regenerate(claims=claims.model_copy(update={"sub": "bob"}))
    assert manager.claims is not None
    assert (manager.claims.sub, manager.claims.auth_time) == ("bob", None)


async def test_of_two_that_regenerate_one_wins(valkey: servers.Server) -> None:
    """Ten requests with one token move it at once: one has the session, nine are told that it is gone."""
    sessions = SessionProvider(UserSession, UserClaims, secret=SECRET, redis_url=valkey.url)
    async with sessions:  # on its own store, not on that of a tester
        tester = AsyncSessionTester(sessions)
        ann = await tester.login(UserSession(user_id=1), UserClaims(sub="ann"))
        managers = [await tester.manager(ann.token) for _ in range(10)]
        results = await asyncio.gather(*(manager.regenerate() for manager in managers), return_exceptions=True)
    assert [type(result) for result in results].count(SessionNotFoundError) == 9
    (winner,) = [manager for manager in managers if manager.session is not None]
    assert valkey.sessions() == [winner.id]
    assert winner.require().user_id == 1


def test_the_loser_of_a_race_gets_401_over_http(valkey: servers.Server, clock: Clock) -> None:
    """On two workers at once: one answer has a token, the others are 401, and one session is left."""
    with running(valkey.url, clock, {"secret": SECRET}) as fleet, ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            token = fleet.log_in("a")
            clients = [fleet.clients["ab"[number % 2]] for number in range(8)]
            answers = [*pool.map(lambda client: client.post("/session/id", headers=bearer(token)), clients)]  # noqa: B023
            (won,) = [answer for answer in answers if answer.status_code == 200]
            assert [answer.status_code for answer in answers].count(401) == 7
            assert fleet.refused(won.json()["access_token"]) == []
        assert len(valkey.sessions()) == 5


async def test_a_change_by_somebody_else_is_not_moved_away(world: World) -> None:
    """Who regenerates what another request has changed meanwhile is told so; the change stays under the old id."""
    token = await world.log_in()
    first, second = await world.request(token), await world.request(token)
    await append(first)
    with pytest.raises(SessionConflictError):
        await second.regenerate()
    assert (await world.request(token)).require().cart == ["tea"]


async def test_a_session_that_ended_is_not_brought_back(world: World) -> None:
    """After a logout elsewhere regenerate is a 401, and the store stays empty."""
    token = await world.log_in()
    first, second = await world.request(token), await world.request(token)
    await first.destroy()
    with pytest.raises(SessionNotFoundError):
        await second.regenerate()
    assert world.store.contents == {}


async def test_both_spellings_of_an_ecdsa_token_are_one_session(clock: Clock) -> None:
    """The twin of a signature names the same session: it is fresh, changed, moved and ended with it."""
    key = pem(private_key("ES256"))
    for end in ("destroy", "revoke", "regenerate"):
        world = World(clock, algorithm="ES256", secret=key)
        token = await world.log_in()
        other = twin("ES256", token)
        first, second = await world.request(token), await world.request(other)
        assert first.id == second.id is not None
        await append(first)
        with pytest.raises(SessionConflictError):
            await append(second)
        if end == "revoke":
            assert await world.provider.revoke(str(first.id))
        else:
            await getattr(first, end)()
        assert not await world.alive(token)
        assert not await world.alive(other)


# --- an idle timeout of its own --------------------------------------------------------------------------------------


async def create(world: World, max_age: int | timedelta | None, **claims: Any) -> Manager:
    manager = await world.request()
    await manager.create(UserSession(user_id=1), UserClaims(**({"sub": "ann"} | claims)), max_age=max_age)
    return manager


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("own", [MAX_AGE // 10, timedelta(seconds=MAX_AGE * 3)])
async def test_a_session_may_have_an_idle_timeout_of_its_own(verb: Verb, own: int | timedelta, clock: Clock) -> None:
    """Shorter than `max_age`, or longer where a setting permits it; every verb and every read keeps to it."""
    world = World(clock, max_age_limit=MAX_AGE * 3)
    seconds = own if isinstance(own, int) else int(own.total_seconds())
    manager = await create(world, own)
    assert world.expires(manager.id) == clock() + seconds
    assert manager.claims is not None
    assert manager.claims.jwtsession_idle_timeout == seconds
    for _ in range(2):
        clock.advance(seconds - 1)
        manager = await world.request(manager.token)
        assert world.expires(manager.id) == clock() + seconds
        await verb(manager)
        assert world.expires(manager.id) == clock() + seconds
        assert manager.token is not None
    other = await create(world, None)
    assert world.expires(other.id) == clock() + MAX_AGE
    token = manager.token
    clock.advance(seconds)
    assert not await world.alive(token)


@pytest.mark.parametrize("own", [20, MAX_AGE * 10])
async def test_the_index_knows_a_session_for_as_long_as_it_lives(own: int, clock: Clock) -> None:
    """However long its own idle timeout is, and however seldom it is used."""
    world = World(clock, max_age_limit=MAX_AGE * 10, absolute_max_age=None, user_index=True, touch_interval=60)
    manager = await create(world, own)
    for _ in range(5):
        clock.advance(own - 1)
        assert (await world.request(manager.token)).id == manager.id
        (info,) = await world.provider.list_sessions("ann")
        assert (info.id, info.expires) == (manager.id, clock() + own)
    clock.advance(own - 1)
    assert await world.provider.revoke_all("ann") == 1


async def test_a_short_session_is_kept_alive_by_reads(clock: Clock) -> None:
    """`touch_interval` is never more than a quarter of the session's own timeout."""
    world = World(clock, touch_interval=60)
    manager = await create(world, 20)
    for _ in range(10):
        clock.advance(15)
        assert await world.alive(str(manager.token))
        clock.advance(4)
        await world.request(manager.token)
    clock.advance(20)
    assert not await world.alive(str(manager.token))


async def test_no_session_outlives_its_token_by_an_idle_timeout_of_its_own(clock: Clock) -> None:
    """The absolute timeout stands."""
    world = World(clock, max_age_limit=ABSOLUTE * 2)
    manager = await create(world, ABSOLUTE * 2)
    assert world.expires(manager.id) == clock() + ABSOLUTE
    manager = await create(world, ABSOLUTE * 2, exp=clock() + 5)
    assert world.expires(manager.id) == clock() + 5


@pytest.mark.parametrize(
    "wrong",
    [0, -1, MAX_AGE + 1, 2.5, True, "60", float("nan"), timedelta(0), timedelta(seconds=1.5), timedelta(days=99)],
)
async def test_an_idle_timeout_beyond_the_limit_is_refused(wrong: Any, world: World) -> None:
    """Nothing is stored or moved, and the message names the setting that permits more."""
    manager = await world.request()
    with pytest.raises(InvalidArgumentError, match="max_age_limit"):
        await manager.create(UserSession(user_id=1), max_age=wrong)
    assert world.store.contents == {}
    manager = await world.request(await world.log_in())
    with pytest.raises(InvalidArgumentError, match="max_age_limit"):
        await manager.regenerate(max_age=wrong)
    assert manager.session is not None
    with pytest.raises(InvalidArgumentError, match="max_age_limit"):
        await manager.create(UserSession(user_id=1), UserClaims(jwtsession_idle_timeout=MAX_AGE + 1))


async def test_a_new_id_keeps_the_idle_timeout(clock: Clock) -> None:
    """`regenerate()` does, also with other claims, unless it is given another one."""
    world = World(clock, max_age_limit=MAX_AGE * 3)
    manager = await create(world, MAX_AGE * 2)
    await manager.regenerate()
    await manager.regenerate(claims=UserClaims(sub="ann", role="admin"))
    assert world.expires(manager.id) == clock() + MAX_AGE * 2
    manager = await world.request(manager.token)
    await manager.regenerate(max_age=50)
    assert world.expires(manager.id) == clock() + 50
    assert world.expires((await world.request(manager.token)).id) == clock() + 50


async def test_a_limit_that_was_lowered_counts_for_sessions_that_are_there(clock: Clock) -> None:
    """The token says what was permitted then; the settings say what is now."""
    generous = World(clock, max_age_limit=MAX_AGE * 3)
    token = (await create(generous, MAX_AGE * 3)).token
    strict = World(clock, generous.store)
    manager = await strict.request(token)
    assert strict.expires(manager.id) == clock() + MAX_AGE


@pytest.mark.parametrize("wrong", [0, -5, 1.5, True, "60", None, [60], 2**60])
async def test_an_idle_timeout_that_is_none_is_no_token(wrong: object, world: World) -> None:
    """A signed token whose `jwtsession_idle_timeout` is no whole number of seconds is refused."""
    claims = (await world.request(await world.log_in())).claims
    assert claims is not None
    forged = signed(payload=claims.model_dump(exclude_none=True) | {"jwtsession_idle_timeout": wrong})
    with pytest.raises(InvalidTokenError):
        (await world.request(forged)).require()


async def test_a_manager_tells_when_its_session_was_created(world: World) -> None:
    """The time of the login; of a visitor's session, and of another user's, when the token was issued."""
    start = world.clock()
    nobody = await world.request()
    assert nobody.created is None
    manager = await create(world, None)
    assert manager.created == start
    world.clock.advance(50)
    manager = await world.request(manager.token)
    assert manager.created == start
    await manager.regenerate()
    assert manager.created == start
    await manager.regenerate(claims=UserClaims(sub="bob"))
    assert manager.created == start + 50
    world.clock.advance(50)
    manager = await world.request(manager.token)
    assert manager.created == start + 50
    visitor = await world.request()
    await visitor.create(UserSession())
    assert (await world.request(visitor.token)).created == visitor.created == start + 100
    await visitor.destroy()
    assert visitor.created is None
    remembered = await create(world, None, auth_time=start + 1.5)
    assert remembered.created == start + 1.5


# --- fixation --------------------------------------------------------------------------------------------------------


async def test_a_session_is_never_created_under_a_supplied_id(world: World) -> None:
    """Not under that of the token that a login comes with, alive, dead or expired, nor under one in the claims."""
    planted = await world.log_in()
    victim = await world.request(planted)
    planted_id = victim.id
    token = (await victim.create(UserSession(user_id=2), UserClaims(sub="bob"))).access_token
    assert victim.id != planted_id
    assert not await world.alive(planted)
    assert (await world.request(token)).require().user_id == 2

    dead = await world.request(planted)
    await dead.create(UserSession(user_id=2))
    assert dead.id != planted_id
    assert not await world.alive(planted)

    with pytest.raises(InvalidArgumentError, match="jti is reserved"):
        await (await world.request()).create(UserSession(), UserClaims(jti=planted_id))

    world.clock.advance(ABSOLUTE)
    expired = await world.request(planted)
    await expired.create(UserSession(user_id=2))
    assert expired.id != planted_id


async def test_a_login_ends_the_session_that_it_came_with(world: World) -> None:
    """One session remains, and it is the new one."""
    old = await world.log_in()
    manager = await world.request(old)
    await manager.create(UserSession(user_id=1), UserClaims(sub="ann"))
    assert [*world.store.contents] == [manager.id]


async def test_a_visitor_signs_in_and_keeps_the_cart(world: World) -> None:
    """`regenerate()` moves the visitor's session under a new id; the sign-in counts from then."""
    visitor = await world.request()
    token = (await visitor.create(UserSession(cart=["tea"]), UserClaims(role="visitor"))).access_token
    assert visitor.claims is not None
    assert visitor.claims.auth_time is None
    visitor_exp = visitor.claims.exp
    world.clock.advance(300)

    request = await world.request(token)
    session = request.require()
    session.user_id = 7
    signed_in = await request.regenerate(session, UserClaims(sub="ann"))
    assert not await world.alive(token)
    manager = await world.request(signed_in.access_token)
    assert manager.require() == UserSession(user_id=7, cart=["tea"])
    assert manager.claims is not None
    assert (manager.claims.sub, manager.claims.role) == ("ann", "user")
    assert manager.claims.auth_time == world.clock()
    assert manager.claims.exp == visitor_exp


async def test_another_user_s_session_is_no_sign_in(world: World) -> None:
    """Where `sub` changes from one user to another nobody has proved anything, unless the application says so."""
    manager = await world.request(await world.log_in())
    world.clock.advance(300)
    await manager.regenerate(claims=UserClaims(sub="bob"))
    assert manager.claims is not None
    assert manager.claims.auth_time is None
    await manager.regenerate(claims=UserClaims(sub="bob"))
    assert manager.claims.auth_time is None
    await manager.regenerate(claims=UserClaims(sub="eve", auth_time=world.clock()))
    assert manager.claims.auth_time == world.clock()
    world.clock.advance(300)
    await manager.regenerate(claims=UserClaims())
    assert manager.claims.auth_time is None


# --- fresh sign-ins --------------------------------------------------------------------------------------------------

FRESH = 300


@pytest.fixture
def bank(clock: Clock) -> Iterator[TestClient]:
    """An application with endpoints that want a fresh sign-in."""
    sessions = World(clock).provider
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[Manager, Depends(sessions.get_manager)]
    fresh = sessions.require_fresh(FRESH)

    @app.post("/session")
    async def log_in(manager: manager_, sub: str | None = None, auth_time: float | None = None) -> Token:
        return await manager.create(UserSession(user_id=1), UserClaims(sub=sub, auth_time=auth_time, scope="pay"))

    @app.post("/session/id")
    async def regenerate(manager: manager_, auth_time: float | None = None) -> Token:
        assert manager.claims is not None
        if auth_time is None:
            return await manager.regenerate()
        return await manager.regenerate(claims=UserClaims(sub=manager.claims.sub, auth_time=auth_time))

    @app.post("/session/as/{sub}")
    async def take_over(manager: manager_, sub: str) -> Token:
        return await manager.regenerate(UserSession(user_id=2), UserClaims(sub=sub))

    @app.get("/account")
    async def account(session: Annotated[UserSession, Depends(sessions.get_session)]) -> UserSession:
        return session

    @app.post("/password")
    async def change_password(session: Annotated[UserSession, Depends(fresh)]) -> UserSession:
        return session

    @app.post("/pay")
    async def pay(session: Annotated[UserSession, Security(fresh, scopes=["pay", "spend"])]) -> UserSession:
        return session

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, session: Annotated[UserSession, Depends(fresh)]) -> None:
        await websocket.accept()
        await websocket.send_json(session.user_id)
        await websocket.close()

    with TestClient(app) as client:
        yield client


def sign_in(bank: TestClient, **params: Any) -> dict[str, str]:
    return bearer(bank.post("/session", params={"sub": "ann"} | params).json()["access_token"])


@pytest.mark.parametrize(("passed", "status"), [(0, 200), (FRESH - 1, 200), (FRESH, 200), (FRESH + 1, 401)])
def test_a_sensitive_endpoint_wants_a_sign_in_of_late(passed: int, status: int, bank: TestClient, clock: Clock) -> None:
    """Within the seconds, at the edge, and one second after; other endpoints do not mind."""
    headers = sign_in(bank)
    clock.advance(passed)
    assert bank.post("/password", headers=headers).status_code == status
    assert bank.get("/account", headers=headers).status_code == 200


def test_the_refusal_tells_the_client_what_to_do(bank: TestClient, clock: Clock) -> None:
    """RFC 9470 section 3: the error code and the age that would do; the body is that of every 401."""
    headers = sign_in(bank)
    clock.advance(FRESH + 1)
    refused = bank.post("/password", headers=headers)
    challenge = refused.headers["www-authenticate"]
    assert challenge == f'Bearer error="insufficient_user_authentication", max_age="{FRESH}"'
    assert refused.json() == bank.post("/password").json()
    assert refused.headers["cache-control"] == "no-store"
    assert "Authorization" in refused.headers["vary"]


def test_who_has_no_session_gets_the_ordinary_refusal(bank: TestClient) -> None:
    """No token, and a bad one: RFC 6750's answers, not a request to sign in again."""
    assert bank.post("/password").headers["www-authenticate"] == 'Bearer realm="session"'
    bad = bank.post("/password", headers=bearer("nonsense"))
    assert (bad.status_code, bad.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')


def test_a_token_that_does_not_tell_is_not_fresh(bank: TestClient) -> None:
    """A visitor's session has no `auth_time`, however new it is."""
    visitor = bearer(bank.post("/session").json()["access_token"])
    assert bank.get("/account", headers=visitor).status_code == 200
    refused = bank.post("/password", headers=visitor)
    assert refused.status_code == 401
    assert "insufficient_user_authentication" in refused.headers["www-authenticate"]


def test_regenerate_is_no_sign_in_unless_it_says_so(bank: TestClient, clock: Clock) -> None:
    """A new id keeps the old sign-in; an endpoint that has asked for the password again sets `auth_time` itself."""
    headers = sign_in(bank)
    clock.advance(FRESH + 1)
    headers = bearer(bank.post("/session/id", headers=headers).json()["access_token"])
    assert bank.post("/password", headers=headers).status_code == 401
    moved = bank.post("/session/id", params={"auth_time": clock()}, headers=headers)
    headers = bearer(moved.json()["access_token"])
    assert bank.post("/password", headers=headers).status_code == 200


def test_a_login_may_tell_an_earlier_sign_in(bank: TestClient, clock: Clock) -> None:
    """Who is logged in by a "remember me" cookie has not just proved anything: `auth_time` in the claims counts."""
    remembered = sign_in(bank, auth_time=clock() - FRESH - 1)
    assert bank.post("/password", headers=remembered).status_code == 401


def test_freshness_and_scopes_go_together(bank: TestClient, clock: Clock) -> None:
    """`Security` on a freshness check demands both: 403 for the scope."""
    headers = sign_in(bank)
    refused = bank.post("/pay", headers=headers)
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="pay spend"'


def test_a_websocket_is_refused_before_accept(bank: TestClient, clock: Clock) -> None:
    """The check works on a handshake, with the same answer."""
    headers = sign_in(bank)
    with bank.websocket_connect("/ws", headers=headers) as socket:
        assert socket.receive_json() == 1
    clock.advance(FRESH + 1)
    with pytest.raises(WebSocketDenialResponse) as refused, bank.websocket_connect("/ws", headers=headers):
        pass
    assert refused.value.status_code == 401
    assert "insufficient_user_authentication" in refused.value.headers["www-authenticate"]


def test_openapi_shows_the_endpoint_as_any_that_needs_a_session(bank: TestClient) -> None:
    """Its schemes and answers stand in the document."""
    paths = bank.get("/openapi.json").json()["paths"]
    plain, fresh = paths["/account"]["get"], paths["/password"]["post"]
    assert fresh["security"] == plain["security"]
    assert {"400", "401", "503"} <= set(fresh["responses"])


def test_a_fresh_sign_in_may_be_asked_for_by_a_timedelta(clock: Clock) -> None:
    """Of whole seconds: the challenge names them, and a fraction is refused at the start."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(clock), clock=clock)
    with pytest.raises(ConfigurationError, match="require_fresh: max_age: must be whole seconds"):
        sessions.require_fresh(timedelta(milliseconds=1500))
    app = FastAPI(lifespan=sessions.lifespan)
    fresh = sessions.require_fresh(timedelta(minutes=5))

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[Any, Any], Depends(sessions.get_manager)]) -> Token:
        return await manager.create({}, Claims(sub="ann"))

    @app.post("/password")
    async def change_password(session: Annotated[Any, Depends(fresh)]) -> None: ...

    with TestClient(app) as client:
        headers = bearer(client.post("/session").json()["access_token"])
        clock.advance(300)
        assert client.post("/password", headers=headers).status_code == 200
        clock.advance(1)
        assert 'max_age="300"' in client.post("/password", headers=headers).headers["www-authenticate"]


def test_a_session_of_another_user_is_not_fresh(bank: TestClient, clock: Clock) -> None:
    """Who takes over a user's session by `regenerate()` has to sign in as them for what is sensitive."""
    moved = bank.post("/session/as/bob", headers=sign_in(bank))
    assert moved.status_code == 200
    headers = bearer(moved.json()["access_token"])
    assert bank.get("/account", headers=headers).status_code == 200
    refused = bank.post("/password", headers=headers)
    assert refused.status_code == 401
    assert "insufficient_user_authentication" in refused.headers["www-authenticate"]


@pytest.mark.parametrize("leeway", [0, 30])
async def test_a_sign_in_in_the_future_is_none(clock: Clock, leeway: int) -> None:
    """`auth_time` later than now and leeway, as seconds or milliseconds: neither issued nor accepted at any use."""
    world = World(clock, leeway=leeway)
    now = world.clock()
    manager = await world.request()
    for future in (now + leeway + 1, now * 1000):
        with pytest.raises(InvalidArgumentError, match=r"auth_time: lies in the future, .*not milliseconds"):
            await manager.create(UserSession(user_id=1), UserClaims(sub="ann", auth_time=future))
    assert world.store.contents == {}
    token = await world.log_in(auth_time=now + leeway)
    claims = (await world.request(token)).claims
    assert claims is not None
    assert claims.auth_time == now + leeway
    for future in (now + leeway + 1, now * 1000):
        forged = signed(payload=claims.model_dump(exclude_none=True) | {"auth_time": future})
        with pytest.raises(InvalidTokenError) as caught:
            (await world.request(forged)).require()
        assert caught.value.code == "token_authenticated_in_future"
    world.clock.advance(-1)
    assert not await world.alive(token)  # also where it was verified before


async def test_an_auth_time_that_is_no_number_is_no_token(world: World) -> None:
    """A signed token whose `auth_time` is a text, a bool or a list is refused before anything is compared."""
    token = await world.log_in()
    claims = jwt.decode(token, SECRET, ["HS256"], options={"verify_iat": False, "verify_exp": False})
    values: list[Any] = ["1800000000", True, [1], {}, None]
    for wrong in values:
        forged = signed(payload=claims | {"auth_time": wrong})
        with pytest.raises(InvalidTokenError):
            (await world.request(forged)).require()
