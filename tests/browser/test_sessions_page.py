"""The page "Your sessions" in Chromium: without a script, at every width, by the keyboard, and for screen readers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from tests import servers
from tests.example.browsers import launch, overflow

from .sessions_page import Home, home

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    with launch(playwright, servers.program("chromium")) as chromium:
        yield chromium


@pytest.fixture
def ours() -> Iterator[Home]:
    with home() as ours:
        ours.furnish()
        yield ours


@pytest.fixture(scope="module")
def axe() -> str:
    """The checks of axe-core."""
    servers.node_with_packages(HERE, "axe-core")
    return (HERE / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def complaints(page: Page) -> list[str]:
    """What the browser complains about from now on: errors, and breaches of the page's policy."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def test_the_forms_work_without_a_script(ours: Home, chromium: Browser) -> None:
    """Rename, end one, end the others, log out: each says what happened, and the browser has nothing to complain of."""
    page = ours.open(chromium)
    found = complaints(page)
    page.get_by_text("Rename Safari on iPhone").click()
    page.locator("details[open] input[name=label]").fill("<b>Ann's</b> phone")
    page.locator("details[open]").get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("The name is saved.")
    page.get_by_role("button", name="End session: <b>Ann's</b> phone").click()
    expect(page.get_by_role("status")).to_have_text("The session has ended.")
    expect(page).to_have_title("The session has ended. Your sessions")
    expect(page.get_by_role("listitem")).to_have_count(4)
    page.reload()  # sends no form again
    page.get_by_role("button", name="End all other sessions").click()
    expect(page.get_by_text("You are not signed in anywhere else.")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{ours.url}/login")
    assert page.context.cookies() == []
    page.goto(f"{ours.url}/account/devices")
    page.wait_for_url(f"{ours.url}/login?next=/account/devices")
    assert found == []


def test_a_session_that_has_ended_meanwhile(ours: Home, chromium: Browser) -> None:
    """The button of an old page leads to a page that says so, and from there back."""
    page, other = ours.open(chromium), ours.open(chromium)
    other.get_by_role("button", name="End session: okhttp").click()
    page.get_by_role("button", name="End session: okhttp").click()
    expect(page.get_by_role("heading", name="This session is not in the list any more")).to_be_visible()
    page.get_by_role("link", name="Back to your sessions").click()
    expect(page.get_by_role("heading", name="Your sessions")).to_be_visible()


def test_an_old_sign_in_goes_to_the_login(chromium: Browser) -> None:
    """With `fresh` the page says to sign in again, and the link leads there, with the way back."""
    with home(fresh=300) as ours:
        ours.furnish()
        page = ours.open(chromium)
        page.get_by_role("button", name="End session: okhttp").click()
        page.get_by_role("link", name="Sign in").click()
        page.wait_for_url(f"{ours.url}/login?next=/account/devices")


def test_by_the_keyboard(ours: Home, chromium: Browser) -> None:
    """Tab goes through the page as it is read, the focus can be seen, and Enter opens and sends."""
    page = ours.open(chromium)
    names: list[Any] = []
    for _ in range(6):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert names == ["Log out", "Rename Safari on Mac", "End session: Safari on iPhone", "Rename Safari on iPhone",
                     "End session: Firefox on Windows", "Rename Firefox on Windows"]  # fmt: skip
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("Work")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Work")).to_be_visible()


@pytest.mark.parametrize("width", [320, *(pytest.param(each, marks=pytest.mark.ci) for each in (390, 768)), 1280])
def test_every_width(ours: Home, chromium: Browser, width: int) -> None:
    """Nothing is wider than the window, also with a name of one long word and with an open form."""
    page = ours.open(chromium, width=width)
    page.get_by_text("Rename Firefox on Windows").click()
    page.locator("details[open] input[name=label]").fill("W" * 64)
    page.locator("details[open]").get_by_role("button", name="Save").click()
    page.get_by_text("Rename okhttp").click()
    assert overflow(page) <= 0
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 24  # WCAG 2.2, 2.5.8


@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.ci)], ids=["light", "dark"])
def test_for_screen_readers(ours: Home, chromium: Browser, axe: str, dark: bool) -> None:
    """axe-core finds nothing, on the page, after a form, and on a page that refuses; each session is told by name."""
    page = ours.open(chromium, dark=dark)
    for step in ("page", "message", "refusal"):
        if step == "message":
            page.get_by_text("Rename okhttp").click()
            page.locator("details[open]").get_by_role("button", name="Save").click()
            page.get_by_text("Rename okhttp").click()
        elif step == "refusal":
            handle = page.locator("details[open] input[name=handle]")
            handle.evaluate("(input) => input.value = 'x'")
            page.locator("details[open]").get_by_role("button", name="Save").click()
        page.evaluate(axe)
        result = page.evaluate("axe.run()")
        assert [each["id"] for each in result["violations"]] == []
        assert len(result["passes"]) > 5
        page.locator("main").wait_for()
    page.get_by_role("link", name="Back to your sessions").click()
    expect(page.locator("[aria-current=true] h3")).to_have_text("Safari on Mac")
    assert page.get_by_role("button", name="End session: ").count() == 4
