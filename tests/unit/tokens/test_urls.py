"""The normal form of URLs: RFC 3986's own examples and rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwtsession.tokens.urls import normal_path, normal_url
from tests.properties import exact


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("eXAMPLE://a/./b/../b/%63/%7bfoo%7d", "example://a/b/c/%7Bfoo%7D"),  # RFC 3986 section 6.2.2
        ("http://example.com", "http://example.com/"),  # section 6.2.3
        ("http://example.com/", "http://example.com/"),
        ("http://example.com:/", "http://example.com/"),
        ("http://example.com:80/", "http://example.com/"),
        ("https://example.com:443", "https://example.com/"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("HTTP://www.EXAMPLE.com/", "http://www.example.com/"),  # section 6.2.2.1
        ("http://a.com/%3a%3A/A%2fb", "http://a.com/%3A%3A/A%2Fb"),
        ("http://a.com/%7Esmith/%41%2D%2e%5F", "http://a.com/~smith/A-._"),  # section 6.2.2.2
        ("http://%41.com/", "http://a.com/"),
        ("http://[::FFFF]:80/a", "http://[::ffff]/a"),
        ("http://a.com/b?c=/../d", "http://a.com/b"),
        ("http://a.com/b#c?d", "http://a.com/b"),
        ("http://a.com?c", "http://a.com/"),
        ("http://a.com/%zz%4", "http://a.com/%zz%4"),
    ],
)
def test_a_url_gets_its_normal_form(url: str, normal: str) -> None:
    """Case, default port, percent-encoding, dot segments and the empty path do not matter; the query is left out."""
    assert normal_url(url) == normal


@pytest.mark.parametrize(
    "url", ["", "/a", "a.com/b", "http:/a", "http://a b/", "http://a.com/\n", "http://é.com/", "1a://b"]
)
def test_what_is_no_url_has_no_normal_form(url: str) -> None:
    """A relative reference and a text with a character that no URI has are no URLs."""
    assert normal_url(url) is None


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/a/b/c/./../../g", "/a/g"),  # RFC 3986 section 5.2.4
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/..", "/"),
        ("/../../a", "/a"),
        ("//..", "/"),
        ("/a//../b", "/a/b"),
        ("/.a/..b/...", "/.a/..b/..."),
        ("/a/%2e%2E/b", "/b"),
        ("/a/%2F../b", "/a/%2F../b"),
        ("", "/"),
    ],
)
def test_dot_segments_are_removed(path: str, normal: str) -> None:
    """Segments of one or two dots are resolved as RFC 3986 section 5.2.4 says, also where the dots are encoded."""
    assert normal_path(path) == normal


@exact(400)
@given(st.text(alphabet="/.%2eEfFaA:?#@[]~é", max_size=30))
def test_a_normal_form_is_its_own(path: str) -> None:
    """The normal form of a normal form is the same, so two spellings can't take turns."""
    found = normal_url(f"https://a.com:443/{path}")
    assert found is None or normal_url(found) == found
