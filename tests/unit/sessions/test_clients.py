"""Tests of jwtsession.sessions.clients: what is kept of a login's client, and the event `client_changed`."""

import logging
from typing import Any
from unittest.mock import patch

import pytest
from starlette.requests import Request

from tests.conftest import Clock
from tests.unit.conftest import Manager, UserClaims, UserSession, World

HOME, ROAD = "192.0.2.7", "198.51.100.9"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    """The clients of the events `client_changed` so far."""
    caplog.set_level(logging.INFO, "jwtsession")
    return lambda: [
        (each.__dict__["jwtsession_client"], each.__dict__["jwtsession_handle"])
        for each in caplog.records
        if each.__dict__.get("jwtsession_event") == "client_changed"
    ]


def make(clock: Clock, **options: Any) -> World:
    return World(clock, **({"user_index": True, "touch_interval": 60, "capture_client": True} | options))


async def ask(world: World, token: str | None, address: str | None = HOME, agent: str | None = "Firefox") -> Manager:
    """The manager of a request from an address, by a user agent."""
    headers = [] if agent is None else [(b"user-agent", agent.encode("latin-1"))]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    scope = {"type": "http", "method": "GET", "headers": headers, "query_string": b""}
    return await world.provider.get_manager(Request(scope | {"client": None if address is None else (address, 1)}))


async def log_in(world: World, address: str | None = HOME, agent: str | None = "Firefox") -> str:
    manager = await ask(world, None, address, agent)
    return (await manager.create(UserSession(user_id=1), UserClaims(sub="ann"))).access_token


@pytest.mark.parametrize("capture", [True, "coarse"])
async def test_another_network_and_another_agent_are_another_client(clock: Clock, told: Any, capture: Any) -> None:
    """It is told once of each such client, with the session's handle and the address."""
    world = make(clock, capture_client=capture)
    token = await log_in(world)
    (info,) = await world.provider.list_sessions("ann")
    for agent in ("curl", "curl", "Chrome", "Chrome"):
        clock.advance(60)
        await ask(world, token, ROAD, agent)
    assert told() == [(ROAD, info.handle)] * 2


@pytest.mark.parametrize(
    ("address", "agent"),
    [
        (HOME, "Firefox"),
        (ROAD, "Firefox"),  # the user has gone out
        (HOME, "curl"),
        ("192.0.2.250", "curl"),
        (None, "curl"),
        ("no address", "curl"),
        ("::ffff:192.0.2.9", "curl"),
    ],
)
async def test_one_of_both_alone_is_no_other_client(
    clock: Clock, told: Any, address: str | None, agent: str | None
) -> None:
    """A phone changes its network often, and a browser its version."""
    world = make(clock)
    token = await log_in(world)
    clock.advance(60)
    await ask(world, token, address, agent)
    assert told() == []


@pytest.mark.parametrize(("first", "second"), [("2001:db8:1:2::3", "2001:db8:1:ffff::9"), (HOME, "192.0.2.99")])
async def test_a_network_is_wider_than_an_address(clock: Clock, told: Any, first: str, second: str) -> None:
    """/48 and /24: who comes from there comes from the same place."""
    world = make(clock)
    token = await log_in(world, first)
    clock.advance(60)
    await ask(world, token, second, "curl")
    assert told() == []
    clock.advance(60)
    await ask(world, token, "2001:db8:2::1", "curl")
    assert len(told()) == 1


async def test_a_client_without_an_agent_is_another_one(clock: Clock, told: Any) -> None:
    """Where the login's client had one."""
    world = make(clock)
    token = await log_in(world)
    clock.advance(60)
    await ask(world, token, ROAD, None)
    assert len(told()) == 1


@pytest.mark.parametrize("options", [{"capture_client": False}, {"user_index": False, "capture_client": False}])
async def test_without_what_is_kept_nothing_is_told(clock: Clock, told: Any, options: dict[str, Any]) -> None:
    """Nobody knows the login's client then."""
    world = make(clock, **options)
    token = await log_in(world)
    clock.advance(60)
    await ask(world, token, ROAD, "curl")
    assert told() == []


async def test_uses_in_the_interval_are_not_looked_at(clock: Clock, told: Any) -> None:
    """The look costs nothing: it comes with the use that the index notes anyway."""
    world = make(clock)
    token = await log_in(world)
    clock.advance(59)
    await ask(world, token, ROAD, "curl")
    assert told() == []


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        (HOME, "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:192.0.2.9", "192.0.2.0/24"),
        ("no address", None),
        (None, None),
    ],
)
async def test_coarse_keeps_the_network(clock: Clock, address: str | None, kept: str | None) -> None:
    """/24 and /48: no address stands in the store, or in a list."""
    world = make(clock, capture_client="coarse")
    with patch.object(world.store, "index_add", wraps=world.store.index_add) as added:
        await log_in(world, address)
    assert all(HOME not in str(call) for call in added.call_args_list)
    assert added.call_count == 2
    (info,) = await world.provider.list_sessions("ann")
    assert (info.client, info.user_agent) == (kept, "Firefox")
