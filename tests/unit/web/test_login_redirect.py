"""Tests of jwtsession.web.login_redirect."""

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from jwtsession import (
    Claims,
    ConfigurationError,
    MemorySessionStore,
    Session,
    SessionProvider,
    safe_next,
)
from jwtsession.testing import SessionTester
from tests.asgi import call, scope_of
from tests.conftest import SECRET
from tests.properties import exact

PAGE = {"Accept": "text/html,application/xhtml+xml"}


@pytest.mark.parametrize(
    "path", ["/", "/cart", "/cart?sku=tea&n=1", "/a/b/../c", "/caf\u00e9", "/search?q=https://other.example//x", "/a#b"]
)
def test_a_path_of_this_site_is_safe(path: str) -> None:
    """A login may go back to any page of its own site."""
    assert safe_next(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None, 1, b"/a", "", "cart", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example",
        "https://evil.example", "javascript:alert(1)", "/\t/evil.example", "/a\nb", "/a b", " /a", "/\x00", "/\x7f",
        "/a//evil.example", "/..//evil.example", "/\x85/evil.example", "/\u00a0", "/\ud800", "/" + "a" * 2_000,
    ],
)  # fmt: skip
def test_what_may_lead_elsewhere_is_not_safe(path: object) -> None:
    """Other hosts and schemes, what browsers turn into such, and what is no text give the default."""
    assert safe_next(path) == "/"
    assert safe_next(path, "/home") == "/home"


@exact(400)
@given(st.text(max_size=40))
def test_no_safe_path_has_a_host(path: str) -> None:
    """Whatever the text is: what comes back begins with one slash, and names no host."""
    found = safe_next(path)
    assert found.startswith("/")
    assert urlsplit(found)[:2] == ("", "")
    assert found[:2] not in ("//", "/\\")


@pytest.fixture
def tester() -> SessionTester[Session, Claims]:
    return SessionTester(SessionProvider(token_sources=["bearer", "query"]))


@pytest.fixture
def client(tester: SessionTester[Session, Claims]) -> Iterator[TestClient]:
    sessions = tester.sessions
    app = FastAPI(lifespan=sessions.lifespan)
    page = Depends(sessions.redirect_to_login("/login"))

    @app.api_route("/page/{name:path}", methods=["GET", "POST"])
    async def show(session: Annotated[Session, page]) -> bool:
        return True

    @app.get("/login")
    async def login_page(session: Annotated[Session, page]) -> bool:
        return True

    with tester.client(app, follow_redirects=False) as client:
        yield client


def test_a_browser_goes_to_the_login_page_and_back(client: TestClient, tester: SessionTester[Session, Claims]) -> None:
    """A 303 names the page and its query; with a session the page is shown, and scripts get a 401."""
    refused = client.get("/page/a%20b?n=1&m=%2F", headers=PAGE)
    assert refused.status_code == 303
    place = urlsplit(refused.headers["location"])
    assert (place.scheme, place.netloc, place.path) == ("", "", "/login")
    assert parse_qs(place.query) == {"next": ["/page/a%20b?n=1&m=%2F"]}
    assert safe_next(parse_qs(place.query)["next"][0]) == "/page/a%20b?n=1&m=%2F"
    assert refused.headers["cache-control"] == "no-store"

    assert client.get("/page/a").status_code == 401
    assert client.get("/page/a", headers=PAGE | tester.login({}).headers).json() is True


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/100%41", b"", "/100%2541"),
        ("/a%3Fb#c?d", b"", "/a%253Fb%23c%3Fd"),
        ("/a", b"q=100%2541&b", "/a?q=100%2541&b"),
        ("/a", b"q=\xff", "/a?q=%FF"),
    ],
)
async def test_a_browser_comes_back_to_the_page_that_it_asked_for(path: str, query: bytes, expected: str) -> None:
    """Also if its path has percent signs of its own; and a client may send any bytes in its query."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore())
    app = FastAPI(dependencies=[Depends(sessions.redirect_to_login("/login"))])
    app.get("/{path:path}")(lambda: None)
    async with sessions:
        answer = await call(app, scope_of(path=path, headers=[("accept", "text/html")]) | {"query_string": query})
    assert parse_qs(urlsplit(answer.all("location")[0]).query) == {"next": [expected]}
    assert safe_next(expected) == expected


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Mode": "navigate"}, 303),
        ({"Sec-Fetch-Mode": "cors"} | PAGE, 401),
        ({"Sec-Fetch-Mode": "same-origin"} | PAGE, 401),
        ({"Accept": "application/json"}, 401),
        ({"Accept": "*/*"}, 401),
    ],
)
def test_only_a_navigation_is_redirected(client: TestClient, headers: dict[str, str], status: int) -> None:
    """The browser says in Sec-Fetch-Mode whether it opens a page. Only where it says nothing does Accept count."""
    assert client.get("/page/a", headers=headers).status_code == status


def test_a_form_is_not_sent_again(client: TestClient) -> None:
    """After a post there is no page to go back to."""
    assert client.post("/page/a", headers=PAGE).headers["location"] == "/login"


@pytest.mark.parametrize("path", ["/page//evil.example", "/page/%5C%5Cevil.example", "/page/%0A"])
def test_an_unsafe_page_is_not_named(client: TestClient, path: str) -> None:
    """Whatever the path is, `next` is safe, or is not there."""
    place = urlsplit(client.get(path, headers=PAGE).headers["location"])
    for each in parse_qs(place.query).get("next", []):
        assert safe_next(each) == each
    assert place.path == "/login"


def test_a_token_in_the_url_does_not_travel_on(client: TestClient) -> None:
    """`next` has the query without the token's parameter, however it is written."""
    place = client.get("/page/a?accessToken=bad&n=1&access%54oken=bad", headers=PAGE).headers["location"]
    assert parse_qs(urlsplit(place).query) == {"next": ["/page/a?n=1"]}


def test_the_login_page_is_not_redirected_to_itself(client: TestClient) -> None:
    """A login page that asks for a session is a 401, and no endless loop."""
    assert client.get("/login", headers=PAGE).status_code == 401


async def test_a_login_page_with_a_query_is_not_redirected_to_itself_either() -> None:
    """And its query stays before `next`."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore())
    app = FastAPI(dependencies=[Depends(sessions.redirect_to_login("/login?lang=en"))])
    app.get("/{path:path}")(lambda: None)
    async with sessions:
        elsewhere, login = [
            await call(app, scope_of(path=path, headers=[("accept", "text/html")])) for path in ("/a", "/login")
        ]
    assert elsewhere.all("location") == ["/login?lang=en&next=/a"]
    assert login.status == 401


@pytest.mark.parametrize(
    "path", ["login", "https://sso.example/login", "//evil", "", None, b"/login", "/login#top", "/\u767b\u9304"]
)
def test_the_login_page_is_a_path_of_this_site(path: str) -> None:
    """Anything else is refused when the application is made."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore())
    with pytest.raises(ConfigurationError, match="redirect_to_login"):
        sessions.redirect_to_login(path)
