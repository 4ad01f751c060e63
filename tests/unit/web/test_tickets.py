"""Tests of tickets as a whole: `manager.ticket()`, and `?ticket=` in a handshake or in a request for a stream."""

import asyncio
import contextlib
from typing import Any

import pytest
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from jwtsession import (
    AuthenticationError,
    InsufficientScopeError,
    InvalidArgumentError,
    InvalidTokenError,
    SessionNotFoundError,
    SessionProvider,
    StoreUnavailableError,
    Ticket,
)
from jwtsession.testing import Clock, InspectableStore
from tests.conftest import SECRET
from tests.unit.conftest import Manager, UserClaims, UserSession, World

HOST = (b"host", b"app.example")
PAGE = (b"origin", b"https://app.example")
SHOP = (b"origin", b"https://shop.example")


def asking(token: str, *headers: tuple[bytes, bytes]) -> Request:
    """A request for a ticket."""
    own = [(b"authorization", f"Bearer {token}".encode()), HOST, *headers]
    return Request({"type": "http", "method": "POST", "headers": own, "query_string": b""})


def handshake(ticket: str, *headers: tuple[bytes, bytes]) -> HTTPConnection:
    query = f"ticket={ticket}".encode()
    return HTTPConnection({"type": "websocket", "headers": [HOST, *headers], "query_string": query})


def stream(ticket: str, *headers: tuple[bytes, bytes]) -> Request:
    own = [HOST, (b"accept", b"text/event-stream"), *headers]
    return Request({"type": "http", "method": "GET", "headers": own, "query_string": f"ticket={ticket}".encode()})


async def issued(world: World, *headers: tuple[bytes, bytes], **claims: Any) -> Ticket:
    token = await world.log_in(**claims)
    return await (await world.provider.get_manager(asking(token, *headers))).ticket()


async def refusal(world: World, connection: HTTPConnection) -> str:
    """The code of the 401 that a handshake gets."""
    with pytest.raises(AuthenticationError) as refused:
        await world.provider.get_session(connection)
    return refused.value.code


async def test_a_ticket_opens_a_socket_once(clock: Clock) -> None:
    """The manager has the session and the claims, and no token; its verbs work; and the ticket is used up."""
    world = World(clock)
    ticket = await issued(world, sub="ann", role="admin")
    assert ticket.expires_in == 30
    assert ticket.ticket not in repr(ticket)
    manager: Manager = await world.provider.get_manager(handshake(ticket.ticket))
    assert manager.require().user_id == 1
    assert manager.claims is not None
    assert (manager.claims.sub, manager.claims.role) == ("ann", "admin")
    assert manager.token is None
    manager.require().cart.append("apple")
    await manager.update()
    token = await manager.regenerate()
    assert token.access_token == manager.token
    assert (await world.request(token.access_token)).require().cart == ["apple"]
    assert await refusal(world, handshake(ticket.ticket)) == "ticket_unknown"


async def test_a_ticket_opens_a_stream(world: World) -> None:
    """A GET with `Accept: text/event-stream`, and no other request."""
    ticket = await issued(world)
    plain = Request(
        {"type": "http", "method": "GET", "headers": [], "query_string": f"ticket={ticket.ticket}".encode()}
    )
    assert await refusal(world, plain) == "missing_token"
    assert (await world.provider.get_session(stream(ticket.ticket))).user_id == 1


async def test_one_handshake_may_ask_many_times(clock: Clock) -> None:
    """Several dependencies, and a middleware before another one changed the headers, redeem the ticket once."""
    world = World(clock)
    connection = handshake((await issued(world)).ticket)
    first = await world.provider.get_manager(connection)
    assert await world.provider.get_session(connection) is first.session
    connection.scope["headers"] = [*connection.scope["headers"], (b"x-trace", b"1")]
    assert await world.provider.get_manager(connection) is first


async def test_of_two_at_the_same_time_one_wins(world: World) -> None:
    """The other one gets a 401."""
    ticket = (await issued(world)).ticket
    asked = [world.provider.get_optional_session(handshake(ticket)) for _ in range(5)]
    assert sum(each is not None for each in await asyncio.gather(*asked)) == 1


async def test_a_ticket_expires_with_its_time_and_never_after_the_token(clock: Clock) -> None:
    """After 30 seconds, or at the token's `exp` if that is earlier."""
    world = World(clock)
    ticket = await issued(world)
    clock.advance(30)
    assert await refusal(world, handshake(ticket.ticket)) == "ticket_unknown"
    token = await world.log_in(exp=int(clock()) + 12)
    manager = await world.request(token)
    assert (await manager.ticket()).expires_in == 12
    clock.advance(12)
    with pytest.raises(AuthenticationError):
        await manager.ticket()


async def test_a_ticket_ends_with_its_session(world: World) -> None:
    """A logout in between is a 401."""
    token = await world.log_in()
    manager = await world.request(token)
    ticket = await manager.ticket()
    await manager.destroy()
    assert await refusal(world, handshake(ticket.ticket)) == "session_not_found"
    with pytest.raises(SessionNotFoundError):
        await manager.ticket()
    with pytest.raises(SessionNotFoundError):
        await (await world.request()).ticket()


async def test_another_provider_does_not_know_it(clock: Clock) -> None:
    """Neither one with another store, nor one with other keys on the same store."""
    world = World(clock)
    ticket = (await issued(world)).ticket
    assert await refusal(World(clock), handshake(ticket)) == "ticket_unknown"
    other = SessionProvider(UserSession, UserClaims, secret=SECRET[::-1], store=world.store, clock=clock)
    async with other:
        with pytest.raises(InvalidTokenError):
            await other.get_session(handshake(ticket))


async def test_nobody_asks_the_store_for_what_is_no_ticket(clock: Clock) -> None:
    """A text of the wrong form, and a ticket beside a token, cost no call of the store."""

    class Counting(InspectableStore):
        taken = 0

        async def ticket_take(self, ticket: str) -> bytes | None:
            self.taken += 1
            return await super().ticket_take(ticket)

    world = World(clock, store := Counting(clock))
    ticket = (await issued(world)).ticket
    for wrong in (ticket[:-1], ticket + "x", "7"):
        assert await refusal(world, handshake(wrong)) == "ticket_malformed"
    token = (await world.request(await world.log_in())).token
    beside = handshake(ticket, (b"authorization", f"Bearer {token}".encode()))
    assert (await world.provider.get_manager(beside)).token == token
    assert store.taken == 0
    assert (await world.provider.get_manager(handshake(ticket))).session is not None


async def test_an_outage_is_a_503(clock: Clock) -> None:
    """Never a 401: nobody knows whether the ticket is good."""

    class Down(InspectableStore):
        async def ticket_take(self, ticket: str) -> bytes | None:
            raise StoreUnavailableError

        async def ticket_add(self, ticket: str, value: bytes, ttl: int) -> None:
            raise StoreUnavailableError

    world = World(clock, Down(clock))
    with pytest.raises(StoreUnavailableError):
        await world.provider.get_session(handshake("x" * 43))
    with pytest.raises(StoreUnavailableError):
        await issued(world)


async def test_a_demand_of_scopes_counts_for_a_ticket(world: World) -> None:
    """The claims are the token's."""
    ticket = (await issued(world, scope="a")).ticket
    with pytest.raises(InsufficientScopeError):
        await world.provider.get_session(handshake(ticket), Response(), SecurityScopes(["b"]))


@pytest.mark.parametrize(
    ("asked", "redeemed", "permitted"),
    [
        ([], [], True),
        ([PAGE], [PAGE], True),
        ([SHOP], [SHOP], True),
        ([PAGE], [SHOP], False),
        ([SHOP], [PAGE], False),
        ([PAGE], [], True),
        ([], [PAGE], True),
        ([], [SHOP], False),
        ([PAGE], [PAGE, SHOP], False),
        ([PAGE], [(b"origin", b"null")], False),
        ([], [(b"origin", b"null")], False),
        ([], [(b"origin", b"https://app.example:8443")], False),
        ([], [PAGE, SHOP], False),
    ],
)
async def test_a_page_of_another_origin_can_not_use_it(
    asked: list[tuple[bytes, bytes]], redeemed: list[tuple[bytes, bytes]], permitted: bool, world: World
) -> None:
    """A browser names the page's origin. One that another page asked for is refused, and used up."""
    for connection in (handshake, stream):
        ticket = (await issued(world, *asked)).ticket
        expected: Any = contextlib.nullcontext() if permitted else pytest.raises(InvalidTokenError)
        with expected as refused:
            await world.provider.get_session(connection(ticket, *redeemed))
        if not permitted:
            assert refused.value.code == "ticket_origin"
        assert await refusal(world, connection(ticket, *asked)) == "ticket_unknown"


async def test_a_manager_of_a_message_issues_tickets_too(world: World) -> None:
    """It knows no origin, so a page of the server's own host may redeem them."""
    manager = await world.provider.authenticate(await world.log_in())
    assert (await world.provider.get_session(handshake((await manager.ticket()).ticket, PAGE))).user_id == 1
    with pytest.raises(InvalidTokenError):
        await world.provider.get_session(handshake((await manager.ticket()).ticket, SHOP))


async def test_the_store_holds_neither_ticket_nor_token(clock: Clock) -> None:
    """Who reads the store can use nothing that stands there."""
    world = World(clock)
    kept: dict[str, bytes] = {}

    class Reading(InspectableStore):
        async def ticket_add(self, ticket: str, value: bytes, ttl: int) -> None:
            kept[ticket] = value
            assert ttl == 30_000

    world = World(clock, Reading(clock))
    token = await world.log_in()
    ticket = await (await world.request(token)).ticket()
    ((name, value),) = kept.items()
    assert ticket.ticket not in name
    assert ticket.ticket.encode() not in value
    assert token.rpartition(".")[2].encode() not in value
    for stolen in (name, value.decode()):
        assert (await world.request(stolen)).session is None
        assert (await world.provider.get_manager(handshake(stolen))).session is None


async def test_a_new_token_goes_where_the_ticket_came_from(clock: Clock) -> None:
    """If the token is in a cookie, a socket can't move the session: the browser would keep the old token."""
    world = World(clock, token_sources=["cookie", "bearer"])
    token = await world.log_in()
    same_site = (b"sec-fetch-site", b"same-origin")
    cookie = [(b"cookie", f"__Host-Http-session={token}".encode()), HOST, PAGE, same_site]
    asked = Request({"type": "http", "method": "POST", "headers": cookie, "query_string": b""})
    ticket = await (await world.provider.get_manager(asked)).ticket()
    manager = await world.provider.get_manager(handshake(ticket.ticket, PAGE))
    with pytest.raises(InvalidArgumentError, match="cookie"):
        await manager.regenerate()
    assert (await world.request(token)).session is not None
    by_bearer = await world.provider.get_manager(handshake((await issued(world)).ticket))
    assert (await by_bearer.regenerate()).access_token
