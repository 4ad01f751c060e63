"""Ten tabs of Chromium whose token is due at the same moment, and a page that keeps its token itself."""

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from playwright.sync_api import BrowserContext, Page

from jwtsession.testing import Clock

from .test_own_page import ask
from .world import World, open_world

pytestmark = pytest.mark.slow

AFTER, GRACE, ROUNDS, TABS = 900, 30, 5, 10

BEGIN = """() => { window.answers = Promise.all([1, 2, 3].map(
    number => fetch(`/session?${number}`).then(answer => answer.status)
)) }"""
"""Three requests at once, for which nobody waits yet."""

KEEPER = """async ([times, started]) => {
    let token = window.token ?? started
    const statuses = await Promise.all([...Array(times)].map(async () => {
        const answer = await fetch("/session", {headers: {authorization: `Bearer ${token}`}, credentials: "omit"})
        token = answer.headers.get("session-token") ?? token
        return answer.status
    }))
    window.token = token
    return [statuses, token]
}"""
"""A page that keeps its token in a variable, and takes each new one from the header."""


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture(scope="module")
def world(clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = {"rotation": {"after": AFTER, "grace": GRACE}}
    with open_world("https", "lax", tmp_path_factory.mktemp("certificate"), clock, **settings) as world:
        yield world


def gen(token: str) -> Any:
    return jwt.decode(token, options={"verify_signature": False})["gen"]


def newest(world: World) -> int:
    """The newest generation of the tokens of the only session."""
    (session,) = world.stored()
    return world.store.generations[session].number


def test_ten_tabs_that_are_due_at_once_make_one_rotation(
    page: Page, context: BrowserContext, world: World, clock: Clock
) -> None:
    """In each of five rounds thirty requests are good, one generation begins, and the jar has its one token."""
    assert ask(page, "POST", "/login")[0] == 200
    tabs = [page, *(context.new_page() for _ in range(TABS - 1))]
    for tab in tabs[1:]:
        tab.goto(world.url)
    for number in range(1, ROUNDS + 1):
        clock.advance(AFTER)
        for tab in tabs:
            tab.evaluate(BEGIN)
        assert [tab.evaluate("() => window.answers") for tab in tabs] == [[200] * 3] * TABS
        (cookie,) = context.cookies()
        assert (newest(world), gen(cookie["value"])) == (number, number)
        clock.advance(GRACE + 1)
        assert ask(tabs[number], "GET", "/session")[0] == 200
    for tab in tabs:
        assert ask(tab, "GET", "/session") == (200, {"user": "ann", "cart": []})


def test_a_page_that_keeps_its_token_takes_the_new_one_from_the_header(
    page: Page, context: BrowserContext, world: World, clock: Clock
) -> None:
    """Ten requests at once with one token that is due: all are good, and the page ends with the next generation."""
    started = ask(page, "POST", "/login", {"session-transport": "bearer"})[1]["access_token"]
    for number in range(1, ROUNDS + 1):
        clock.advance(AFTER)
        statuses, token = page.evaluate(KEEPER, [10, started])
        assert (statuses, gen(token), newest(world)) == ([200] * 10, number, number)
        clock.advance(GRACE + 1)
        assert page.evaluate(KEEPER, [1, started])[0] == [200]
    assert context.cookies() == []


def test_a_copied_cookie_ends_the_session_of_both(
    page: Page, context: BrowserContext, world: World, clock: Clock
) -> None:
    """The thief comes when the browser has used its new token for longer than the grace."""
    ask(page, "POST", "/login")
    (cookie,) = context.cookies()
    clock.advance(AFTER)
    for _ in range(2):
        assert ask(page, "GET", "/session")[0] == 200
    clock.advance(GRACE)
    stolen = {"authorization": f"Bearer {cookie['value']}"}
    context.clear_cookies()
    assert ask(page, "GET", "/session", stolen)[0] == 401
    assert world.stored() == {}
