"""Tests of jwtsession.remote.introspection: what another service's answer means."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from jwtsession import ConfigurationError, Introspection, SessionNotFoundError, StoreUnavailableError
from jwtsession.remote import IntrospectionClient
from jwtsession.remote.client import RemoteError
from tests.conftest import Clock

URL = "https://issuer.example/introspect"


class Issuer:
    """Stands for `RemoteClient`: answers what the test says, and remembers the questions."""

    def __init__(self) -> None:
        self.answer: bytes | None = b'{"active": true}'
        self.asked: list[tuple[Any, ...]] = []

    async def post(self, *question: Any) -> bytes:
        self.asked.append(question)
        if self.answer is None:
            raise RemoteError("it answered 500")
        return self.answer


def made(cache: Any = 0, clock: Clock | None = None) -> tuple[IntrospectionClient, Issuer]:
    issuer = Issuer()
    client: Any = issuer
    asking = Introspection(URL, "orders", SecretStr("a secret"), cache=cache)
    return IntrospectionClient(client, asking, clock or Clock()), issuer


async def test_the_question() -> None:
    """The token in a form, with the credentials of this service."""
    introspection, issuer = made()
    await introspection.check("a.b.c", "mine")
    await introspection.check("a.b.c", "mine")
    form = {"token": "a.b.c", "token_type_hint": "access_token"}
    assert issuer.asked == [(URL, form, ("orders", "a secret"))] * 2


async def test_an_inactive_token_is_a_session_that_is_gone() -> None:
    """401, whatever else the answer holds."""
    introspection, issuer = made()
    issuer.answer = b'{"active": false, "sub": "ann"}'
    with pytest.raises(SessionNotFoundError):
        await introspection.check("t", "mine")


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"[]", b"{}", b"true", b"\xff", *(b'{"active": %s}' % each for each in (b'"true"', b"1", b"null"))],
)
async def test_anything_else_is_a_503(answer: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """Never good and never a 401; the log says so, but not at each request."""
    introspection, issuer = made(cache=60)
    issuer.answer = answer
    for _ in range(20):
        with pytest.raises(StoreUnavailableError) as refused:
            await introspection.check("t", "mine")
        assert refused.value.code == "introspection_unavailable"
    assert len([each for each in caplog.records if each.levelno == logging.WARNING]) == 5
    assert "a secret" not in caplog.text


async def test_the_cache_keeps_good_answers_for_its_time() -> None:
    """Of that token alone; a bad answer is never kept."""
    clock = Clock()
    introspection, issuer = made(timedelta(seconds=30), clock)
    for _ in range(3):
        await introspection.check("t", "mine")
    assert len(issuer.asked) == 1
    issuer.answer = b'{"active": false}'
    clock.advance(29)
    await introspection.check("t", "mine")
    for token in ("other", "other"):
        with pytest.raises(SessionNotFoundError):
            await introspection.check(token, "mine")
    clock.advance(1)
    with pytest.raises(SessionNotFoundError):
        await introspection.check("t", "mine")
    clock.advance(-10)
    with pytest.raises(SessionNotFoundError):
        await introspection.check("t", "mine")
    assert len(issuer.asked) == 5


async def test_a_clock_that_is_set_back_keeps_nothing() -> None:
    """An answer from the future is no answer."""
    clock = Clock()
    introspection, issuer = made(30, clock)
    await introspection.check("t", "mine")
    clock.advance(-100)
    await introspection.check("t", "mine")
    assert len(issuer.asked) == 2


@pytest.mark.parametrize("cache", [-1, 301, 1.5, True, "30", None, timedelta(milliseconds=1)])
def test_a_cache_of_another_length_is_refused(cache: Any) -> None:
    """Whole seconds, up to five minutes."""
    with pytest.raises(ConfigurationError, match="introspect: cache"):
        made(cache)


@pytest.mark.parametrize("secret", ["", None, SecretStr(""), 5])
def test_credentials_are_texts(secret: Any) -> None:
    """And not empty."""
    client: Any = Issuer()
    with pytest.raises(ConfigurationError, match="client_secret"):
        IntrospectionClient(client, Introspection(URL, "orders", secret), Clock())


def test_the_repr_shows_no_secret() -> None:
    """Nor the URL."""
    assert repr(Introspection(URL, "orders", "a secret")) == "Introspection('orders')"


@pytest.mark.parametrize(("jti", "is_good"), [("", True), (', "jti": "mine"', True), (', "jti": "other"', False)])
async def test_an_answer_about_another_token_is_none(jti: str, is_good: bool) -> None:
    """A cache in between may mix the answers up: RFC 7662 lets the answer say of which token it is."""
    introspection, issuer = made(cache=5)
    issuer.answer = f'{{"active": true{jti}}}'.encode()
    if is_good:
        await introspection.check("t", "mine")
    else:
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await introspection.check("t", "mine")
