"""Tests of jwtsession.transports.csrf. tests/security/test_csrf.py goes through every combination."""

import pytest

from jwtsession import CSRFError
from jwtsession.settings import CSRFMode
from jwtsession.transports import CSRFCheck
from tests.asgi import Header, scope_of

HOST = ("host", "shop.example.com")


def passes(check: CSRFCheck, *headers: Header, method: str = "POST", scheme: str = "https", kind: str = "http") -> bool:
    try:
        check.check_request(scope_of(method, headers=[HOST, *headers], scheme=scheme, kind=kind))
    except CSRFError:
        return False
    return True


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_safe_method_always_passes_but_not_if_it_sets_a_cookie(method: str) -> None:
    """A link on another page may be followed; what logs its user in may not."""
    scope = scope_of(method, headers=[HOST, ("sec-fetch-site", "cross-site")])
    CSRFCheck("strict").check_request(scope)
    with pytest.raises(CSRFError):
        CSRFCheck("strict").check_login(scope["headers"], scope["scheme"])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE", "get", ""])
def test_every_other_method_is_checked(method: str) -> None:
    """Also one that nobody has heard of, or in another case: methods are case-sensitive (RFC 9110 section 9.1)."""
    assert not passes(CSRFCheck("strict"), ("sec-fetch-site", "cross-site"), method=method)
    assert passes(CSRFCheck("strict"), ("sec-fetch-site", "same-origin"), method=method)


def test_every_handshake_is_checked() -> None:
    """Browsers let every page open a WebSocket to any host, with its cookies (RFC 6455 section 10.2)."""
    for site, own in (("cross-site", False), ("same-origin", True)):
        assert passes(CSRFCheck("strict"), ("sec-fetch-site", site), kind="websocket", scheme="wss") is own


def test_a_handshake_is_checked_if_the_server_gives_it_a_method() -> None:
    """Older versions of NGINX Unit do."""
    scope = scope_of(headers=[HOST, ("origin", "https://evil.example")], kind="websocket") | {"method": "GET"}
    with pytest.raises(CSRFError):
        CSRFCheck("strict").check_request(scope)


@pytest.mark.parametrize(
    ("mode", "secure", "scheme", "own"),
    [
        ("strict", True, "http", False),
        ("strict", True, "https", False),
        ("strict", False, "https", False),
        ("strict", False, "wss", False),
        ("strict", False, "http", True),
        ("strict", False, "ws", True),
        ("lenient", True, "https", True),
        ("off", True, "https", True),
    ],
)
def test_what_says_nothing_of_its_origin(mode: CSRFMode, secure: bool, scheme: str, own: bool) -> None:
    """Strict lets it pass only over plain HTTP in development; lenient always, for clients that are no browsers."""
    kind = "websocket" if scheme.startswith("ws") else "http"
    assert passes(CSRFCheck(mode, cookie_secure=secure), scheme=scheme, kind=kind) is own


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("https://shop.example.com", "shop.example.com", True),
        ("https://shop.example.com", "shop.example.com:443", True),
        ("https://shop.example.com:443", "shop.example.com", True),
        ("http://shop.example.com", "shop.example.com:80", True),
        ("https://shop.example.com:8443", "shop.example.com:8443", True),
        ("https://shop.example.com", "Shop.Example.COM", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://[::80]", "[::80]", True),
        ("https://shop.example.com:8443", "shop.example.com", False),
        ("https://shop.example.com", "shop.example.com:8443", False),
        ("https://shop.example.com.evil.com", "shop.example.com", False),
        ("https://evilshop.example.com", "shop.example.com", False),
        ("https://shop.example.com@evil.com", "shop.example.com", False),
        ("https://shop.example.com/", "shop.example.com", False),
        ("shop.example.com", "shop.example.com", False),
        ("null", "null", False),
        ("null", "", False),
        ("", "", False),
        ("https://", "", False),
        ("://shop.example.com", "evil.example.com", False),
    ],
)
def test_without_sec_fetch_site_the_origin_must_be_the_host(origin: str, host: str, own: bool) -> None:
    """To the letter, but for the port that the scheme has anyway and the case of the host."""
    headers = [(b"origin", origin.encode()), (b"host", host.encode())]
    for mode in ("strict", "lenient"):
        try:
            CSRFCheck(mode).check_login(headers, "https")  # type: ignore[arg-type]
        except CSRFError:
            assert not own
        else:
            assert own


def test_one_of_several_hosts_or_none_is_no_host() -> None:
    """Two Host headers, or none, are equal to no origin."""
    origin = (b"origin", b"https://shop.example.com")
    for headers in ([origin], [origin, (b"host", b"shop.example.com"), (b"host", b"evil.com")]):
        with pytest.raises(CSRFError):
            CSRFCheck("lenient").check_login(headers, "https")


def test_a_trusted_origin_passes_whatever_else_is_said() -> None:
    """Of exactly this text; beside a second Origin it is trusted no more."""
    check = CSRFCheck("strict", trusted_origins=["https://app.example.com"])
    trusted = ("origin", "https://app.example.com")
    assert passes(check, trusted, ("sec-fetch-site", "cross-site"))
    assert passes(check, trusted)
    assert not passes(check, ("origin", "https://app.example.com.evil.com"), ("sec-fetch-site", "cross-site"))
    assert not passes(check, ("origin", "https://app.example.com:8443"))
    assert not passes(check, trusted, ("origin", "https://evil.com"))


def test_the_error_is_a_403_that_tells_no_more() -> None:
    """Its body names no origin; the reason is its code."""
    with pytest.raises(CSRFError) as error:
        CSRFCheck("strict").check_request(scope_of("POST", headers=[("origin", "https://evil.com")]))
    assert (error.value.status_code, error.value.code) == (403, "cross_site_request")
    assert error.value.detail == "Cross-site request refused"
    assert "evil" not in str(error.value)
