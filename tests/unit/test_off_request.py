"""Tests of SessionProvider.authenticate: tokens that come in a message, and not with a request."""

import logging

import pytest

from jwtsession import (
    AuthenticationError,
    ExpiredTokenError,
    InvalidArgumentError,
    InvalidTokenError,
    MissingTokenError,
    NotStartedError,
    SessionNotFoundError,
    SessionProvider,
    StoreUnavailableError,
)
from jwtsession.testing import Clock, InspectableStore
from tests.conftest import SECRET
from tests.unit.conftest import UserClaims, UserSession, World


async def test_a_token_of_a_message_gives_its_manager(clock: Clock) -> None:
    """With the session and the claims, and with verbs that work; and it is a use of the session."""
    world = World(clock)
    token = await world.log_in(role="admin")
    clock.advance(900)
    manager = await world.provider.authenticate(token)
    assert world.left(manager.id) == 1000
    assert (manager.require().user_id, manager.token) == (1, token)
    assert manager.claims is not None
    assert manager.claims.role == "admin"
    manager.require().cart.append("apple")
    await manager.update()
    assert (await world.provider.authenticate(token)).require().cart == ["apple"]
    await manager.destroy()
    with pytest.raises(SessionNotFoundError):
        await world.provider.authenticate(token)


@pytest.mark.parametrize(
    ("token", "error"),
    [
        (None, MissingTokenError),
        ("", MissingTokenError),
        ("bad", InvalidTokenError),
        (b"bytes", InvalidTokenError),
        (7, InvalidTokenError),
        ({"token": "x"}, InvalidTokenError),
        ("Bearer eyJ.eyJ.x", InvalidTokenError),
    ],
)
async def test_whatever_is_no_token_is_a_401(token: object, error: type[AuthenticationError], world: World) -> None:
    """A client may send anything as its first message."""
    with pytest.raises(error):
        await world.provider.authenticate(token)


async def test_an_expired_token_and_an_idle_session_are_a_401(clock: Clock) -> None:
    """As in a request."""
    world = World(clock)
    token = await world.log_in()
    clock.advance(1001)
    with pytest.raises(SessionNotFoundError):
        await world.provider.authenticate(token)
    clock.advance(5000)
    with pytest.raises(ExpiredTokenError):
        await world.provider.authenticate(token)


async def test_each_refusal_is_one_event_without_an_address(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows the client of a message."""
    with caplog.at_level(logging.INFO, "jwtsession"):
        for token in (None, "bad"):
            with pytest.raises(AuthenticationError):
                await world.provider.authenticate(token)
    assert [record.getMessage() for record in caplog.records] == [
        "refused: session -, missing_token, client -",
        "refused: session -, token_malformed, client -",
    ]


async def test_a_login_by_a_message_returns_its_token(clock: Clock) -> None:
    """Also where logins of requests set a cookie: nothing could carry it."""
    world = World(clock, token_sources=["cookie", "bearer"])
    first = (await world.tester.login(UserSession(user_id=1))).token
    manager = await world.provider.authenticate(first)
    for token in (await manager.create(UserSession(user_id=2)), await manager.regenerate()):
        assert token.token_type == "bearer"
        assert token.access_token
    assert (await world.provider.authenticate(token.access_token)).require().user_id == 2
    with pytest.raises(InvalidArgumentError, match="transport"):
        await manager.create(UserSession(user_id=3), transport="cookie")


async def test_an_outage_is_a_503_and_a_start_is_needed(clock: Clock) -> None:
    """Neither is ever taken for a bad token."""

    class Down(InspectableStore):
        async def load(self, *_: object, **__: object) -> bytes | None:
            raise StoreUnavailableError

    world = World(clock)
    token = await world.log_in()
    with pytest.raises(StoreUnavailableError):
        await World(clock, Down(clock)).provider.authenticate(token)
    with pytest.raises(NotStartedError):
        await SessionProvider(UserSession, UserClaims, secret=SECRET, store=world.store).authenticate(token)
