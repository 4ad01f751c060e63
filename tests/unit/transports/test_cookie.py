"""Tests of jwtsession.transports.cookie."""

from typing import Any

import pytest

from jwtsession import CookieSettings, InvalidArgumentError
from jwtsession.transports import CookieTransport
from jwtsession.transports.cookie import MAX_AGE_SECONDS, MAX_COOKIE_BYTES

NAME = "__Host-Http-session"


def cookie(name: str = NAME, **values: Any) -> CookieTransport:
    return CookieTransport(name, CookieSettings(**values))


def attributes(value: bytes) -> list[str]:
    """What stands behind the name and the value."""
    return value.decode().split("; ")[1:]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"]),
        ({"same_site": "strict"}, ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"]),
        ({"same_site": "none"}, ["Path=/", "Secure", "HttpOnly", "SameSite=None"]),
        (
            {"same_site": "none", "partitioned": True},
            ["Path=/", "Secure", "HttpOnly", "SameSite=None", "Partitioned"],
        ),
        (
            {"domain": "example.com", "path": "/api"},
            ["Path=/api", "Domain=example.com", "Secure", "HttpOnly", "SameSite=Lax"],
        ),
        ({"secure": False}, ["Path=/", "HttpOnly", "SameSite=Lax"]),
    ],
)
def test_setting_and_clearing_have_the_same_attributes(values: dict[str, Any], expected: list[str]) -> None:
    """Otherwise the browser keeps the cookie (RFC 6265 section 5.3); `HttpOnly` is always among them."""
    transport = cookie(**values)
    assert attributes(transport.set("t", 60)) == ["Max-Age=60", *expected]
    assert attributes(transport.clear()) == ["Max-Age=0", *expected]
    assert transport.set("t", 60).startswith(NAME.encode() + b"=t; ")
    assert transport.clear().startswith(NAME.encode() + b"=; ")


@pytest.mark.parametrize(
    ("expires_in", "age"),
    [(1, 1), (3600, 3600), (MAX_AGE_SECONDS, 34_560_000), (MAX_AGE_SECONDS + 1, 34_560_000), (None, 34_560_000)],
)
def test_a_cookie_lives_as_long_as_its_token_and_at_most_400_days(expires_in: int | None, age: int) -> None:
    """Browsers cut a longer life (RFC 6265bis section 5.5); a token without an end gets all 400 days."""
    assert attributes(cookie().set("t", expires_in))[0] == f"Max-Age={age}"


@pytest.mark.parametrize(
    ("setting", "persistent", "lasts"),
    [
        (True, None, True),
        (True, False, False),
        (True, True, True),
        (False, None, False),
        (False, True, True),
        (False, False, False),
    ],
)
def test_a_cookie_of_the_browser_s_session_has_no_max_age(setting: bool, persistent: bool | None, lasts: bool) -> None:
    """The login decides, and the setting where the login does not. A token without an end is no exception."""
    for expires_in in (60, None):
        value = cookie(persistent=setting).set("t", expires_in, persistent)
        assert (b"Max-Age" in value) is lasts
        assert b"Expires" not in value


def test_a_cookie_that_browsers_would_drop_is_refused() -> None:
    """Name and value have 4,096 bytes at most; the error says how many there are, and shows no token."""
    token = "t" * (MAX_COOKIE_BYTES - len(NAME))
    assert cookie().set(token, 60).startswith(f"{NAME}={token}; ".encode())
    with pytest.raises(InvalidArgumentError, match="4097 bytes") as error:
        cookie().set(token + "t", 60)
    assert "ttt" not in str(error.value)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], []),
        ([b"session=t"], ["t"]),
        ([b"a=b; session=t; c=d"], ["t"]),
        ([b"a=b;session=t"], ["t"]),
        ([b"a=b;\t session=t\t;c=d"], ["t"]),
        ([b"session=t;"], ["t"]),
        ([b"a=b", b"session=t"], ["t"]),
        ([b"session=t", b"session=u"], ["t", "u"]),
        ([b"session=t; session=t"], ["t", "t"]),
        ([b"session=a=b=="], ["a=b=="]),
        ([b'session="t"'], ['"t"']),
        ([b"session=\xe4\x00"], ["\xe4\x00"]),
        ([b"session="], [""]),
        ([b"session"], []),
        ([b"session; a=b"], []),
        ([b"Session=t"], []),
        ([b"session2=t"], []),
        ([b"xsession=t"], []),
        ([b"__Host-session=t"], []),
        ([b"a=session=t"], []),
        ([b"session =t"], []),
        ([b"session= t"], [" t"]),
        ([b"a=b, session=t"], []),
        ([b"=session=t"], []),
    ],
)
def test_only_the_cookie_of_exactly_this_name_is_found(headers: list[bytes], found: list[str]) -> None:
    """In one Cookie header or in several, every cookie of the name, and the value as the client sent it."""
    raw = [(b"x-cookie", b"session=other"), *((b"cookie", value) for value in headers)]
    assert [*cookie("session", secure=False).find(raw)] == found
