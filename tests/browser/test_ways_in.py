"""A page that has the token itself, in Chromium: it opens WebSockets and event streams without any cookie."""

import pytest
from playwright.sync_api import BrowserContext, Page

from . import scripts
from .test_own_page import ask
from .world import WORLDS, World

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("world", WORLDS, indirect=True, scope="module"),
]


def log_in(page: Page) -> str:
    """The token that the page's script gets."""
    token: str = ask(page, "POST", "/login", {"session-transport": "bearer"})[1]["access_token"]
    return token


def socket_url(world: World) -> str:
    return world.url.replace("http", "ws", 1) + "/socket"


def test_a_subprotocol_opens_a_socket(page: Page, context: BrowserContext, world: World) -> None:
    """The browser accepts the answer `jwtsession`; with no token, and with a bad one, it is refused."""
    token = log_in(page)
    assert context.cookies() == []
    offered = f"jwtsession jwtsession.token.{token}"
    assert page.evaluate(scripts.SOCKET, [socket_url(world), offered]) == "ann"
    assert page.evaluate(scripts.SOCKET, [socket_url(world), "jwtsession"]) == "closed"
    assert page.evaluate(scripts.SOCKET, [socket_url(world), offered[:-4]]) == "closed"
    assert [each.status for each in world.recorder.seen if each.method == "WEBSOCKET"] == [101, 401, 401]


def test_another_sites_page_may_do_so_too(context: BrowserContext, page: Page, world: World) -> None:
    """It needs the token, which no browser sends by itself."""
    token = log_in(page)
    other = context.new_page()
    other.goto(world.origin("other site"))
    assert other.evaluate(scripts.SOCKET, [socket_url(world), f"jwtsession jwtsession.token.{token}"]) == "ann"


def test_a_ticket_opens_a_socket_and_a_stream(page: Page, world: World) -> None:
    """Each once. The handshake has the page's origin and the stream has none, and both are the page that asked."""
    headers = {"authorization": f"Bearer {log_in(page)}"}

    def ticket() -> str:
        found: str = ask(page, "POST", "/ticket", headers)[1]["ticket"]
        return found

    for script, url, used in (
        (scripts.SOCKET, socket_url(world), "closed"),
        (scripts.EVENTS, world.url + "/events", "refused"),
    ):
        url = f"{url}?ticket={ticket()}"
        assert page.evaluate(script, url) == "ann"
        assert page.evaluate(script, url) == used


def test_another_page_can_not_use_a_ticket(context: BrowserContext, page: Page, world: World) -> None:
    """Whether it is of the same site or of another one: the browser names its origin."""
    headers = {"authorization": f"Bearer {log_in(page)}"}
    for relation in ("sibling port", "sibling host", "other site"):
        other = context.new_page()
        other.goto(world.origin(relation))
        for script, url, refused in (
            (scripts.SOCKET, socket_url(world), "closed"),
            (scripts.EVENTS, world.url + "/events", "refused"),
        ):
            ticket = ask(page, "POST", "/ticket", headers)[1]["ticket"]
            assert other.evaluate(script, f"{url}?ticket={ticket}") == refused
            assert world.recorder.seen[-1].status == 401
