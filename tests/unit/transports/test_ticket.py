"""Tests of jwtsession.transports.ticket: where a ticket is looked for."""

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from jwtsession import AmbiguousTokenError, MissingTokenError
from tests.unit.transports.conftest import extractor

STREAM = (b"accept", b"text/event-stream")


def socket(query: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "websocket", "query_string": query.encode(), "headers": [*headers]}


def http(query: str, *headers: tuple[bytes, bytes], method: str = "GET") -> dict[str, Any]:
    return {"type": "http", "method": method, "query_string": query.encode(), "headers": [*headers]}


async def found(scope: dict[str, Any], *sources: str) -> object:
    return await extractor(*sources or ("bearer", "header")).extract(HTTPConnection(scope))


@pytest.mark.parametrize(
    "scope",
    [
        socket("ticket=t"),
        socket("a=b&ticket=t&c"),
        socket("ticket=t&ticket=t"),
        socket("ticket=%74"),
        http("ticket=t", STREAM),
        http("ticket=t", (b"accept", b"TEXT/Event-Stream, */*;q=0.1")),
    ],
)
async def test_a_ticket_is_found(scope: dict[str, Any]) -> None:
    """In the query of a handshake and of a request for an event stream, whatever the token's sources are."""
    assert await found(scope) == ("t", "ticket")


@pytest.mark.parametrize(
    "scope",
    [
        socket(""),
        socket("ticket="),
        socket("ticket"),
        socket("tickets=t&my_ticket=t"),
        {"type": "websocket", "headers": []},
        http("ticket=t"),
        http("ticket=t", (b"accept", b"text/html")),
        http("ticket=t", STREAM, method="POST"),
        http("ticket=t", STREAM, method="HEAD"),
    ],
)
async def test_there_is_no_ticket(scope: dict[str, Any]) -> None:
    """An application's own parameters stay its own, and so does `ticket` in any other request."""
    with pytest.raises(MissingTokenError):
        await found(scope)


async def test_a_token_comes_first_and_the_cookie_last() -> None:
    """Beside a token the ticket is not looked at; a cookie is what browsers send unasked, so the ticket counts."""
    assert await found(socket("ticket=x", (b"authorization", b"Bearer t"))) == ("t", "bearer")
    assert await found(socket("ticket=x", (b"cookie", b"session=t")), "bearer", "cookie") == ("x", "ticket")


async def test_two_tickets_are_ambiguous() -> None:
    """As two tokens are."""
    with pytest.raises(AmbiguousTokenError):
        await found(socket("ticket=t&ticket=u"))
