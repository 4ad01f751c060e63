"""Browsers that look at the example application, and what a user does in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Route, expect

# A browser of its own asks the internet for updates and the like.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-pings"]
WAIT = 15_000
"""Milliseconds."""
expect.set_options(timeout=WAIT)


@contextmanager
def launch(playwright: Playwright, executable: str) -> Iterator[Browser]:
    """A headless Chromium for the length of a `with`."""
    browser = playwright.chromium.launch(executable_path=executable, args=QUIET)
    try:
        yield browser
    finally:
        browser.close()


class Browsers:
    """Opens browsers, and collects what their pages complain about: errors, broken policies, foreign addresses.

    Args:
        chromium: Each context of it is a browser of its own.
    """

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._contexts: list[BrowserContext] = []
        self._complaints: list[str] = []
        self.expected: list[str] = []
        """Parts of complaints that the test expects, such as "status of 401"."""

    @property
    def complaints(self) -> list[str]:
        return [each for each in self._complaints if not any(part in each for part in self.expected)]

    def open(
        self,
        url: str | None = None,
        *,
        width: int = 1280,
        height: int = 900,
        scheme: Literal["light", "dark"] = "light",
        user_agent: str | None = None,
        scale: float = 1,
    ) -> Page:
        """A page in a browser of its own."""
        context = self._chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            user_agent=user_agent,
            device_scale_factor=scale,
        )
        context.set_default_timeout(WAIT)
        context.route("**/*", self._guard)
        context.on("console", self._listen)
        context.on("weberror", lambda error: self._complaints.append(str(error.error)))
        self._contexts.append(context)
        page = context.new_page()
        if url is not None:
            visit(page, url)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _guard(self, route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            self._complaints.append(f"asked for {route.request.url}")
            route.abort()

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(message.text)


def visit(page: Page, url: str) -> None:
    """Open a page of the shop, and wait until its script is done."""
    page.goto(url)
    ready(page)


def ready(page: Page) -> None:
    page.locator("body.ready").wait_for()


def log_in_at(page: Page, url: str, name: str = "alice", password: str = "wonderland", then: str = "/") -> None:
    """Log in by the form, and wait for the page that comes then."""
    visit(page, f"{url}/login?next={then}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{url}{then}")
    ready(page)


def add(page: Page, product: str) -> None:
    page.get_by_role("button", name=f"Add to cart: {product}").click()


def cart_is(page: Page, counts: dict[str, int]) -> None:
    """Within a moment the cart shows these products, each so many times, and no others."""
    expect(page.locator("#rows .name")).to_have_text([*counts], timeout=WAIT)
    expect(page.locator("#rows .count")).to_have_text([*map(str, counts.values())], timeout=WAIT)


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
