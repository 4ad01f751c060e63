"""A headless Chromium, in which all names are this machine, and the sites that it visits."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, sync_playwright

from tests.example.browsers import QUIET
from tests.servers import program

from .world import World, open_world

LOCAL = ["--host-resolver-rules=MAP * 127.0.0.1", "--ignore-certificate-errors"]


# Not for the session: while Playwright is open, its event loop runs, and no other test of this process can run one.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(
    scope="module",
    params=[("https", "lax"), ("https", "none"), ("http", "lax")],
    ids=lambda each: "-".join(each),
)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With TLS the browser says `Sec-Fetch-Site`; without, of a host that is not localhost, it says `Origin` alone."""
    with open_world(*request.param, tmp_path_factory.mktemp("certificate")) as world:
        yield world


@pytest.fixture(scope="module")
def browser(playwright: Playwright, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """With a profile that permits cookies of other sites, as Chromium does for its users, and not for tests."""
    profile = tmp_path_factory.mktemp("profile")
    (profile / "Default").mkdir()
    (profile / "Default" / "Preferences").write_text(json.dumps({"profile": {"cookie_controls_mode": 0}}))
    context = playwright.chromium.launch_persistent_context(
        profile,
        executable_path=program("chromium"),
        args=QUIET + LOCAL,
        ignore_https_errors=True,
    )
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def context(browser: BrowserContext, world: World) -> Iterator[BrowserContext]:
    """A browser without cookies, and a shop without sessions."""
    browser.clear_cookies()
    for session in world.stored():
        world.store.put(session, b"", 0)
    world.recorder.seen.clear()
    yield browser
    for page in browser.pages[1:]:  # without a page, the browser would end
        page.close()


@pytest.fixture
def page(context: BrowserContext, world: World) -> Page:
    """The shop's own page, with nobody logged in."""
    page = context.new_page()
    page.goto(world.url)
    return page
