"""The shop's pages in a real browser: the cart, the sessions, the logouts, an outage; narrow, wide, light and dark."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests import servers
from tests.conftest import SECRET

from .browsers import WAIT, Browsers, add, cart_is, log_in_at, overflow, ready, visit
from .shop import ROOT, Shop, clean_environment, log_in, open_shop

pytestmark = [pytest.mark.slow, pytest.mark.ci]

PAGES = ROOT / "example_app" / "pages"
NAMES = ("/", "/login", "/account", "/staff", "/logged-out?why=here")
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Mobile/15E148 Safari/604.1"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


def logged_out(page: Page, text: str) -> None:
    """The page has gone to "you have been logged out", which says why."""
    expect(page.get_by_role("heading", name="You have been logged out")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text(text)).to_be_visible()


def test_a_cart_in_two_tabs(shop: Shop, browsers: Browsers) -> None:
    """What one tab does, the other shows at once, in both directions; and the order empties both carts."""
    first = browsers.open()
    log_in_at(first, shop.url)
    second = first.context.new_page()
    visit(second, shop.url)
    expect(second.get_by_text("Nothing in here yet.")).to_be_visible()
    expect(second.get_by_text("Live:")).to_be_visible()
    add(first, "Stoneware teapot")
    cart_is(second, {"Stoneware teapot": 1})
    second.get_by_role("button", name="One more: Stoneware teapot").click()
    add(second, "Rooibos")
    cart_is(first, {"Stoneware teapot": 2, "Rooibos": 1})
    expect(first.locator("#total")).to_have_text("€124.90")
    first.get_by_role("button", name="One less: Rooibos").click()
    cart_is(second, {"Stoneware teapot": 2})
    second.get_by_role("button", name="Order").click()
    expect(second.get_by_role("status")).to_have_text("Thank you, alice: that makes 116.00")
    expect(first.get_by_text("Nothing in here yet.")).to_be_visible()
    second.get_by_role("button", name="Log out").click()
    logged_out(second, "here and for whoever may have copied its token")
    logged_out(first, "was ended elsewhere")


def test_another_browser_has_another_cart(shop: Shop, browsers: Browsers) -> None:
    """The cart belongs to the session, not to the user: a change wakes the other browser, whose cart stays as it is."""
    one, other = browsers.open(), browsers.open()
    log_in_at(one, shop.url)
    log_in_at(other, shop.url)
    add(one, "Rooibos")
    add(other, "Beech scoop")
    cart_is(one, {"Rooibos": 1})
    cart_is(other, {"Beech scoop": 1})


def test_a_reload_and_a_new_tab_keep_the_user_in(shop: Shop, browsers: Browsers) -> None:
    """The cookie is the browser's: no page has to keep anything, and no page can read it."""
    page = browsers.open()
    log_in_at(page, shop.url)
    add(page, "Matcha from Uji")
    cart_is(page, {"Matcha from Uji": 1})
    page.reload()
    ready(page)
    cart_is(page, {"Matcha from Uji": 1})
    tab = page.context.new_page()
    visit(tab, f"{shop.url}/account")
    expect(tab.locator("#name")).to_have_text("alice")
    expect(tab.locator("#cookie")).to_have_text("(empty)")
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("session", True, "Lax")
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert kept == '[{},{},""]'


def test_log_out_everywhere_reaches_every_open_page(shop: Shop, browsers: Browsers) -> None:
    """The sockets of another browser and of another tab close with 1008, and their pages show it within a moment."""
    page, other = browsers.open(), browsers.open()
    closed: list[int] = []
    other.expose_function("sawClose", lambda code: closed.append(code))
    other.add_init_script(
        "const Real = WebSocket; WebSocket = class extends Real { constructor(url) {"
        " super(url); this.addEventListener('close', (event) => sawClose(event.code)); } }"
    )
    log_in_at(page, shop.url, then="/account")
    log_in_at(other, shop.url)
    tab = page.context.new_page()
    visit(tab, shop.url)
    for each in (other, tab):
        expect(each.get_by_text("Live:")).to_be_visible()
    page.get_by_role("button", name="Log out everywhere").click()
    logged_out(page, "All your sessions have ended.")
    logged_out(other, "was ended elsewhere")
    logged_out(tab, "was ended elsewhere")
    assert closed[-1:] == [1008]
    visit(other, shop.url)
    expect(other.get_by_role("banner").get_by_role("link", name="Log in")).to_be_visible()


def test_your_sessions(shop: Shop, browsers: Browsers) -> None:
    """The list has each browser, names it, marks this one, and follows logins; and it ends another one's session."""
    with shop.client() as client:
        client.delete("/sessions", params={"all": True}, headers=log_in(client, "bob", "builder"))
    page = browsers.open()
    log_in_at(page, shop.url, "bob", "builder", then="/account")
    expect(page.get_by_text("Only here.")).to_be_visible()
    phone = browsers.open(user_agent=IPHONE, width=390)
    log_in_at(phone, shop.url, "bob", "builder")
    windows = browsers.open(user_agent=FIREFOX)
    log_in_at(windows, shop.url, "bob", "builder")
    sessions = page.locator("#sessions .session")
    expect(sessions).to_have_count(3, timeout=WAIT)
    expect(sessions.nth(0)).to_contain_text("Chrome on Linux This one")
    expect(sessions.nth(0).get_by_role("button", name="End")).to_have_count(0)
    for name in ("Safari on iPhone", "Firefox on Windows"):
        expect(sessions.filter(has_text=name)).to_contain_text(re.compile(r"From 127\.0\.0\.1, since .*2\d{3}"))
        expect(sessions.filter(has_text=name)).to_contain_text("Last seen just now")
    page.get_by_role("button", name="End the session of Safari on iPhone").click()
    logged_out(phone, "was ended elsewhere")
    expect(sessions).to_have_count(2)
    expect(windows.get_by_text("Live:")).to_be_visible()


def test_a_session_of_somebody_else_can_not_be_ended(shop: Shop) -> None:
    """The id alone is not enough: it must be one of the user's own sessions."""
    with shop.client() as client:
        alice, bob = log_in(client), log_in(client, "bob", "builder")
        ids = {each["handle"] for each in client.get("/sessions", headers=alice).json()}
        assert all(client.delete(f"/sessions/{each}", headers=bob).status_code == 404 for each in ids)
        assert {each["handle"] for each in client.get("/sessions", headers=alice).json()} == ids


def test_sessions_have_names(shop: Shop, browsers: Browsers) -> None:
    """A user names a session by the keyboard; the user's other pages show it; a name that is being typed stays."""
    with shop.client() as client:
        client.delete("/sessions", params={"all": True}, headers=log_in(client, "bob", "builder"))
    page, phone = browsers.open(), browsers.open(user_agent=IPHONE, width=390)
    log_in_at(phone, shop.url, "bob", "builder", then="/account")
    log_in_at(page, shop.url, "bob", "builder", then="/account")
    typed = page.locator(".mine").get_by_label("Your name for it")
    page.locator(".mine").get_by_role("button", name="Rename").click()
    typed.fill("Till")
    phone.get_by_role("button", name="Rename Safari on iPhone").click()
    expect(phone.locator(".mine").get_by_label("Your name for it")).to_be_focused()
    phone.keyboard.type("My <i>phone</i>")
    phone.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="My <i>phone</i>")).to_be_visible(timeout=WAIT)
    expect(typed).to_have_value("Till")
    expect(typed).to_be_focused()
    page.keyboard.press("Escape")
    expect(typed).to_be_hidden()
    expect(phone.get_by_role("button", name="Rename My")).to_be_focused()
    page.get_by_role("link", name="The same list without a script").click()
    expect(page.get_by_role("heading", name="My <i>phone</i>")).to_be_visible()
    page.go_back()
    ready(page)
    page.get_by_role("button", name="End the others").click()
    logged_out(phone, "was ended elsewhere")
    expect(page.get_by_text("Only here.")).to_be_visible()


def test_a_visitor_has_a_cart_and_takes_it_along(shop: Shop, browsers: Browsers) -> None:
    """It is live in each tab of the browser, costs nothing before the first click, and is there after the login."""
    page = browsers.open(shop.url)
    tab = page.context.new_page()
    visit(tab, shop.url)
    assert page.context.cookies() == []
    add(page, "Rooibos")
    cart_is(tab, {"Rooibos": 1})
    add(tab, "Cup and saucer")
    cart_is(page, {"Rooibos": 1, "Cup and saucer": 1})
    expect(page.get_by_role("button", name="Order")).to_have_count(0)
    page.get_by_role("link", name="Log in to order").click()
    page.wait_for_url(f"{shop.url}/login")
    ready(page)
    page.get_by_role("button", name="alice").click()
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{shop.url}/")
    for each in (page, tab):
        expect(each.locator("#name")).to_have_text("alice", timeout=WAIT)
        cart_is(each, {"Rooibos": 1, "Cup and saucer": 1})


def test_an_admin_acts_for_a_customer_who_sees_it(shop: Shop, browsers: Browsers) -> None:
    """The admin finds and ends sessions, acts under a banner, may not order, and comes back by a login."""
    browsers.expected = ["status of 403"]
    with shop.client() as client:
        client.delete("/sessions", params={"all": True}, headers=log_in(client))
    customer, phone = browsers.open(), browsers.open(user_agent=IPHONE, width=390)
    log_in_at(phone, shop.url)
    log_in_at(customer, shop.url, then="/account")
    page = browsers.open(user_agent=FIREFOX)
    log_in_at(page, shop.url, "bob", "builder", then="/staff")
    tab = page.context.new_page()
    visit(tab, shop.url)
    page.get_by_label("Password").fill("builder")
    page.get_by_role("button", name="Become admin").click()
    page.get_by_role("button", name="Show sessions").click()
    expect(page.locator("#sessions .session")).to_have_count(2)
    page.get_by_role("button", name="End the session of Safari on iPhone").click()
    logged_out(phone, "was ended elsewhere")
    expect(page.locator("#sessions .session")).to_have_count(1)
    page.get_by_role("button", name="Act for this customer").click()
    for each in (page, tab):
        expect(each.get_by_text("You act for alice")).to_be_visible(timeout=WAIT)
    acted = customer.locator("#sessions .acted")
    expect(acted).to_contain_text("Firefox on Windows", timeout=WAIT)
    expect(acted.get_by_text("Our staff acts for you")).to_be_visible()
    add(page, "Rooibos")
    cart_is(page, {"Rooibos": 1})
    page.get_by_role("button", name="Order").click()
    expect(page.get_by_role("status")).to_contain_text("Who acts for you can't")
    page.get_by_role("button", name="Stop").click()
    logged_out(page, "You act for nobody any more")
    page.get_by_role("link", name="Log in again").click()
    page.wait_for_url(f"{shop.url}/login?next=/staff")
    expect(acted).to_have_count(0, timeout=WAIT)
    expect(customer.locator("#sessions .session")).to_have_count(1)


def test_a_page_for_users_sends_a_visitor_to_the_login_and_back(shop: Shop, browsers: Browsers) -> None:
    """The server redirects; the login returns to the page; a `next` of another site leads home."""
    page = browsers.open(f"{shop.url}/account")
    assert page.url == f"{shop.url}/login?next=/account"
    page.get_by_role("button", name="alice").click()
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{shop.url}/account")
    for elsewhere in ("https://example.com/", "//example.com/", "javascript:alert(1)", "http://["):
        visit(page, f"{shop.url}/login?next={elsewhere}")
        page.get_by_role("button", name="alice").click()
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{shop.url}/")
        ready(page)


def test_a_wrong_password_is_told_beside_the_form(shop: Shop, browsers: Browsers) -> None:
    """The page stays, the name stays, and the password is marked for the next try."""
    browsers.expected = ["status of 401"]
    page = browsers.open(f"{shop.url}/login")
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill("guess")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert").filter(has_text="do not belong together")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("alice")
    expect(page.get_by_label("Password")).to_be_focused()


def test_step_up(shop: Shop, browsers: Browsers) -> None:
    """Staff become admin by the password: the cookie changes, every tab goes on, and prices can be changed."""
    browsers.expected = ["status of 403"]
    page = browsers.open()
    log_in_at(page, shop.url, "bob", "builder")
    tab = page.context.new_page()
    visit(tab, f"{shop.url}/staff")
    (before,) = page.context.cookies()
    tab.get_by_label("Password").fill("wrong")
    tab.get_by_role("button", name="Become admin").click()
    expect(tab.get_by_role("status")).to_contain_text("Wrong password")
    tab.get_by_label("Password").fill("builder")
    tab.get_by_role("button", name="Become admin").click()
    expect(tab.get_by_text("You are admin until you log out.")).to_be_visible()
    (after,) = page.context.cookies()
    assert after["value"] != before["value"]
    answer = httpx2.get(f"{shop.url}/session", headers={"Cookie": f"session={before['value']}"})
    assert answer.status_code == 401
    price = page.get_by_label("New price of Cup and saucer")  # the first tab goes on with the new cookie, and knows
    expect(price).to_be_visible(timeout=WAIT)
    add(page, "Cup and saucer")
    cart_is(page, {"Cup and saucer": 1})
    price.fill("21.50")
    page.get_by_role("button", name="Save").nth(4).click()
    expect(page.get_by_role("status")).to_contain_text("costs €21.50 now")
    expect(page.locator("#total")).to_have_text("€21.50")
    visit(tab, shop.url)
    expect(tab.locator("#total")).to_have_text("€21.50")


def test_a_tab_follows_who_logs_in_by_another(shop: Shop, browsers: Browsers) -> None:
    """A tab never shows one user's name beside another user's session, and a visitor's tab looks when it is shown."""
    page = browsers.open(shop.url)
    tab = page.context.new_page()
    log_in_at(tab, shop.url)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#name")).to_have_text("alice", timeout=WAIT)
    expect(page.get_by_text("Live:")).to_be_visible(timeout=WAIT)
    log_in_at(tab, shop.url, "bob", "builder")
    expect(page.locator("#name")).to_have_text("bob", timeout=WAIT)


@pytest.mark.parametrize("early", [False, True], ids=["the cookie comes late", "the page comes late"])
def test_a_tab_whose_session_a_login_replaced_finds_the_new_one(shop: Shop, browsers: Browsers, early: bool) -> None:
    """The old session ends before the browser has the new cookie: the page that says so goes back by itself."""
    page = browsers.open()
    log_in_at(page, shop.url)
    tab = page.context.new_page()
    if early:
        log_in_at(tab, shop.url, "bob", "builder")
        page.goto(f"{shop.url}/logged-out?why=ended&next=/account")
    else:
        page.context.clear_cookies()
        visit(page, f"{shop.url}/logged-out?why=ended&next=/account")
        logged_out(page, "was ended elsewhere")
        log_in_at(tab, shop.url, "bob", "builder")
    page.wait_for_url(f"{shop.url}/account")
    expect(page.locator("#name")).to_have_text("bob")


def test_a_customer_sees_no_door_for_staff(shop: Shop, browsers: Browsers) -> None:
    """Neither the staff's page, nor the form of the step-up, nor the fields for prices."""
    page = browsers.open()
    log_in_at(page, shop.url, then="/account")
    expect(page.get_by_role("link", name="Staff")).to_have_count(0)
    visit(page, f"{shop.url}/staff")
    expect(page.get_by_text("This page is for the staff")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)
    visit(page, shop.url)
    expect(page.get_by_label("New price of Cup and saucer")).to_be_hidden()


@pytest.mark.ci
def test_an_outage_is_told_and_nobody_is_logged_out(
    tmp_path_factory: pytest.TempPathFactory, browsers: Browsers
) -> None:
    """Each page says so, tries again when the answer said, and goes on: the same user, the same cart."""
    browsers.expected = ["status of 503", "WebSocket"]
    server = servers.valkey(tmp_path_factory.mktemp("store")).start()
    with open_shop(JWTSESSION_REDIS_URL=server.url) as shop:
        page = browsers.open()
        log_in_at(page, shop.url)
        add(page, "Rooibos")
        cart_is(page, {"Rooibos": 1})
        account = page.context.new_page()
        visit(account, f"{shop.url}/account")
        server.freeze()
        try:
            add(page, "Rooibos")
            expect(page.get_by_role("alert")).to_contain_text("Nobody is logged out.", timeout=WAIT)
            account.goto(f"{shop.url}/account")
            expect(account.get_by_role("alert")).to_contain_text("Next try", timeout=WAIT)
        finally:
            server.thaw()
        for each in (page, account):
            expect(each.get_by_role("alert")).to_be_hidden(timeout=WAIT)
            expect(each.locator("#name")).to_have_text("alice", timeout=WAIT)
        ready(page)
        assert page.url == f"{shop.url}/"
        expect(page.get_by_role("status")).to_contain_text("your last click may not have counted")
        expect(page.locator("#rows .name")).to_have_text(["Rooibos"])
        account.close()
    server.kill()


def test_the_cart_by_keyboard(shop: Shop, browsers: Browsers) -> None:
    """Every control has a name and can be reached; the focus stays where it was when the cart changes."""
    page = browsers.open()
    log_in_at(page, shop.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.get_by_role("button", name="Add to cart: Rooibos").focus()
    page.keyboard.press("Enter")
    cart_is(page, {"Rooibos": 1})
    more = page.get_by_role("button", name="One more: Rooibos")
    more.focus()
    page.keyboard.press("Enter")
    cart_is(page, {"Rooibos": 2})
    expect(more).to_be_focused()
    less = page.get_by_role("button", name="One less: Rooibos")
    for count in (1, 0):
        less.focus()
        page.keyboard.press("Space")
        cart_is(page, {"Rooibos": count} if count else {})
    expect(page.get_by_role("heading", name="Your cart")).to_be_focused()


CONTRASTS = Path(__file__).with_name("contrasts.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_is_legible_and_fits(
    shop: Shop, browsers: Browsers, width: int, scheme: Literal["light", "dark"]
) -> None:
    """No page scrolls sideways, not at 320 pixels either, and each text has the contrast of WCAG 2.2 AA."""
    page = browsers.open(width=width, height=844, scheme=scheme)
    for visitor in (True, False):
        if not visitor:
            log_in_at(page, shop.url, "bob", "builder")
            add(page, "Darjeeling, first flush")
            cart_is(page, {"Darjeeling, first flush": 1})
        for name in NAMES:
            visit(page, f"{shop.url}{name}")
            assert page.evaluate(CONTRASTS) == [], name
            assert overflow(page) == 0, name
            if width == 390:
                page.set_viewport_size({"width": 320, "height": 640})
                assert overflow(page) == 0, name
                page.set_viewport_size({"width": width, "height": 844})


def test_the_policy_of_the_pages(shop: Shop) -> None:
    """Scripts and styles come from the shop's own files only, and no other site may frame a page."""
    with shop.client() as client:
        user = log_in(client)
        for name in NAMES:
            answer = client.get(name, headers=user)
            assert answer.status_code == 200
            policy = answer.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
    for file in PAGES.rglob("*.*"):
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file
        if file.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", text), file


def test_the_guide_shows_the_module_that_the_pages_use() -> None:
    """`send.js` stands in the guide for browsers as it is."""
    guide = (ROOT / "docs" / "guides" / "page-scripts.md").read_text(encoding="utf-8")
    assert f"```js\n{(PAGES / 'send.js').read_text(encoding='utf-8')}```\n" in guide


def test_another_sites_request_is_refused(shop: Shop) -> None:
    """With the cookie alone a write needs to come from the shop's own pages."""
    with shop.client() as client:
        login = client.post("/session", data={"username": "alice", "password": "wonderland"})
        assert set(login.json()) == {"token_type", "expires_in"}
        assert client.post("/cart/tea", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
        refused = client.post("/cart/tea", headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://example.com"})
        assert (refused.status_code, refused.json()) == (403, {"detail": "Cross-site request refused"})
        assert client.get("/session").json()["cart"] == ["tea"]


def test_the_server_code_can_be_read_in_one_go() -> None:
    """All modules that make the application have fewer than 250 lines."""
    code = (
        "import sys, example_app.app; print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('example_')))"
    )
    environment = clean_environment() | {"JWTSESSION_SECRET": SECRET}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    files = [Path(file) for file in done.stdout.split()]
    assert ROOT / "example_app" / "app.py" in files
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) < 250
