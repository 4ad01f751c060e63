"""Who acts for a user (`impersonate()`, RFC 8693): who may, for how long, and what stays the user's own."""

import asyncio
import logging
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from pydantic import model_serializer
from starlette.requests import HTTPConnection

from jwtsession import (
    Claims,
    ConfigurationError,
    ExpiredTokenError,
    ImpersonationError,
    InvalidArgumentError,
    InvalidTokenError,
    MemorySessionStore,
    Session,
    SessionEvent,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
    Token,
)
from jwtsession.testing import AsyncSessionTester, InspectableStore
from tests.asgi import ask
from tests.conftest import SECRET, Clock, started
from tests.security.forge import signed
from tests.unit.web.dpop_site import DPoPSite
from tests.web import bearer

HOUR = 3600


class UserSession(Session):
    name: str = ""
    cart: list[str] = []


class UserClaims(Claims):
    role: str = "user"


Provider = SessionProvider[UserSession, UserClaims]
Manager = SessionManager[UserSession, UserClaims]


def staff_only(admin: str, sub: str) -> bool:
    """May act for users, and not for other members of the staff."""
    return admin.startswith("staff-") and not sub.startswith("staff-")


class World:
    """A provider on a store in memory, where time is a number."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.clock = clock
        self.store = options.pop("store", None) or InspectableStore(clock)
        options = {"secret": SECRET, "may_impersonate": staff_only, "user_index": True} | options
        self.provider: Provider = started(
            SessionProvider(UserSession, UserClaims, store=self.store, clock=clock, **options)
        )
        self.tester = AsyncSessionTester(self.provider)

    async def request(self, token: str | None = None) -> Manager:
        """The manager of a request with this token."""
        return await self.tester.manager(token)

    async def log_in(self, sub: str | None = "staff-1", **claims: Any) -> str:
        session = UserSession(name=str(sub), cart=["tea"])
        return (await self.tester.login(session, UserClaims(sub=sub, **claims))).token

    async def alive(self, token: str) -> bool:
        return (await self.request(token)).session is not None

    async def acting(self, sub: str = "ann", **options: Any) -> Manager:
        """The manager of a request by somebody of the staff who acts for a user."""
        admin = await self.request(await self.log_in(role="admin", scope="all", acr="aal2", amr=["hwk"]))
        token = await admin.impersonate(sub, UserSession(name=sub), **options)
        return await self.request(token.access_token)


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


def told(manager: Manager) -> dict[str, Any]:
    """The claims, without those that are new in every token."""
    assert manager.claims is not None
    return manager.claims.model_dump(exclude_none=True, exclude={"jti", "iat"})


def refused(code: str = "impersonated") -> Any:
    return pytest.raises(ImpersonationError, match=rf"403 Not permitted \({code}\)")


# --- the token --------------------------------------------------------------------------------------------------------


async def test_the_token_names_both_and_inherits_nothing(world: World) -> None:
    """The user as `sub`, the admin as `act`, an end within the hour; no sign-in, level, scope or role of the admin."""
    manager = await world.acting()
    now = int(world.clock())
    assert told(manager) == {"sub": "ann", "act": {"sub": "staff-1"}, "exp": now + HOUR, "role": "user"}
    assert (manager.actor, manager.session) == ("staff-1", UserSession(name="ann"))


async def test_the_claims_that_are_given_are_the_tokens(world: World) -> None:
    """A scope, a role, and an earlier end; the user may stand in them."""
    exp = world.clock() + 60
    manager = await world.acting(claims=UserClaims(sub="ann", scope="read", role="viewer", exp=exp))
    assert told(manager) == {"sub": "ann", "act": {"sub": "staff-1"}, "exp": exp, "role": "viewer", "scope": "read"}


@pytest.mark.parametrize(
    "claims",
    [
        UserClaims(sub="bob"),
        UserClaims(auth_time=5),
        UserClaims(acr="aal2"),
        UserClaims(amr=["pwd"]),
        UserClaims(act={"sub": "bob"}),
        UserClaims(jti="0123456789abcdef0123456789"),
        UserClaims(gen=1),
        Claims(),
        {"role": "user"},
    ],
)
async def test_claims_that_would_pretend_something_are_refused(world: World, claims: Any) -> None:
    """Another user, a sign-in, an actor, the admin's own claims: nothing is stored, and the admin's session goes on."""
    token = await world.log_in()
    manager = await world.request(token)
    before = dict(world.store.contents)
    with pytest.raises(InvalidArgumentError):
        await manager.impersonate("ann", UserSession(), claims)
    with pytest.raises(InvalidArgumentError):
        await manager.impersonate("ann", UserSession(), manager.claims)
    assert world.store.contents == before
    assert manager.token == token


async def test_a_model_with_required_claims_needs_claims(clock: Clock) -> None:
    """The error says so; with them it works."""

    class Tenant(Claims):
        tenant: str

    sessions = started(
        SessionProvider(
            Session, Tenant, secret=SECRET, store=InspectableStore(clock), clock=clock, may_impersonate=staff_only
        )
    )
    tester = AsyncSessionTester(sessions)
    manager = await tester.manager((await tester.login({}, Tenant(sub="staff-1", tenant="acme"))).token)
    with pytest.raises(InvalidArgumentError, match="Tenant can't be made of a sub alone: give claims"):
        await manager.impersonate("ann", {})
    await manager.impersonate("ann", {}, Tenant(tenant="acme"))
    assert manager.actor == "staff-1"


@pytest.mark.parametrize(
    "seconds", [0, -1, HOUR + 1, 1.5, True, "60", None, timedelta(hours=2), timedelta(milliseconds=1500)]
)
async def test_nobody_acts_for_longer_than_an_hour(world: World, seconds: Any) -> None:
    """Nor for a part of a second, nor for ever."""
    manager = await world.request(await world.log_in())
    with pytest.raises(InvalidArgumentError, match="from 1 to 3600"):
        await manager.impersonate("ann", UserSession(), seconds=seconds)
    assert len(world.store.contents) == 1


@pytest.mark.parametrize("seconds", [1, HOUR, timedelta(minutes=5)])
async def test_it_ends_by_itself_however_much_it_is_used(world: World, seconds: Any) -> None:
    """To the second: neither requests nor `touch` nor another `exp` in the claims extend it."""
    lifetime = int(timedelta(seconds=seconds).total_seconds() if isinstance(seconds, int) else seconds.total_seconds())
    exp = world.clock() + 2 * HOUR
    manager = await world.acting(seconds=seconds, claims=UserClaims(exp=exp))
    token = manager.token
    world.clock.advance(lifetime - 1)
    manager = await world.request(token)
    await manager.touch()
    world.clock.advance(1)
    manager = await world.request(token)
    with pytest.raises(ExpiredTokenError):
        manager.require()
    assert manager.id not in world.store.contents


async def test_without_an_absolute_timeout_it_ends_too(clock: Clock) -> None:
    """`absolute_max_age=None` makes tokens without an end, but not these."""
    manager = await World(clock, absolute_max_age=None).acting()
    assert told(manager)["exp"] == int(clock()) + HOUR


async def test_a_shorter_absolute_timeout_counts(clock: Clock) -> None:
    """Nobody acts for longer than a user may be logged in."""
    manager = await World(clock, absolute_max_age=600, max_age=300).acting()
    assert told(manager)["exp"] == int(clock()) + 600


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("admin", "sub"), [("ann", "bob"), ("staff-1", "staff-2"), ("staff-1", "staff-1"), (None, "ann")]
)
async def test_the_application_says_who_may(world: World, admin: str | None, sub: str) -> None:
    """Not a user, not for one's like, not for oneself, and not a visitor: 403, an event, and nothing is stored."""
    token = await world.log_in(admin)
    manager = await world.request(token)
    with refused("impersonation_refused"):
        await manager.impersonate(sub, UserSession())
    assert manager.token == token
    assert len(world.store.contents) == 1


@pytest.mark.parametrize("answer", [False, None, 1, "yes", ["ann"], ValueError("x"), ImpersonationError(), KeyError()])
@pytest.mark.parametrize("waits", [False, True])
async def test_only_true_permits(clock: Clock, answer: Any, waits: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An error, and whatever is only like True, refuses; an error leaves its name in the log, and no more."""

    def plain(admin: str, sub: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def slow(admin: str, sub: str) -> Any:
        await asyncio.sleep(0)
        return plain(admin, sub)

    world = World(clock, may_impersonate=slow if waits else plain)
    manager = await world.request(await world.log_in())
    with caplog.at_level(logging.WARNING, "jwtsession"), refused("impersonation_refused"):
        await manager.impersonate("ann", UserSession())
    assert ("may_impersonate failed" in caplog.text) == isinstance(answer, Exception)


async def test_it_is_asked_once_with_both_users(clock: Clock) -> None:
    """Who acts, and for whom; a coroutine function does too."""
    asked = []

    async def asking(admin: str, sub: str) -> bool:
        asked.append((admin, sub))
        return True

    await World(clock, may_impersonate=asking).acting("ann")
    assert asked == [("staff-1", "ann")]


@pytest.mark.parametrize("ending", ["destroy", "destroy by the same manager", "revoke_all", "regenerate"])
async def test_who_is_logged_out_meanwhile_acts_for_nobody(clock: Clock, ending: str) -> None:
    """`may_impersonate` may take a while. If the admin's session ends until it answers, its `True` comes too late."""

    async def slow(admin: str, sub: str) -> bool:
        if ending == "revoke_all":
            await world.provider.revoke_all(admin)
        elif ending == "regenerate":
            await (await world.request(token)).regenerate()
        else:
            await (manager if ending.endswith("manager") else await world.request(token)).destroy()
        return True

    world = World(clock, may_impersonate=slow)
    token = await world.log_in()
    manager = await world.request(token)
    with pytest.raises(SessionNotFoundError):
        await manager.impersonate("ann", UserSession(name="ann"))
    assert await world.provider.list_sessions("ann") == []


async def test_without_a_rule_nobody_may(clock: Clock) -> None:
    """The error names the argument of the provider; what is no function is refused when the provider is made."""
    world = World(clock, may_impersonate=None)
    manager = await world.request(await world.log_in())
    with pytest.raises(InvalidArgumentError, match="may_impersonate"):
        await manager.impersonate("ann", UserSession())
    with pytest.raises(ConfigurationError, match="may_impersonate: must be a function"):
        World(clock, may_impersonate=True)


@pytest.mark.parametrize("sub", ["", None, 5, b"ann", "\ud800"])
async def test_the_user_is_a_text(world: World, sub: Any) -> None:
    """Anything else is a mistake in the code; nothing is stored."""
    manager = await world.request(await world.log_in())
    with pytest.raises(InvalidArgumentError):
        await manager.impersonate(sub, UserSession())
    assert len(world.store.contents) == 1


async def test_who_has_no_session_acts_for_nobody(world: World) -> None:
    """Neither without a token, nor with one whose session has ended, nor after `revoke_before()`."""
    with pytest.raises(SessionNotFoundError):
        await (await world.request()).impersonate("ann", UserSession())
    token = await world.log_in()
    await (await world.request(token)).destroy()
    with pytest.raises(SessionNotFoundError):
        await (await world.request(token)).impersonate("ann", UserSession())


async def test_a_request_from_before_the_cutoff_acts_for_nobody(clock: Clock) -> None:
    """`revoke_before()` ends the admin's token while the request is on its way: the new token must not escape it."""
    world = World(clock, revoke_before=True)
    manager = await world.request(await world.log_in())
    clock.advance(5)
    await world.provider.revoke_before()
    clock.advance(5)
    with pytest.raises(InvalidTokenError):
        await manager.impersonate("ann", UserSession())
    assert await world.provider.list_sessions("ann") == []


# --- what only the user may do ----------------------------------------------------------------------------------------


async def test_who_acts_for_somebody_acts_for_nobody_else(world: World) -> None:
    """No chain, not even for another user whom the rule would permit, and not back to the admin."""
    manager = await world.acting()
    before = dict(world.store.contents)
    for sub in ("bob", "ann", "staff-1"):
        with refused():
            await manager.impersonate(sub, UserSession())
    assert world.store.contents == before


async def test_the_same_request_makes_no_chain_either(clock: Clock) -> None:
    """After `impersonate()` the request's manager is the actor's."""
    world = World(clock, may_impersonate=lambda admin, sub: True)
    manager = await world.request(await world.log_in())
    await manager.impersonate("ann", UserSession())
    with refused():
        await manager.impersonate("bob", UserSession())


async def test_the_users_other_sessions_are_the_users(world: World) -> None:
    """`destroy_others()` would log the user out everywhere."""
    own = await world.log_in("ann")
    manager = await world.acting()
    with refused():
        await manager.destroy_others()
    assert await world.alive(own)


async def test_nobody_signs_in_for_the_user(world: World) -> None:
    """`step_up()` is refused, and nothing of the session changes."""
    manager = await world.acting()
    token = manager.token
    with refused():
        await manager.step_up(acr="aal2")
    assert manager.token == token
    assert await world.alive(str(token))


@pytest.mark.parametrize(
    "claims",
    [
        UserClaims(sub="bob"),
        UserClaims(sub="staff-1"),
        UserClaims(),
        UserClaims(sub="ann", auth_time=5),
        UserClaims(sub="ann", acr="aal2"),
        UserClaims(sub="ann", amr=["pwd"]),
    ],
)
async def test_regenerate_makes_no_other_user_and_no_sign_in(world: World, claims: UserClaims) -> None:
    """403 before anything has happened."""
    manager = await world.acting()
    token = str(manager.token)
    with refused():
        await manager.regenerate(claims=claims)
    assert await world.alive(token)


async def test_regenerate_keeps_the_actor_and_the_end(world: World) -> None:
    """However often, with whatever claims: `act` stays, and `exp` only comes nearer."""
    manager = await world.acting()
    end = told(manager)["exp"]
    assert manager.claims is not None
    for claims in (
        None,
        UserClaims(sub="ann"),
        UserClaims(sub="ann", exp=end + HOUR),
        UserClaims(sub="ann", exp=2**53),
        manager.claims.model_copy(update={"act": None, "exp": None}),
        manager.claims.model_copy(update={"act": {"sub": "bob"}, "exp": end + 1}),
    ):
        world.clock.advance(60)
        given = claims
        if claims is not None and claims.jti is not None:
            given = claims.model_copy(update={"jti": manager.id})
        await manager.regenerate(claims=given)
        manager = await world.request(manager.token)
        assert (manager.actor, told(manager)["exp"]) == ("staff-1", end)
    await manager.regenerate(claims=UserClaims(sub="ann", exp=end - 600))
    assert told(manager)["exp"] == end - 600
    with pytest.raises(InvalidArgumentError, match="act is reserved"):
        await manager.regenerate(claims=UserClaims(sub="ann", act={"sub": "bob"}))


async def test_a_replaced_token_keeps_the_actor_and_the_end(clock: Clock) -> None:
    """Rotation, by `refresh()`."""
    world = World(clock, rotation={"after": 60})
    manager = await world.acting()
    end = told(manager)["exp"]
    clock.advance(61)
    manager = await world.request(manager.token)
    await manager.refresh()
    manager = await world.request(manager.token)
    assert (manager.actor, told(manager)["exp"]) == ("staff-1", end)


async def test_a_ticket_has_the_actor(world: World) -> None:
    """What opens by it is an actor's too."""
    ticket = await (await world.acting()).ticket()
    scope = {"type": "websocket", "headers": [], "query_string": f"ticket={ticket.ticket}".encode()}
    manager = await world.provider.get_manager(HTTPConnection(scope))
    assert (manager.token, manager.actor) == (None, "staff-1")
    with refused():
        await manager.destroy_others()


async def test_the_verbs_of_the_data_work(world: World) -> None:
    """`update`, `mutate`, `reload`, `touch` and `destroy`: who acts for a user sees and changes that session."""
    manager = await world.acting()
    session = manager.require()
    session.cart.append("tea")
    await manager.update()
    await manager.mutate(lambda each: each.cart.append("milk"))
    await manager.reload()
    assert session.cart == ["tea", "milk"]
    await manager.touch()
    await manager.destroy()
    assert not await world.alive(str(manager.token))


async def test_a_login_is_nobodys_impersonation(world: World) -> None:
    """`create()` in such a request ends that session, and the new one is the user's own, whatever claims are given."""
    manager = await world.acting()
    acting = str(manager.token)
    with pytest.raises(InvalidArgumentError, match="act is reserved"):
        await manager.create(UserSession(), UserClaims(sub="ann", act={"sub": "staff-1"}))
    assert await world.alive(acting)
    await manager.create(UserSession(name="ann"), UserClaims(sub="ann"))
    assert not await world.alive(acting)
    assert manager.actor is None
    assert told(manager)["auth_time"] == world.clock()


class Forging(Claims):
    """Writes claims that it has no fields for."""

    @model_serializer(mode="wrap")
    def _forge(self, handler: Any) -> Any:
        return handler(self) | {"act": {"sub": "somebody"}}


async def test_no_model_of_claims_can_write_an_actor(clock: Clock) -> None:
    """A serializer of the application's can't either."""
    sessions = started(SessionProvider(Session, Forging, secret=SECRET, store=InspectableStore(clock), clock=clock))
    manager = await AsyncSessionTester(sessions).manager()
    with pytest.raises(InvalidArgumentError, match="act is reserved"):
        await manager.create({}, Forging(sub="ann"))


# --- the sessions -----------------------------------------------------------------------------------------------------


async def test_both_sessions_go_on_and_end_by_themselves(world: World) -> None:
    """The admin's, the user's own and the actor's: three sessions, and the end of one ends no other."""
    own = await world.log_in("ann")
    token = await world.log_in()
    admin = await world.request(token)
    data = admin.require()
    acting = (await admin.impersonate("ann", UserSession(name="ann"))).access_token
    assert [await world.alive(each) for each in (own, token, acting)] == [True, True, True]
    assert data == UserSession(name="staff-1", cart=["tea"])
    await (await world.request(token)).destroy()
    assert [await world.alive(each) for each in (own, token, acting)] == [True, False, True]
    await (await world.request(acting)).destroy()
    assert [await world.alive(each) for each in (own, acting)] == [True, False]


async def test_the_admins_own_data_is_not_the_users(world: World) -> None:
    """Also where the admin's own instance is given, and a change to it afterwards is told as lost."""
    token = await world.log_in()
    manager = await world.request(token)
    data = manager.require()
    await manager.impersonate("ann", data)
    assert manager.session is not data
    manager.require().cart.append("milk")
    await manager.update()
    assert (await world.request(token)).require().cart == ["tea"]
    data.cart.append("lost")
    with pytest.raises(InvalidArgumentError):
        await manager.update()


async def test_the_end_of_all_sessions_of_the_user_ends_it(world: World) -> None:
    """`revoke_all(user)`, and that of the admin's sessions; other users' go on."""
    for sub, ended in (("ann", 1), ("staff-1", 3)):
        token = str((await world.acting()).token)
        assert await world.provider.revoke_all("bob") == 0
        assert await world.alive(token)
        assert await world.provider.revoke_all(sub) == ended
        assert not await world.alive(token)


@pytest.mark.parametrize("too_many", ["refuse", "evict"])
async def test_it_takes_no_room_from_the_user(clock: Clock, too_many: Any) -> None:
    """It neither counts for `max_sessions`, nor ends a session of the user, nor is it refused."""
    world = World(clock, max_sessions=1, too_many_sessions=too_many)
    own = await world.log_in("ann")
    acting = [str((await world.acting()).token)]
    (staff,) = await world.provider.list_sessions("staff-1")
    await world.provider.revoke(staff.id)
    acting.append(str((await world.acting()).token))
    assert [await world.alive(each) for each in (own, *acting)] == [True, True, True]
    await (await world.request(own)).destroy()
    assert await world.alive(await world.log_in("ann"))
    assert [await world.alive(each) for each in acting] == [True, True]
    assert {info.actor for info in await world.provider.list_sessions("ann")} == {None, "staff-1"}


async def test_it_takes_no_room_after_a_change_of_the_index_key(clock: Clock) -> None:
    """A use then writes the session into the index anew: it is still known that somebody acts for the user in it."""
    options: dict[str, Any] = {"max_sessions": 1, "too_many_sessions": "refuse", "touch_interval": 1}
    before = World(clock, **options)
    token = str((await before.acting()).token)
    after = World(clock, store=before.store, user_index_key=secrets.token_urlsafe(64), **options)
    clock.advance(60)
    assert await after.alive(token)
    assert await after.alive(await after.log_in("ann"))


async def test_the_cutoff_ends_it(clock: Clock) -> None:
    """`revoke_before()` is for everybody."""
    world = World(clock, revoke_before=True)
    token = str((await world.acting()).token)
    clock.advance(5)
    await world.provider.revoke_before()
    clock.advance(5)
    assert not await world.alive(token)


async def test_the_events_tell_of_it(clock: Clock) -> None:
    """Each names the user and the actor: the beginning, a move, a refusal and the end."""
    events: list[SessionEvent] = []
    world = World(clock, on_event=events.append, audit_sub=True)
    async with world.provider:
        manager = await world.acting()
        with refused():
            await manager.destroy_others()
        await manager.regenerate()
        await manager.destroy()
        with refused("impersonation_refused"):
            await (await world.request(await world.log_in("ann"))).impersonate("bob", UserSession())
    told = [(event.name, event.sub, event.actor, event.reason) for event in events]
    assert told == [
        ("created", "staff-1", None, "login"),
        ("created", "ann", "staff-1", "impersonation"),
        ("refused", "ann", "staff-1", None),
        ("regenerated", "ann", "staff-1", None),
        ("destroyed", "ann", "staff-1", "logout"),
        ("created", "ann", None, "login"),
        ("refused", "ann", None, None),
    ]
    assert [event.code for event in events if event.name == "refused"] == ["impersonated", "impersonation_refused"]


@pytest.mark.parametrize("ending", ["revoke_all", "revoke_handle", "revoke", "destroy_others"])
async def test_the_event_of_an_end_by_somebody_else_has_both(clock: Clock, ending: str) -> None:
    """Whoever ends a session in which somebody acts for the user: the event names the user and the actor."""
    events: list[SessionEvent] = []
    world = World(clock, on_event=events.append, audit_sub=True)
    async with world.provider:
        acting = await world.acting()
        assert acting.id
        assert acting.handle
        if ending == "revoke_all":
            await world.provider.revoke_all("ann")
        elif ending == "revoke_handle":
            await world.provider.revoke_handle(acting.handle, sub="ann")
        elif ending == "revoke":
            await world.provider.revoke(acting.id, sub="ann")
        else:
            await (await world.request(await world.log_in("ann"))).destroy_others()
    ended = [event for event in events if event.name == "destroyed"]
    assert [(event.handle, event.sub, event.actor) for event in ended] == [(acting.handle, "ann", "staff-1")]


async def test_the_event_of_a_reuse_has_both(clock: Clock) -> None:
    """`on_reuse="end"` ends the session in which somebody acts for the user: its event names both."""
    events: list[SessionEvent] = []
    world = World(clock, on_event=events.append, audit_sub=True, on_reuse="end")
    async with world.provider:
        token = str((await world.acting()).token)
        await (await world.request(token)).regenerate()
        clock.advance(HOUR / 2)
        assert not await world.alive(token)
    told = [(event.name, event.sub, event.actor, event.reason) for event in events[-3:]]
    assert ("destroyed", "ann", "staff-1", "reuse") in told


async def test_a_forged_actor_is_no_token(world: World) -> None:
    """An `act` that names nobody, a chain, or no object: refused before anything is loaded."""
    token = await world.log_in()
    claims = (await world.request(token)).claims
    assert claims is not None
    for act in ({}, {"sub": ""}, {"sub": 5}, "staff-1", None, {"sub": "a", "act": {"sub": "b"}}):
        forged = signed(payload=claims.model_dump(exclude_none=True) | {"act": act})
        with pytest.raises(InvalidTokenError):
            (await world.request(forged)).require()


# --- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["bearer", "cookie"])
def site(request: pytest.FixtureRequest, clock: Clock) -> Iterator[TestClient]:
    """An application with an endpoint to act for users, and one that wants a fresh sign-in."""
    sessions = World(clock, token_sources=[request.param], rotation={"after": 60}).provider
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[Manager, Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(manager: manager_, sub: str) -> Token:
        return await manager.create(UserSession(name=sub), UserClaims(sub=sub))

    @app.post("/users/{sub}/session")
    async def act_for(sub: str, manager: manager_) -> Token:
        return await manager.impersonate(sub, UserSession(name=sub))

    @app.post("/sync/{sub}/session")
    def act_by_sync(sub: str, manager: manager_) -> Token:
        return manager.sync.impersonate(sub, UserSession(name=sub), seconds=60)

    @app.post("/edited")
    async def edited(
        session: Annotated[UserSession, Depends(sessions.get_editable_session)], manager: manager_
    ) -> Token:
        session.cart.append("tea")
        return await manager.impersonate("ann", UserSession(name="ann"))

    @app.get("/session")
    async def read(
        session: Annotated[UserSession, Depends(sessions.get_session)], manager: manager_
    ) -> list[str | None]:
        return [session.name, manager.actor]

    @app.put("/password")
    async def password(session: Annotated[UserSession, Depends(sessions.require_fresh(300))]) -> None: ...

    @app.put("/level")
    async def level(session: Annotated[UserSession, Depends(sessions.require_level("aal2"))]) -> None: ...

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, manager: manager_) -> None:
        await websocket.accept()
        await manager.impersonate("ann", UserSession(name="ann"), transport="bearer")
        await websocket.send_json(manager.actor)
        await websocket.receive_text()

    with TestClient(app, base_url="https://testserver", headers={"Origin": "https://testserver"}) as client:
        yield client


def call(site: TestClient, method: str, path: str, headers: dict[str, str] | None, **options: Any) -> Any:
    """A request with what the client has: a token, or the cookie that the client keeps."""
    answer = site.request(method, path, headers=headers or {}, **options)
    token = answer.json().get("access_token") if isinstance(answer.json(), dict) else None
    return answer, bearer(token) if token else headers


def test_a_client_acts_for_a_user(site: TestClient, clock: Clock) -> None:
    """By bearer token and by cookie, also where the admin's token is due to be replaced: the answer has the new one."""
    _, admin = call(site, "POST", "/session?sub=staff-1", None)
    clock.advance(61)
    answer, acting = call(site, "POST", "/users/ann/session", admin)
    assert (answer.status_code, answer.json()["expires_in"]) == (200, HOUR)
    assert "session-token" not in answer.headers
    assert call(site, "GET", "/session", acting)[0].json() == ["ann", "staff-1"]
    refusal = call(site, "PUT", "/password", acting)[0]
    assert (refusal.status_code, refusal.json()) == (403, {"detail": "Not permitted"})
    assert "www-authenticate" not in refusal.headers
    assert call(site, "PUT", "/level", acting)[0].status_code == 403
    again = call(site, "POST", "/users/bob/session", acting)[0]
    assert (again.status_code, again.headers["cache-control"]) == (403, "no-store")
    if admin is not None:
        assert call(site, "GET", "/session", admin)[0].json() == ["staff-1", None]


@pytest.mark.parametrize("by", ["bearer", "cookie"])
def test_the_token_comes_as_the_admins_own_did(by: str) -> None:
    """Whatever the provider's first token source is: a client with a bearer token gets one, and no cookie."""
    sessions = SessionProvider(
        UserSession, UserClaims, secret=SECRET, store=MemorySessionStore(), token_sources=["cookie", "bearer"],
        may_impersonate=lambda *_: True,
    )  # fmt: skip
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[UserSession, UserClaims], Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create(UserSession(), UserClaims(sub="staff-1"), transport=by)  # type: ignore[arg-type]

    @app.post("/act")
    async def act(manager: manager_) -> Token:
        return await manager.impersonate("ann", UserSession())

    with TestClient(app, base_url="https://testserver", headers={"Sec-Fetch-Site": "same-origin"}) as client:
        admin = client.post("/session").json()
        headers = bearer(admin["access_token"]) if by == "bearer" else {}
        answer = client.post("/act", headers=headers)
        assert answer.json()["token_type"] == by
        assert ("set-cookie" in answer.headers) is (by == "cookie")


def test_it_works_in_a_def_endpoint(site: TestClient) -> None:
    """By `manager.sync`."""
    _, admin = call(site, "POST", "/session?sub=staff-1", None)
    answer, acting = call(site, "POST", "/sync/ann/session", admin)
    assert answer.json()["expires_in"] == 60
    assert call(site, "GET", "/session", acting)[0].json() == ["ann", "staff-1"]


def test_changes_of_the_admins_session_are_not_lost(site: TestClient) -> None:
    """What `get_editable_session` has not stored yet would have nowhere to go: the code has to store it first."""
    _, admin = call(site, "POST", "/session?sub=staff-1", None)
    with pytest.raises(InvalidArgumentError, match="store that first"):
        site.post("/edited", headers=admin or {})


def test_the_document_shows_that_it_may_be_refused(site: TestClient) -> None:
    """A 403 where a fresh or a strong sign-in is wanted, and where there is a manager."""
    paths = site.get("/openapi.json").json()["paths"]
    assert "acts for the user" in paths["/password"]["put"]["responses"]["403"]["description"]
    assert "acts for the user" in paths["/users/{sub}/session"]["post"]["responses"]["403"]["description"]
    assert "acts for the user" in paths["/level"]["put"]["responses"]["403"]["description"]


@pytest.mark.parametrize("site", ["bearer"], indirect=True)
def test_a_socket_that_acts_ends_with_the_users_session(site: TestClient) -> None:
    """Its own manager has the user's session from then on; the end of the admin's session does not close it."""
    _, admin = call(site, "POST", "/session?sub=staff-1", None)
    with site.websocket_connect("/ws", headers=admin or {}) as socket:
        assert socket.receive_json() == "staff-1"
        call(site, "POST", "/session?sub=staff-1", admin)  # a login ends the admin's former session
        socket.send_text("bye")


async def test_the_proof_of_the_admins_request_binds_the_token() -> None:
    """As a login's: the token is worth nothing without that key, and a request without a proof gets a bearer token."""
    site = DPoPSite(may_impersonate=lambda admin, sub: True)

    @site.app.post("/acting")
    async def act_for(manager: site.manager) -> Token:  # type: ignore[name-defined]
        await manager.create({}, Claims(sub="staff-1"))
        return await manager.impersonate("ann", {})  # type: ignore[no-any-return]

    async with site.running():
        bound = (await ask(site.app, "POST", "/acting", ("dpop", site.proof("POST", "/acting")))).json()
        assert bound["token_type"] == "DPoP"
        assert (await site.get(*site.headers(bound["access_token"]))).status == 200
        assert (await site.get(("authorization", f"Bearer {bound['access_token']}"))).status == 401
        assert (await ask(site.app, "POST", "/acting")).json()["token_type"] == "bearer"
