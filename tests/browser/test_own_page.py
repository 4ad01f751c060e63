"""The shop's own page in Chromium: everything works with the cookie, and no script sees the token."""

import json
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from . import scripts
from .world import WORLDS, World

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("world", WORLDS, indirect=True, scope="module"),
]


def ask(page: Page, method: str, url: str, headers: dict[str, str] | None = None, body: Any = None) -> tuple[Any, Any]:
    """The status and the body that a script of the page gets."""
    status, text = page.evaluate(scripts.FETCH, [url, method, headers or {}, body])
    return status, json.loads(text) if text else None


def test_everything_works_from_the_own_page(page: Page, world: World) -> None:
    """A login, a JSON body, a form, a WebSocket, an EventSource and a picture have the session."""
    assert ask(page, "POST", "/login") == (200, {"token_type": "cookie", "expires_in": 30 * 86400})
    json_body = {"content-type": "application/json"}, "{}"
    assert ask(page, "POST", "/cart", *json_body) == (200, {"user": "ann", "cart": ["book"]})
    assert page.evaluate(scripts.SOCKET, world.url.replace("http", "ws", 1) + "/socket") == "ann"
    assert page.evaluate(scripts.EVENTS, "/events") == "ann"
    assert page.evaluate(scripts.PICTURE, "/picture") == "shown"
    assert ask(page, "GET", "/session")[1]["cart"] == ["book", "by socket"]
    with page.expect_navigation() as answer:
        page.evaluate(scripts.FORM, ["/cart?item=form", "text/plain"])
    assert answer.value is not None
    assert answer.value.status == 200
    said = {each.site for each in world.recorder.seen if each.method != "WEBSOCKET"}
    assert said == ({"same-origin", "none"} if world.scheme == "https" else {None})
    (socket,) = [each for each in world.recorder.seen if each.method == "WEBSOCKET"]
    assert (socket.origin, socket.site) == (world.url, None), "Chromium's handshakes have no Sec-Fetch-Site"


def test_no_script_sees_the_token(page: Page, context: BrowserContext, world: World) -> None:
    """Not in the cookies of the document, and nowhere in an answer; the browser has it with all its attributes."""
    status, login = ask(page, "POST", "/login")
    (cookie,) = context.cookies()
    assert status == 200
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("cookieStore ? cookieStore.getAll() : []") == [] if world.scheme == "https" else True
    assert cookie["name"] == ("__Host-Http-session" if world.scheme == "https" else "session")
    assert (cookie["httpOnly"], cookie["secure"]) == (True, world.scheme == "https")
    assert (cookie["sameSite"], cookie["domain"], cookie["path"]) == (world.same_site.capitalize(), "shop.test", "/")
    assert cookie["value"] not in json.dumps(login)


def test_a_reload_and_a_second_tab_keep_the_user_in(page: Page, context: BrowserContext, world: World) -> None:
    """A logout in one tab is one in the other, and the browser has no cookie any more."""
    ask(page, "POST", "/login")
    page.reload()
    assert ask(page, "GET", "/session")[0] == 200
    second = context.new_page()
    second.goto(world.url)
    assert ask(second, "POST", "/cart")[0] == 200
    assert ask(page, "GET", "/session")[1]["cart"] == ["book"]
    assert ask(second, "DELETE", "/session")[0] == 200
    assert context.cookies() == []
    assert ask(page, "GET", "/session")[0] == 401
    assert world.stored() == {}


def test_a_script_may_ask_for_the_token_itself(page: Page, context: BrowserContext) -> None:
    """By `Session-Transport: bearer`: then it is in the answer, and in no cookie."""
    status, login = ask(page, "POST", "/login", {"session-transport": "bearer"})
    assert (status, login["token_type"], context.cookies()) == (200, "bearer", [])
    assert ask(page, "GET", "/session")[0] == 401
    assert ask(page, "GET", "/session", {"authorization": f"Bearer {login['access_token']}"})[0] == 200
