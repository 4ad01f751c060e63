"""Tests of jwtsession.manager.acting: a user signs in again, or more strongly."""

from typing import Any

import pytest

from jwtsession import (
    Claims,
    InvalidArgumentError,
    Session,
    SessionEvent,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
)
from jwtsession.testing import AsyncSessionTester, InspectableStore
from tests.conftest import SECRET, Clock, started

Manager = SessionManager[Session, Claims]


class World:
    """A provider on a store in memory, where time is a number."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.clock = clock
        self.store = InspectableStore(clock)
        self.provider: SessionProvider[Session, Claims] = started(
            SessionProvider(Session, Claims, secret=SECRET, store=self.store, clock=clock, **options)
        )
        self.tester = AsyncSessionTester(self.provider)

    async def manager(self, token: str | None = None) -> Manager:
        """The manager of a request with this token."""
        return await self.tester.manager(token)

    async def log_in(self, sub: str | None = "ann", **claims: Any) -> Manager:
        """The manager of a request with a new session."""
        manager = await self.manager()
        await manager.create({"cart": ["tea"]}, Claims(sub=sub, **claims))
        return await self.manager(manager.token)


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


def level(manager: Manager) -> tuple[Any, ...]:
    """When and how the user signed in."""
    assert manager.claims is not None
    return manager.claims.auth_time, manager.claims.acr, manager.claims.amr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("aal1", ["pwd"])),
        ({"acr": "aal2"}, ("aal2", ["pwd"])),
        ({"amr": ["pwd", "otp"]}, ("aal1", ["pwd", "otp"])),
        ({"acr": "aal2", "amr": ("hwk",)}, ("aal2", ["hwk"])),
        ({"claims": Claims(sub="ann", scope="pay")}, ("aal1", ["pwd"])),
        ({"claims": Claims(sub="ann", acr="aal3", amr=["hwk"])}, ("aal3", ["hwk"])),
        ({"claims": Claims(sub="ann", acr="aal3", auth_time=5), "acr": "aal2"}, ("aal2", ["pwd"])),
    ],
)
async def test_who_signs_in_again_has_signed_in_now(world: World, given: Any, expected: Any) -> None:
    """The new token has the time of now and what was given; what was not given stays; the old token is dead."""
    manager = await world.log_in(acr="aal1", amr=["pwd"])
    old, exp = manager.token, manager.claims and manager.claims.exp
    world.clock.advance(600)
    token = await manager.step_up(**given)
    assert token.access_token == manager.token != old
    moved = await world.manager(token.access_token)
    assert level(moved) == (int(world.clock()), *expected)
    assert moved.claims is not None
    assert (moved.claims.sub, moved.claims.exp) == ("ann", exp)
    assert moved.require().model_dump() == {"cart": ["tea"]}
    assert (await world.manager(old)).session is None
    assert len(world.store.contents) == 1


async def test_the_data_may_be_replaced_on_the_way(world: World) -> None:
    """As in `regenerate()`."""
    manager = await world.log_in()
    await manager.step_up(acr="aal2", session={"cart": [], "checked": True})
    moved = await world.manager(manager.token)
    assert moved.require().model_dump() == {"cart": [], "checked": True}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"amr": "otp"}, "amr: must be a list of texts"),
        ({"amr": 5}, "amr: must be a list of texts"),
        ({"amr": [5]}, "token_claims"),
        ({"acr": 5}, "token_claims"),
        ({"claims": Claims(sub="bob")}, "another sub"),
        ({"claims": Claims()}, "another sub"),
        ({"claims": {"sub": "ann"}}, "expected Claims, got dict"),
        ({"claims": Claims(sub="ann", act={"sub": "bob"})}, "act is reserved"),
    ],
)
async def test_what_can_not_be_signed_costs_no_session(world: World, options: Any, why: str) -> None:
    """The mistake is told before the old session ends."""
    manager = await world.log_in()
    old = manager.token
    with pytest.raises(InvalidArgumentError, match=why):
        await manager.step_up(**options)
    assert manager.token == old
    assert (await world.manager(old)).session is not None


async def test_nobody_can_not_step_up(world: World) -> None:
    """A visitor signs in by `create()`, and without a session there is nothing to step up from."""
    visitor = await world.log_in(sub=None)
    with pytest.raises(InvalidArgumentError, match="a visitor signs in"):
        await visitor.step_up(acr="aal2")
    with pytest.raises(SessionNotFoundError):
        await (await world.manager()).step_up(acr="aal2")


async def test_the_event_gives_the_reason(clock: Clock) -> None:
    """`regenerated`, by a step-up; not so by `regenerate()`."""
    events: list[SessionEvent] = []
    world = World(clock, on_event=events.append)
    async with world.provider:
        manager = await world.log_in()
        await manager.step_up(acr="aal2")
        await manager.regenerate()
    assert [(each.name, each.reason) for each in events[1:]] == [("regenerated", "step_up"), ("regenerated", None)]
