"""`python -m tests.browser.sessions_page`: make the pictures of the page "Your sessions" anew, into docs/images/.

They look best where the font Inter is installed.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx2
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse
from playwright.sync_api import Browser, Page, sync_playwright

from jwtsession import Claims, MemorySessionStore, Session, SessionManager, SessionProvider, Token
from jwtsession.testing import Clock
from tests.conftest import SECRET
from tests.devices import FIREFOX, IPHONE, Forwarded
from tests.example.browsers import launch
from tests.servers import program
from tests.web import serving

FOLDER = Path(__file__).parents[2] / "docs" / "images"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Safari/605.1.15"
IPAD = f"Mozilla/5.0 (iPad; CPU OS 26_0 like Mac OS X) {WEBKIT} Mobile/15E148 Safari/604.1"
PLACES = {"203.0.113.7": "Lisbon, Portugal", "198.51.100.23": "Porto, Portugal", "192.0.2.81": "Kraków, Poland"}
HOUR = 3600
PAGE = "/account/devices"


class Home:
    """An application with the page, and ann's devices.

    Args:
        clock: Its clock.
        client: A client of it.
    """

    def __init__(self, clock: Clock, client: httpx2.Client) -> None:
        self.clock, self.client = clock, client
        self.url = str(client.base_url).rstrip("/")

    def log_in(self, agent: str, address: str, *, hours_ago: float, seen: float, label: str | None = None) -> None:
        """Sign ann in on another device, which was last used some hours ago."""
        now = self.clock.now
        self.clock.now = now - hours_ago * HOUR
        headers = {"User-Agent": agent, "X-Forwarded-For": address, "Session-Transport": "bearer"}
        token = self.client.post("/login", headers=headers).json()["access_token"]
        self.clock.now = now - seen * HOUR
        session = self.client.get("/account/session", headers={"Authorization": f"Bearer {token}"}).json()
        if label is not None:
            path = f"/account/sessions/{session['handle']}"
            self.client.patch(path, json={"label": label}, headers={"Authorization": f"Bearer {token}"})
        self.clock.now = now

    def furnish(self) -> None:
        """Sign ann in on four devices."""
        self.log_in(IPHONE, "198.51.100.23", hours_ago=20 * 24, seen=0.1)
        self.log_in(FIREFOX, "192.0.2.81", hours_ago=30, seen=5)
        self.log_in("okhttp/5.1", "2001:db8:85a3::8a2e:370:7334", hours_ago=50, seen=28)
        self.log_in(IPAD, "203.0.113.7", hours_ago=5 * 24, seen=48, label="Kitchen tablet")

    def open(
        self, browser: Browser, *, width: int = 1000, height: int = 860, dark: bool = False, scale: float = 1
    ) -> Page:
        """The page, in a browser of its own that ann signs in with."""
        context = browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            user_agent=MAC,
            extra_http_headers={"X-Forwarded-For": "203.0.113.7"},
        )
        context.set_default_timeout(15_000)
        page = context.new_page()
        self.clock.now -= 3 * HOUR
        page.goto(f"{self.url}/login")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.url}{PAGE}")
        self.clock.now += 3 * HOUR
        page.goto(f"{self.url}{PAGE}")
        return page


@contextmanager
def home(fresh: int | None = None) -> Iterator[Home]:
    """The application behind a real server."""
    clock = Clock()
    sessions = SessionProvider(
        secret=SECRET,
        store=MemorySessionStore(clock),
        clock=clock,
        user_index=True,
        capture_client=True,
        max_age=30 * 86_400,
        token_sources=["cookie", "bearer"],
        cookie={"secure": False},
    )
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(Forwarded)
    manager_ = Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]

    @app.post("/login")
    async def log_in(manager: manager_) -> Token:
        return await manager.create({}, Claims(sub="ann"))

    @app.get("/login")
    async def show_login() -> HTMLResponse:
        return HTMLResponse(
            '<title>Sign in</title><form method="post" action="/by-form"><button>Sign in</button></form>'
        )

    @app.post("/by-form")
    async def log_in_by_form(manager: manager_) -> RedirectResponse:
        await manager.create({}, Claims(sub="ann"))
        return RedirectResponse(PAGE, 303)

    app.include_router(sessions.router("/account", pages=True, login="/login", locate=PLACES.get, fresh=fresh))
    with serving(app) as client:
        yield Home(clock, client)


def save(page: Page, name: str, *, whole: bool = False) -> None:
    path = FOLDER / f"your-sessions-{name}.png"
    page.screenshot(path=path, full_page=whole)
    if smaller := shutil.which("pngquant"):
        subprocess.run([smaller, "--force", "--ext", ".png", "--speed", "1", "--strip", path], check=True)
    print(f"{path.relative_to(Path.cwd())}: {path.stat().st_size:,} bytes")


def main() -> None:
    """Take the pictures."""
    with home() as ours, sync_playwright() as playwright, launch(playwright, program("chromium")) as chromium:
        ours.furnish()
        page = ours.open(chromium, height=900, scale=1.5)
        save(page, "light")
        page.get_by_role("button", name="Log out").click()
        page = ours.open(chromium, height=900, scale=1.5, dark=True)
        page.get_by_text("Rename Kitchen tablet").click()
        page.get_by_role("textbox").last.fill("Tablet in the kitchen")
        page.get_by_role("button", name="Save").last.click()
        page.get_by_role("status").wait_for()
        save(page, "dark")
        page.get_by_role("button", name="Log out").click()
        save(ours.open(chromium, width=390, height=844, scale=2), "390", whole=True)


if __name__ == "__main__":
    main()
