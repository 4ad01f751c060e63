"""Other people's pages in Chromium: what they make the browser send changes nothing, and they learn nothing."""

import pytest
from playwright.sync_api import BrowserContext, Page

from . import scripts
from .world import World

pytestmark = [pytest.mark.slow, pytest.mark.ci]

RELATIONS = ("sibling port", "sibling host", "other site")


@pytest.fixture
def stranger(request: pytest.FixtureRequest, context: BrowserContext, page: Page, world: World) -> Page:
    """A page of another origin, in a browser whose user is logged in at the shop."""
    page.evaluate(scripts.FETCH, ["/login", "POST", {}, None])
    assert len(world.stored()) == len(context.cookies()) == 1
    other = context.new_page()
    other.goto(world.origin(request.param))
    world.recorder.seen.clear()
    return other


def attack(page: Page, world: World) -> dict[str, object]:
    """Everything that a page can try without the user's help; what it learns."""
    shop = world.url
    learned: dict[str, object] = {"simple": page.evaluate(scripts.SIMPLE, f"{shop}/cart?item=simple")}
    learned["login"] = page.evaluate(scripts.SIMPLE, f"{shop}/login?user=mallory")
    for name, method in (("json", "POST"), ("delete", "DELETE")):
        asked = [
            f"{shop}/cart" if name == "json" else f"{shop}/session",
            method,
            {"content-type": "application/json"},
            "{}",
        ]
        learned[name] = page.evaluate(scripts.FETCH, asked)
    learned["read"] = page.evaluate(scripts.FETCH, [f"{shop}/session", "GET", {}, None])
    learned["events"] = page.evaluate(scripts.EVENTS, f"{shop}/events")
    learned["socket"] = page.evaluate(scripts.SOCKET, shop.replace("http", "ws", 1) + "/socket")
    page.evaluate(scripts.PICTURE, f"{shop}/picture")
    for path in ("/cart", "/login?user=mallory"):
        home = page.url
        with page.expect_navigation() as answer:
            page.evaluate(scripts.FORM, [shop + path, "text/plain"])
        assert answer.value is not None
        learned[f"form {path}"] = answer.value.status
        page.goto(home)
    return learned


@pytest.mark.parametrize("stranger", RELATIONS, indirect=True)
def test_no_other_page_changes_or_learns_anything(
    stranger: Page, context: BrowserContext, world: World, request: pytest.FixtureRequest
) -> None:
    """Form posts, fetches with credentials, WebSockets: all refused, also those that have the cookie with them."""
    relation = request.node.callspec.params["stranger"]
    before, cookies = world.stored(), context.cookies()
    learned = attack(stranger, world)
    # The browser itself keeps what it gets from the page; the form's user sees the refusal.
    has_cookie = relation != "other site" or world.same_site == "none"
    assert learned == {
        "simple": ["opaque", ""],
        "login": ["opaque", ""],
        "json": ["refused", ""],
        "delete": ["refused", ""],
        "read": ["refused", ""],
        "events": "refused",
        "socket": "closed",
        "form /cart": 403 if has_cookie else 401,
        "form /login?user=mallory": 403,
    }
    assert world.stored() == before
    assert context.cookies() == cookies

    seen = [each for each in world.recorder.seen if each.method not in ("OPTIONS", "GET")]
    assert [(each.method, each.path) for each in seen] == [
        ("POST", "/cart"), ("POST", "/login"), ("WEBSOCKET", "/socket"), ("POST", "/cart"), ("POST", "/login"),
    ], "what needs a preflight never arrives"  # fmt: skip
    for each in seen:
        assert each.has_cookie is has_cookie
        assert each.status == (403 if has_cookie or each.path == "/login" else 401)
        assert each.origin == world.origin(relation)
        if world.scheme == "https" and each.method != "WEBSOCKET":
            assert each.site == ("cross-site" if relation == "other site" else "same-site")
        else:
            assert each.site is None
    reads = [each for each in world.recorder.seen if each.method == "GET" and each.path != "/favicon.ico"]
    assert {each.path for each in reads} == {"/session", "/events", "/picture"}
    assert {each.status for each in reads} == ({200} if has_cookie else {401})


@pytest.mark.parametrize("stranger", ["front.test"], indirect=True)
def test_a_trusted_origin_may_use_the_cookie(stranger: Page, world: World) -> None:
    """The shop's front end on another host: by CORS with credentials, and by WebSocket, if it is `SameSite=None`."""
    asked = [f"{world.url}/cart", "POST", {"content-type": "application/json"}, "{}"]
    status, body = stranger.evaluate(scripts.FETCH, asked)
    socket = stranger.evaluate(scripts.SOCKET, world.url.replace("http", "ws", 1) + "/socket")
    if world.same_site == "none":
        assert (status, socket) == (200, "ann")
        assert '"cart":["book"]' in body
    else:
        assert (status, socket) == (401, "closed")
    assert stranger.evaluate(scripts.FETCH, [f"{world.url}/login", "POST", {}, None])[0] == 200


@pytest.mark.parametrize("stranger", ["evil.test"], indirect=True)
def test_a_link_from_another_page_finds_the_user_in(stranger: Page, world: World) -> None:
    """With `lax` and with `none`: the user follows it, and sees the shop as its own."""
    stranger.evaluate("url => { location = url }", f"{world.url}/session")
    stranger.wait_for_url(f"{world.url}/session")
    assert '"user":"ann"' in stranger.content()
