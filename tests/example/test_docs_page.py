"""Swagger UI in a real browser: no internet, a login by "Authorize", a request by "Try it out"."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from .browsers import Browsers, log_in_at, ready
from .shop import Shop, open_shop

pytestmark = pytest.mark.ci


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


def test_authorize_and_try_it_out(shop: Shop, page: Page, browsers: Browsers) -> None:
    """A user logs in by "Authorize", reads the session, logs out, and the same request is a 401."""
    browsers.expected = ["status of 401"]
    page.goto(f"{shop.url}/docs")

    form = _authorize(page, "wonderland")
    form.get_by_role("button", name="Remove authorization").wait_for()
    page.get_by_role("button", name="Close").last.click()

    read = _operation(page, "GET", "/session")
    read.get_by_role("button", name="Try it out").click()
    status, body = _execute(page, read)
    assert (status, json.loads(body)) == ("200", {"name": "alice", "cart": []})

    leave = _operation(page, "DELETE", "/session")
    leave.get_by_role("button", name="Try it out").click()
    status, _ = _execute(page, leave)
    assert status == "204"

    status, body = _execute(page, read)
    assert (status, json.loads(body)) == ("401", {"detail": "Not authenticated"})


def test_swagger_ui_leaves_the_session_of_the_pages_alone(shop: Shop, page: Page) -> None:
    """It is a bearer client: a login there ends no session of the pages, and uses none of them."""
    log_in_at(page, shop.url, "bob", "builder")
    docs = page.context.new_page()
    docs.goto(f"{shop.url}/docs")
    _authorize(docs, "wonderland")
    docs.locator(".auth-container").get_by_role("button", name="Remove authorization").wait_for()
    docs.get_by_role("button", name="Close").last.click()
    read = _operation(docs, "GET", "/session")
    read.get_by_role("button", name="Try it out").click()
    _, body = _execute(docs, read)
    assert json.loads(body)["name"] == "alice"
    page.reload()
    ready(page)
    expect(page.locator("#name")).to_have_text("bob")


def test_a_wrong_password_is_shown(shop: Shop, page: Page, browsers: Browsers) -> None:
    """The dialog tells that the login failed and leaves the user logged out."""
    browsers.expected = ["status of 401"]
    page.goto(f"{shop.url}/docs")
    form = _authorize(page, "wrong")
    form.get_by_text("Unauthorized").wait_for()
    assert form.get_by_role("button", name="Remove authorization").count() == 0


def _authorize(page: Page, password: str) -> Locator:
    """Log in as alice in the dialog of "Authorize"; its form."""
    page.get_by_role("button", name="Authorize").first.click()
    form = page.locator(".auth-container", has_text="session_password")
    form.get_by_label("username").fill("alice")
    form.get_by_label("password").fill(password)
    form.get_by_role("button", name="Apply given OAuth2 credentials").click()
    return form


def _operation(page: Page, method: str, path: str) -> Locator:
    """An endpoint's block, opened."""
    block = page.locator(f".opblock-{method.lower()}", has=page.locator(f'[data-path="{path}"]'))
    block.locator(".opblock-summary-control").click()
    return block


def _execute(page: Page, block: Locator) -> tuple[str, str]:
    """The status and the body that Swagger UI shows for a request."""
    with page.expect_response(lambda response: urlsplit(response.url).path == "/session") as answer:
        block.get_by_role("button", name="Execute").click()
    shown = block.locator(".live-responses-table .response")
    shown.get_by_text(str(answer.value.status), exact=True).wait_for()
    body = shown.locator(".highlight-code pre")
    return shown.locator(".response-col_status").inner_text().split()[0], body.inner_text() if body.count() else ""
