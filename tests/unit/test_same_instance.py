"""Tests of jwtsession.manager: `manager.session` is one instance for the whole request, so no change to it is lost."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from jwtsession import (
    InvalidArgumentError,
    MemorySessionStore,
    Session,
    SessionConflictError,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
    StoreUnavailableError,
)
from jwtsession.stores import Outcome
from jwtsession.testing import InspectableStore
from tests.conftest import SECRET, Clock, started
from tests.unit.conftest import Manager, UserClaims, UserSession, World, request


def adds(item: str) -> Callable[[UserSession], None]:
    return lambda session: session.cart.append(item)


VERBS: dict[str, Callable[[Manager], Awaitable[Any]]] = {
    "reload": lambda manager: manager.reload(),
    "mutate": lambda manager: manager.mutate(lambda session: None),
    "mutate, another": lambda manager: manager.mutate(lambda session: UserSession(user_id=1)),
    "update": lambda manager: manager.update(),
    "update, another": lambda manager: manager.update(UserSession(user_id=1)),
    "update, a mapping": lambda manager: manager.update({"user_id": 1}),
    "regenerate": lambda manager: manager.regenerate(),
    "regenerate, another": lambda manager: manager.regenerate(UserSession(user_id=1)),
    "touch": lambda manager: manager.touch(),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
@pytest.mark.parametrize("then", ["update", "regenerate"])
async def test_the_injected_session_is_the_managers_after_every_verb(
    world: World, verb: Callable[[Manager], Awaitable[Any]], then: str
) -> None:
    """A change to it after any verb is stored by the next one, and what a verb returns is the same instance."""
    manager = await world.request(await world.log_in())
    session = manager.require()
    returned = await verb(manager)
    assert manager.session is session
    assert not isinstance(returned, Session) or returned is session
    session.cart.append("tea")
    session.user_id = 2
    await getattr(manager, then)()
    assert world.stored(manager) == {"user_id": 2, "cart": ["tea"]}
    assert manager.session is session


async def test_reload_and_mutate_show_what_others_have_stored(world: World) -> None:
    """The instance that an endpoint holds has the new state at once."""
    token = await world.log_in()
    manager, other = await world.request(token), await world.request(token)
    session = manager.require()
    await other.update({"user_id": 2, "cart": ["theirs"]})
    await manager.reload()
    assert (session.user_id, session.cart) == (2, ["theirs"])
    await other.mutate(adds("more"))
    await manager.mutate(adds("ours"))
    assert session.cart == ["theirs", "more", "ours"]


GIVING: dict[str, Callable[[Manager, UserSession], Awaitable[Any]]] = {
    "create": lambda manager, given: manager.create(given),
    "update": lambda manager, given: manager.update(given),
    "mutate": lambda manager, given: manager.mutate(lambda session: given),
    "regenerate": lambda manager, given: manager.regenerate(given),
}


@pytest.mark.parametrize("give", GIVING.values(), ids=GIVING.keys())
async def test_a_session_that_was_given_stays_its_owners(
    world: World, give: Callable[[Manager, UserSession], Awaitable[Any]]
) -> None:
    """One that two users are given stays as it is, whatever becomes of their sessions: nothing passes between them."""
    constant = UserSession(user_id=0, cart=["gift"])
    managers = [await world.request(await world.log_in()) for _ in range(2)]
    for number, manager in enumerate(managers):
        await give(manager, constant)
        session = manager.require()
        assert session is not constant
        assert session == UserSession(user_id=0, cart=["gift"])
        session.user_id = number + 1
        session.cart.append(f"{number}")
        await manager.update()
        await manager.mutate(adds("more"))
        await manager.reload()
    assert constant == UserSession(user_id=0, cart=["gift"])
    assert [world.stored(manager)["user_id"] for manager in managers] == [1, 2]


@pytest.mark.parametrize("give", GIVING.values(), ids=GIVING.keys())
@pytest.mark.parametrize("then", ["update", "regenerate"])
async def test_a_change_to_a_session_that_was_given_is_an_error(
    world: World, give: Callable[[Manager, UserSession], Awaitable[Any]], then: str
) -> None:
    """It would be lost, so the next update() names the mistake; given again, it is stored."""
    manager = await world.request(await world.log_in())
    given = UserSession(user_id=2)
    await give(manager, given)
    await manager.update()
    given.cart.append("tea")
    with pytest.raises(InvalidArgumentError, match=r"manager\.session"):
        await getattr(manager, then)()
    assert world.stored(manager)["cart"] == []
    await give(manager, given)
    await manager.update()
    assert world.stored(manager)["cart"] == manager.require().cart == ["tea"]


class Line(BaseModel):
    tags: list[str] = []


class Basket(Session):
    items: list[str] = []
    lines: dict[str, Line] = {}


def plain() -> dict[str, Any]:
    return {"items": [], "lines": {"one": {"tags": []}}}


CONSTANTS: dict[str, tuple[type[Session], Callable[[], Any]]] = {
    "a session": (Basket, lambda: Basket(lines={"one": Line()})),
    "a mapping": (Basket, plain),
    "a mapping of models": (Basket, lambda: {"items": [], "lines": {"one": Line()}}),
    "a free-form session": (Session, lambda: Session.model_validate(plain())),
    "a free-form mapping": (Session, plain),
}


@pytest.mark.parametrize("verb", GIVING.values(), ids=GIVING.keys())
@pytest.mark.parametrize(("model", "constant"), CONSTANTS.values(), ids=CONSTANTS.keys())
async def test_nothing_passes_between_users_through_a_constant(
    verb: Callable[[Any, Any], Awaitable[Any]], model: type[Session], constant: Callable[[], Any]
) -> None:
    """A default that each user's verb is given, of whatever kind, never has one user's data for the next one."""
    given, untouched = constant(), constant()
    for name in ("alice", "bob"):
        manager = await managed(model)
        await verb(manager, given)
        session = manager.session
        assert session.items == []
        session.items.append(name)
        one = session.lines["one"]
        (one["tags"] if isinstance(one, dict) else one.tags).append(name)
        await manager.update()
        assert (await manager.reload()).items == [name]
        assert given == untouched


async def test_a_manager_that_lives_long_remembers_what_somebody_still_holds(world: World) -> None:
    """Two hundred updates with sessions of their own leave one note, and the one that is held is still told of."""
    manager = await world.request(await world.log_in())
    for number in range(200):
        await manager.update(UserSession(user_id=number))
    held = UserSession(user_id=200)
    await manager.update(held)
    assert len(manager._former) <= 2
    held.cart.append("tea")
    with pytest.raises(InvalidArgumentError, match=r"manager\.session"):
        await manager.update()


async def test_a_change_function_works_on_a_state_of_its_own(world: World) -> None:
    """It gets what was just loaded, without what the request has changed in place and not stored."""
    token = await world.log_in()
    manager = await world.request(token)
    session = manager.require()
    session.cart.append("not stored")

    def change(fresh: UserSession) -> None:
        assert fresh is not session
        assert fresh.cart == []
        fresh.cart.append("tea")
        assert session.cart == ["not stored"]

    assert await manager.mutate(change) is session
    assert session.cart == ["tea"] == world.stored(manager)["cart"]


async def test_what_a_failed_mutate_has_half_done_is_never_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in the function, data that does not fit, a conflict: the session stays, for update() too."""
    monkeypatch.setattr("jwtsession.manager.session_manager.MUTATE_ATTEMPTS", 2)
    token = await world.log_in()
    manager, other = await world.request(token), await world.request(token)
    session = manager.require()
    session.cart.append("before")

    def fail(fresh: UserSession) -> None:
        fresh.cart.append("half")
        raise KeyError

    def spoil(fresh: UserSession) -> None:
        fresh.cart.append("half")
        fresh.user_id = "no number"  # type: ignore[assignment]

    async def lose(fresh: UserSession) -> None:
        fresh.cart.append("half")
        await other.mutate(adds("theirs"))

    for change, error in ((fail, KeyError), (spoil, InvalidArgumentError)):
        with pytest.raises(error):
            await manager.mutate(change)
        assert manager.session is session
        assert session.cart == ["before"]
    await manager.update()
    assert world.stored(manager)["cart"] == ["before"]
    await other.reload()
    with pytest.raises(SessionConflictError):
        await manager.mutate(lose)
    assert session.cart == ["before"]
    with pytest.raises(SessionConflictError):  # the state that it stands on is an old one
        await manager.update()
    assert world.stored(other)["cart"] == ["before", "theirs", "theirs"]


async def test_a_failed_update_leaves_the_session_as_it_was(world: World) -> None:
    """A session that was given and not stored is not the manager's."""
    token = await world.log_in()
    manager, other = await world.request(token), await world.request(token)
    session = manager.require()
    await other.mutate(adds("theirs"))
    for verb in (manager.update, manager.regenerate):
        with pytest.raises(SessionConflictError):
            await verb(UserSession(user_id=5))
        assert manager.session is session
        assert session == UserSession(user_id=1)


async def test_a_mutate_whose_reply_is_lost_leaves_the_session_as_it_was(clock: Clock) -> None:
    """Whether it was applied is not known, so nothing of it is shown, and update() is a conflict where it was."""

    class Mute(InspectableStore):
        async def update(self, *args: Any, **options: Any) -> Outcome:
            outcome = await super().update(*args, **options)
            if mute:
                raise StoreUnavailableError
            return outcome

    world, mute = World(clock, Mute(clock)), True
    manager = await world.request(await world.log_in())
    with pytest.raises(StoreUnavailableError):
        await manager.mutate(adds("tea"))
    assert manager.require().cart == []
    mute = False
    manager.require().cart.append("cup")
    with pytest.raises(SessionConflictError):
        await manager.update()


async def test_mutates_side_by_side_in_one_request_lose_nothing(world: World) -> None:
    """Each works on a state of its own."""
    manager = await world.request(await world.log_in())
    session = manager.require()

    async def slowly(fresh: UserSession) -> None:
        count = fresh.user_id
        await asyncio.sleep(0)
        fresh.user_id = count + 1

    await asyncio.gather(*(manager.mutate(slowly) for _ in range(10)))
    assert manager.session is session
    assert world.stored(manager)["user_id"] == 11
    assert (await manager.reload()).user_id == session.user_id == 11


async def test_create_makes_another_session(world: World) -> None:
    """It has the state of what was given; the session that the request came with keeps its data, for the endpoint."""
    manager = await world.request(await world.log_in())
    guest, user = manager.require(), UserSession(user_id=7)
    guest.cart.append("tea")
    await manager.create(user)
    session = manager.require()
    assert session is not user
    assert session == user
    assert guest == UserSession(user_id=1, cart=["tea"])
    session.cart += guest.cart
    assert await manager.update() is session
    assert user.cart == []
    assert world.stored(manager) == {"user_id": 7, "cart": ["tea"]}


@pytest.mark.parametrize("first", ["create", "destroy, create", "create, create", "update, create", "create, update"])
@pytest.mark.parametrize("then", ["update", "regenerate"])
async def test_a_change_to_a_session_that_has_ended_is_an_error(world: World, first: str, then: str) -> None:
    """Nobody loses a change to an older session in silence: the next update() names the mistake and stores nothing."""
    manager = await world.request(await world.log_in())
    old = manager.require()
    for number, verb in enumerate(first.split(", ")):
        if verb == "destroy":
            await manager.destroy()
        else:
            await getattr(manager, verb)(UserSession(user_id=7 + number))
    await manager.update()
    old.cart.append("tea")
    with pytest.raises(InvalidArgumentError, match=r"manager\.session"):
        await getattr(manager, then)()
    assert world.stored(manager)["cart"] == []
    await manager.update(UserSession(user_id=9))  # what is given is meant
    await manager.mutate(adds("cup"))


async def test_a_copy_of_a_session_that_has_ended_may_share_its_lists(world: World) -> None:
    """A login that copies the guest's session and makes the same change to both is no mistake."""
    manager = await world.request(await world.log_in())
    guest = manager.require()
    await manager.create(guest.model_copy(update={"user_id": 7}))
    for session in (manager.require(), guest):
        session.cart.append("tea")
    await manager.update()
    assert world.stored(manager) == {"user_id": 7, "cart": ["tea"]}


async def test_a_session_under_a_new_id_stays_the_one_that_it_was(world: World) -> None:
    """The manager's own session, given to create(), is nobody else's: it stays `manager.session`."""
    manager = await world.request(await world.log_in())
    session = manager.require()
    session.cart.append("tea")
    await manager.create(session)
    assert manager.session is session
    session.cart.clear()
    await manager.update()
    assert world.stored(manager)["cart"] == []


async def test_after_a_logout_there_is_no_session(world: World) -> None:
    """The instance keeps its data, and no verb stores it."""
    manager = await world.request(await world.log_in())
    session = manager.require()
    await manager.destroy()
    assert manager.session is None
    session.cart.append("tea")
    with pytest.raises(SessionNotFoundError):
        await manager.update()


# --- models of every kind --------------------------------------------------------------------------------------------


class Checked(Session):
    model_config = ConfigDict(validate_assignment=True)
    n: int = 0
    items: list[int] = []

    @model_validator(mode="after")
    def never_negative(self) -> "Checked":
        if self.n < 0:
            raise ValueError("negative")
        return self


class CheckedOpen(Checked):
    model_config = ConfigDict(extra="allow")


class Frozen(Session):
    model_config = ConfigDict(frozen=True)
    n: int = 0
    items: list[int] = []


class Private(Session):
    n: int = 0
    items: list[int] = []
    note: str = Field(default="", exclude=True)
    _seen: list[int] = PrivateAttr(default_factory=list)

    def model_post_init(self, context: Any) -> None:
        self._seen.append(self.n)


class Open(Session):
    model_config = ConfigDict(extra="allow")
    n: int = 0
    items: list[int] = []


async def managed(model: type[Session], **data: Any) -> SessionManager[Any, Any]:
    store = MemorySessionStore()
    provider = started(SessionProvider(model, UserClaims, secret=SECRET, store=store))
    token = (await (await provider.get_manager(request())).create(data)).access_token
    return await provider.get_manager(request(token))


@pytest.mark.parametrize("model", [Checked, CheckedOpen, Private, Open])
async def test_models_of_every_kind_go_on_in_the_same_instance(model: type[Session]) -> None:
    """Assignments that are validated, private attributes, open models: each change to the instance is stored."""
    manager = await managed(model, n=1)
    session = manager.session
    for number in range(3):
        given = model(n=100 + number, items=session.items)
        assert await manager.update(given) is session
        assert session == given
        assert session.model_fields_set == given.model_fields_set
        session.n = number
        session.items.append(number)
        if model.model_config["extra"] == "allow":
            setattr(session, f"x{number}", number)
        await manager.update()
        await manager.reload()
        assert (session.n, session.items) == (number, list(range(number + 1)))
        if model.model_config["extra"] == "allow":
            assert getattr(session, f"x{number}") == number


async def test_what_is_not_stored_comes_along_with_what_was_given() -> None:
    """Excluded fields and private attributes of the session that was given are those of the session."""
    manager = await managed(Private, n=1)
    given = Private(n=2, note="of this request")
    given._seen.append(7)
    await manager.update(given)
    assert manager.session.note == "of this request"
    assert manager.session._seen == [2, 7]


async def test_a_frozen_session_shows_what_is_stored() -> None:
    """Nobody can assign to it; a verb loads the new state into it all the same."""
    manager = await managed(Frozen, n=1)
    session = manager.session
    assert await manager.update(Frozen(n=2)) is session is manager.session
    assert session.n == 2
    await manager.mutate(lambda fresh: fresh.model_copy(update={"n": fresh.n + 1}))
    assert session.n == 3
    session.items.append(1)
    await manager.update()
    assert (await manager.reload()).items == [1]


@pytest.mark.slow
async def test_a_state_lives_on_without_the_instance_that_it_came_with() -> None:
    """What was given may be forgotten: the session keeps all that it held."""
    manager = await managed(Private, n=1)
    session = manager.session
    for number in range(100):
        await manager.update(Private(n=number, items=[number] * 5))
        gc.collect() if number % 25 == 0 else None
        assert (session.n, session.items, session._seen) == (number, [number] * 5, [number])
        session.n += 1
        assert session.n == number + 1
