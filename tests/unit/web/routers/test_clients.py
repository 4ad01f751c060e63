"""Tests of jwtsession.web.routers.clients: another service shows who it is."""

import base64
import secrets
from typing import Any
from urllib.parse import quote_plus

import pytest
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from jwtsession import ConfigurationError, InvalidClientError, client_credentials

ONE, OTHER = (secrets.token_urlsafe(32) for _ in range(2))
ODD = "a secret: with ünusual + characters % " + secrets.token_urlsafe(32)
CLIENTS = {"gateway": ONE, "orders": SecretStr(OTHER), "odd name+": ODD}


def basic(name: str, secret: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"


async def client_of(*values: str) -> str:
    headers = [(b"authorization", each.encode("latin-1")) for each in values]
    return await client_credentials(CLIENTS)(HTTPConnection({"type": "http", "headers": headers}))


@pytest.mark.parametrize(
    ("name", "secret"), [("gateway", ONE), ("orders", OTHER), ("odd name+", ODD)], ids=["text", "secret", "odd"]
)
async def test_the_name_of_the_service(name: str, secret: str) -> None:
    """By its secret, a text or a `SecretStr`, as it is or encoded as in a form (RFC 6749 section 2.3.1)."""
    assert await client_of(basic(name, secret)) == name
    assert await client_of(basic(name, secret, "bASIC")) == name
    assert await client_of(basic(quote_plus(name), quote_plus(secret))) == name


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("",),
        ("Basic",),
        ("Basic ",),
        ("Basic ä",),
        ("Basic !!!",),
        (basic("gateway", ONE)[:-4],),
        (basic("gateway", OTHER),),
        (basic("orders", ONE),),
        (basic("gateway", ""),),
        (basic("", ONE),),
        (basic("Gateway", ONE),),
        (basic("gateway", ONE, "Bearer"),),
        (basic("gateway", ONE), basic("gateway", ONE)),
    ],
)
async def test_anything_else_is_refused(values: tuple[str, ...]) -> None:
    """Without credentials, with wrong ones, and with two: always the same 401."""
    with pytest.raises(InvalidClientError) as refused:
        await client_of(*values)
    assert refused.value.status_code == 401
    assert refused.value.headers is not None
    assert refused.value.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "clients",
    [
        {},
        None,
        "gateway",
        [("gateway", ONE)],
        {"gateway": "short"},
        {"gateway": "change me please, change me please, change me"},
        {"gateway": None},
        {"gateway": 5},
        {"gateway": SecretStr("short")},
        {"": ONE},
        {"a:b": ONE},
        {5: ONE},
    ],
)
def test_what_can_not_work_is_refused_at_the_start(clients: Any) -> None:
    """No service, weak secrets, names that HTTP Basic can't carry. The message shows no secret and no name."""
    with pytest.raises(ConfigurationError, match="client_credentials: ") as refused:
        client_credentials(clients)
    assert ONE not in str(refused.value)


def test_nothing_shows_a_secret() -> None:
    """Neither the repr nor the attributes hold it."""
    made = client_credentials(CLIENTS)
    assert ONE not in repr(made) + repr(vars(made))
