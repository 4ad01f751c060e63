"""Tests of jwtsession.settings.cookie, and of the settings beside it: `csrf`, `trusted_origins`, `csrf_same_site`."""

from typing import Any

import pytest

from jwtsession import ConfigurationError, CookieSettings, SessionSettings
from tests.conftest import SECRET


def settings(**values: Any) -> SessionSettings:
    return SessionSettings(**({"secret": SECRET, "token_sources": ("cookie", "bearer")} | values))


def test_the_defaults_are_the_safe_ones() -> None:
    """Secure, Lax, for this host and all its paths, and outliving the browser; other sites are refused."""
    made = settings()
    assert made.cookie == CookieSettings(
        secure=True, same_site="lax", domain=None, path="/", partitioned=False, persistent=True, name=None
    )
    assert (made.csrf, made.trusted_origins, made.csrf_same_site) == ("strict", (), False)


@pytest.mark.parametrize(
    ("cookie", "request_key", "name"),
    [
        ({}, "session", "__Host-Http-session"),
        ({}, "admin", "__Host-Http-admin"),
        ({"domain": "example.com"}, "session", "__Secure-session"),
        ({"path": "/api"}, "session", "__Secure-session"),
        ({"path": "/api"}, "admin", "__Secure-admin"),
        ({"secure": False}, "session", "session"),
        ({"secure": False, "domain": "example.com", "path": "/api"}, "admin", "admin"),
        ({"name": "sid"}, "session", "sid"),
        ({"name": "__Host-sid"}, "session", "__Host-sid"),
        ({"name": "__Secure-sid", "domain": "example.com"}, "session", "__Secure-sid"),
        ({"name": "__Http-sid", "path": "/api"}, "session", "__Http-sid"),
    ],
)
def test_the_name_is_the_safest_that_the_attributes_permit(cookie: dict[str, Any], request_key: str, name: str) -> None:
    """The prefix follows from the attributes, the rest is `request_key`; a name that is set stands as it is."""
    assert settings(cookie=cookie, request_key=request_key).cookie_name == name


@pytest.mark.parametrize(
    ("cookie", "named", "reason"),
    [
        ({"same_site": "none", "secure": False}, "cookie.same_site", "refuse none unless cookie.secure"),
        ({"same_site": "Lax"}, "cookie.same_site", "'lax', 'strict' or 'none'"),
        ({"partitioned": True}, "cookie.partitioned", 'cookie.same_site="none"'),
        ({"partitioned": True, "same_site": "strict"}, "cookie.partitioned", 'cookie.same_site="none"'),
        ({"name": "__Host-sid", "secure": False}, "cookie.name", "unless cookie.secure"),
        ({"name": "__secure-sid", "secure": False}, "cookie.name", "unless cookie.secure"),
        ({"name": "__Http-sid", "secure": False}, "cookie.name", "unless cookie.secure"),
        ({"name": "__Host-sid", "domain": "example.com"}, "cookie.name", "__Host- with cookie.domain"),
        ({"name": "__hOST-Http-sid", "path": "/api"}, "cookie.name", "another cookie.path"),
        *(({"name": name}, "cookie.name", "must be 1 to 100") for name in
          ["", "a b", "a=b", "a;b", "ä", "a\n", "a" * 101]),
        *(({"domain": name}, "cookie.domain", "must be a host name") for name in
          ["", "localhost", ".example.com", "Example.com", "example.com:8000", "https://example.com", "a..b", "a;b.c"]),
        *(({"path": path}, "cookie.path", "must begin with /") for path in ["", "api", "/a;b", "/ä", "/a\n", "/a b"]),
        ({"persistant": True}, "cookie.persistant", ""),
    ],
)  # fmt: skip
def test_a_cookie_that_browsers_would_refuse_is_refused_at_the_start(
    cookie: dict[str, Any], named: str, reason: str
) -> None:
    """The error names the setting and says what it needs."""
    with pytest.raises(ConfigurationError) as error:
        settings(cookie=cookie)
    assert named in str(error.value)
    assert reason in str(error.value)


def test_what_browsers_take_is_taken() -> None:
    """None with Secure, a partitioned cookie, a domain of many labels, a long path."""
    for cookie in (
        {"same_site": "none"},
        {"same_site": "none", "partitioned": True},
        {"domain": "a.b-c.example.co.uk"},
        {"path": "/" + "a" * 1023},
        {"same_site": "strict", "secure": False},
    ):
        assert settings(cookie=cookie).cookie == CookieSettings(**cookie)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.com", "http://localhost:3000", "https://[2001:db8::1]:8443",
     "chrome-extension://abcdef", "http://127.0.0.1:443", "https://a.com:80"],
)  # fmt: skip
def test_a_trusted_origin_is_what_a_browser_sends(origin: str) -> None:
    """A scheme and a host, and the port if it is not the scheme's own."""
    assert settings(trusted_origins=[origin]).trusted_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    ["", "*", "null", "app.example.com", "https://app.example.com/", "https://app.example.com/x", "https://App.example.com",
     "HTTPS://app.example.com", "https://app.example.com:443", "http://app.example.com:80", "https://*.example.com",
     "https://app.example.com:0", "https://app.example.com:99999", "https://app.example.com:", "https://",
     "https://app.example.com\n", " https://app.example.com", "https://user@app.example.com", "https://ä.example.com"],
)  # fmt: skip
def test_anything_else_is_no_trusted_origin(origin: str) -> None:
    """What no browser sends would trust nobody in silence, so it is refused at the start."""
    with pytest.raises(ConfigurationError, match="trusted_origins"):
        settings(trusted_origins=["https://other.example.com", origin])


@pytest.mark.parametrize(
    "values",
    [
        {"cookie": {"secure": False}},
        {"csrf": "off"},
        {"trusted_origins": ["https://app.example.com"]},
        {"csrf_same_site": True},
    ],
)
def test_settings_of_cookies_need_the_cookie(values: dict[str, Any]) -> None:
    """Without `cookie` in `token_sources` they would do nothing, which nobody wants who sets them."""
    with pytest.raises(ConfigurationError, match='needs "cookie" in token_sources'):
        settings(token_sources=("bearer",), **values)


@pytest.mark.parametrize("values", [{"csrf": "Strict"}, {"csrf": None}, {"csrf": False}, {"csrf_same_site": "lax"}])
def test_a_mode_that_does_not_exist_is_refused(values: dict[str, Any]) -> None:
    """The defence is never off by a slip of the pen."""
    with pytest.raises(ConfigurationError, match="csrf"):
        settings(**values)


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its variable; a list is JSON."""
    for name, value in {
        "TOKEN_SOURCES": '["cookie"]',
        "COOKIE_SAME_SITE": "strict",
        "COOKIE_NAME": "__Host-sid",
        "CSRF": "lenient",
        "TRUSTED_ORIGINS": '["https://app.example.com"]',
        "CSRF_SAME_SITE": "true",
    }.items():
        monkeypatch.setenv(f"JWTSESSION_{name}", value)
    made = SessionSettings(secret=SECRET)
    assert (made.cookie.same_site, made.cookie_name, made.csrf) == ("strict", "__Host-sid", "lenient")
    assert (made.trusted_origins, made.csrf_same_site) == (("https://app.example.com",), True)
