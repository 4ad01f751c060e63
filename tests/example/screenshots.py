"""`python -m tests.example.screenshots`: make the README's pictures of the shop anew, into docs/images/.

They look best where the fonts Inter and P052 (or Palatino) are installed.
"""

import shutil
import subprocess
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.servers import program

from .browsers import Browsers, add, cart_is, launch, log_in_at, visit
from .shop import ROOT, open_shop

FOLDER = ROOT / "docs" / "images"
LIMIT_BYTES = 150_000
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Mobile/15E148 Safari/604.1"
CART = {"Darjeeling, first flush": 2, "Stoneware teapot": 1, "Cup and saucer": 1}


def save(page: Page, name: str) -> None:
    """A PNG of what the window shows, with as many colours as it needs."""
    path = FOLDER / f"{name}.png"
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    page.locator("#message").evaluate("(message) => message.textContent = ''")
    page.screenshot(path=path)
    if smaller := shutil.which("pngquant"):
        subprocess.run([smaller, "--force", "--ext", ".png", "--speed", "1", "--strip", path], check=True)
    size = path.stat().st_size
    print(f"{path.relative_to(Path.cwd())}: {size:,} bytes")
    if size > LIMIT_BYTES:
        raise SystemExit(f"more than {LIMIT_BYTES:,} bytes: install pngquant")


def main() -> None:
    """Fill a cart, log in with three browsers, and take the pictures."""
    FOLDER.mkdir(exist_ok=True)
    with open_shop() as shop, sync_playwright() as playwright, launch(playwright, program("chromium")) as chromium:
        browsers = Browsers(chromium)
        page = browsers.open(height=985, scale=1.5, user_agent=CHROME)
        log_in_at(page, shop.url)
        for product, count in CART.items():
            for _ in range(count):
                add(page, product)
        cart_is(page, CART)
        save(page, "shop-light")

        sessions = browsers.open(height=860, scheme="dark", scale=1.5, user_agent=FIREFOX)
        phone = browsers.open(width=390, height=844, scheme="dark", scale=2, user_agent=IPHONE)
        log_in_at(phone, shop.url, then="/account")
        phone.get_by_role("button", name="Rename Safari").click()
        phone.keyboard.type("My phone")
        phone.keyboard.press("Enter")
        expect(phone.get_by_role("heading", name="My phone")).to_be_visible()
        visit(phone, shop.url)
        log_in_at(sessions, shop.url, then="/account")
        expect(sessions.locator("#sessions .session")).to_have_count(3)
        save(sessions, "sessions-dark")

        add(phone, "Matcha from Uji")
        cart_is(phone, {"Matcha from Uji": 1})
        visit(phone, shop.url)
        save(phone, "shop-390")
        browsers.close()


if __name__ == "__main__":
    main()
