"""The example application, on its embedded server and on a given one, once for all tests that only talk to it.

And browsers that look at its pages.
"""

from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.servers import Server, program

from .browsers import Browsers, launch
from .shop import Shop, open_shop


@pytest.fixture(scope="package", params=["embedded", "valkey"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    environment = {}
    if request.param == "valkey":
        server: Server = request.getfixturevalue("valkey_server")
        environment["JWTSESSION_REDIS_URL"] = server.url
    with open_shop(**environment) as shop:
        yield shop


@pytest.fixture
def client(shop: Shop) -> Iterator[httpx2.Client]:
    with shop.client() as client:
        yield client


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium. For a module with asynchronous tests it would be in the way: it runs an event loop."""
    with sync_playwright() as playwright, launch(playwright, program("chromium")) as browser:
        yield browser


@pytest.fixture
def browsers(chromium: Browser) -> Iterator[Browsers]:
    """Opens browsers of their own, each with its cookies. At the end no page may have complained."""
    browsers = Browsers(chromium)
    yield browsers
    browsers.close()
    assert browsers.complaints == []


@pytest.fixture
def page(browsers: Browsers) -> Page:
    """A page of a browser that reaches the loopback interface alone."""
    return browsers.open(width=1200, height=1000)
