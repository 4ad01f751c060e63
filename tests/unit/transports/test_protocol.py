"""Tests of jwtsession.transports.protocol: tokens among a WebSocket's subprotocols."""

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from jwtsession import AmbiguousTokenError, MissingTokenError
from jwtsession.transports import TAKEN, take_tokens
from tests.unit.transports.conftest import extractor

NAME = b"sec-websocket-protocol"


def handshake(*offered: bytes, **more: Any) -> dict[str, Any]:
    """A handshake with these headers, and with the subprotocols that a server finds in them."""
    each = [name.strip().decode() for value in offered for name in value.split(b",")]
    headers = [(b"host", b"a"), *((NAME, value) for value in offered)]
    return {"type": "websocket", "headers": headers, "query_string": b"", "subprotocols": each, **more}


async def found(scope: dict[str, Any]) -> object:
    return await extractor("protocol").extract(HTTPConnection(scope))


@pytest.mark.parametrize(
    ("offered", "shown", "left"),
    [
        ([b"jwtsession, jwtsession.token.t"], [b"jwtsession"], ["jwtsession"]),
        ([b"jwtsession.token.t,jwtsession"], [b"jwtsession"], ["jwtsession"]),
        ([b"chat", b"jwtsession.token.t"], [b"chat"], ["chat"]),
        ([b"a ,\tjwtsession.token.t , b"], [b"a, b"], ["a", "b"]),
        ([b"jwtsession.token.t"], [], []),
        ([b"jwtsession.token.t, x, jwtsession.token.t"], [b"x"], ["x"]),
    ],
)
async def test_a_token_is_found_and_taken_away(offered: list[bytes], shown: list[bytes], left: list[str]) -> None:
    """It is found before and after somebody takes it, and afterwards neither header nor subprotocols show it."""
    scope = handshake(*offered)
    before = scope["headers"]
    copied = [*before]
    assert await found(scope) == ("t", "protocol")
    assert take_tokens(scope)
    assert await found(scope) == ("t", "protocol")
    assert [value for name, value in scope["headers"] if name == NAME] == shown
    assert scope["subprotocols"] == left
    assert before == copied, "a list that others may share stays as it was"
    assert scope["headers"][0] is before[0], "and so do the other headers"


@pytest.mark.parametrize(
    "offered", [[], [b"chat, jwtsession"], [b"xjwtsession.token.t"], [b"JWTSESSION.TOKEN.t"], [b"jwtsession.token."]]
)
async def test_what_is_no_token_is_missing(offered: list[bytes]) -> None:
    """Other subprotocols, another case, and an empty token."""
    scope = handshake(*offered)
    with pytest.raises(MissingTokenError):
        await found(scope)
    take_tokens(scope)
    with pytest.raises(MissingTokenError):
        await found(scope)


@pytest.mark.parametrize(
    "offered", [[b"jwtsession.token.t, jwtsession.token.u"], [b"jwtsession.token.t", b"jwtsession.token.u"]]
)
async def test_two_tokens_are_ambiguous(offered: list[bytes]) -> None:
    """Two different tokens in one header or in two are a 400, before and after somebody takes them."""
    scope = handshake(*offered)
    with pytest.raises(AmbiguousTokenError):
        await found(scope)
    take_tokens(scope)
    with pytest.raises(AmbiguousTokenError):
        await found(scope)


def test_a_handshake_without_a_token_keeps_its_headers() -> None:
    """Nothing is copied: the list of headers is the same object."""
    scope = handshake(b"chat")
    before = scope["headers"]
    assert not take_tokens(scope)
    assert scope["headers"] is before
    assert scope[TAKEN] == []


async def test_a_server_may_leave_out_the_list_of_subprotocols() -> None:
    """ASGI makes it optional."""
    scope = handshake(b"jwtsession, jwtsession.token.t")
    del scope["subprotocols"]
    assert await found(scope) == ("t", "protocol")
    assert take_tokens(scope)
    assert scope["subprotocols"] == []
    assert await found(scope) == ("t", "protocol")


async def test_a_server_may_leave_out_the_header() -> None:
    """As uvicorn does with wsproto: the subprotocols are in their list alone."""
    scope = handshake(b"jwtsession, jwtsession.token.t")
    headers = scope["headers"] = [(b"host", b"a")]
    assert await found(scope) == ("t", "protocol")
    assert take_tokens(scope)
    assert scope["headers"] == headers
    assert scope["subprotocols"] == ["jwtsession"]
    assert await found(scope) == ("t", "protocol")
