"""The module of the guide on proof of possession, in Chromium: its key, its proofs, and what a thief has of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response
from playwright.sync_api import Browser, Page, Playwright

from jwtsession import Claims, Session, SessionManager, SessionProvider, SessionSettings, Token
from jwtsession.testing import InspectableStore
from tests.conftest import SECRET
from tests.example.browsers import launch
from tests.servers import free_port, program
from tests.web import serving

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "dpop-browsers.md"
MODULE, USE = re.findall(r"^```js\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


class UserSession(Session):
    cart: list[str] = []


@dataclass
class Site:
    """An API, and a page of the same origin with the guide's module."""

    url: str
    client: httpx2.Client
    seen: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Of each request to the API: the status, and the headers."""


def application(settings: SessionSettings, seen: list[tuple[int, dict[str, str]]]) -> FastAPI:
    sessions = SessionProvider(UserSession, settings=settings, store=InspectableStore())
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]
    session_ = Annotated[UserSession, Depends(sessions.get_session)]

    @app.middleware("http")
    async def record(request: Any, call_next: Any) -> Any:
        answer = await call_next(request)
        if request.url.path == "/session":
            seen.append((answer.status_code, dict(request.headers)))
        return answer

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse("<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>page</title>")

    @app.get("/dpop.js")
    async def module() -> Response:
        return Response(MODULE, media_type="text/javascript")

    @app.post("/session", status_code=201)
    async def log_in(manager: manager_) -> Token:
        return await manager.create(UserSession(), Claims(sub="ann"))

    @app.get("/session")
    async def read(session: session_) -> UserSession:
        return session

    @app.put("/session")
    async def replace(manager: manager_) -> Token:
        return await manager.regenerate()

    @app.delete("/session", status_code=204)
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    return app


@pytest.fixture(
    scope="module", params=[pytest.param(False, id="plain"), pytest.param(True, id="nonce", marks=pytest.mark.ci)]
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Without nonces and with them. A page of localhost is a secure context."""
    port = free_port()
    url = f"http://localhost:{port}"
    settings = SessionSettings(secret=SECRET, public_url=url, dpop={"mode": "required", "nonce": request.param})
    seen: list[tuple[int, dict[str, str]]] = []
    with serving(application(settings, seen), port=port) as client:
        yield Site(url, client, seen)


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    with launch(playwright, program("chromium")) as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser, site: Site) -> Iterator[Page]:
    """A page of a browser that has no key yet."""
    context = chromium.new_context()
    context.set_default_timeout(20_000)
    site.seen.clear()
    page = context.new_page()
    page.goto(site.url)
    yield page
    context.close()


def log_in(page: Page) -> None:
    """Run the guide's login, and the request after it."""
    use = USE.replace("import { keep, send } from", "const { keep, send } = await import(").replace('.js";', '.js");')
    page.evaluate(f"async () => {{ {use} return session; }}")


def send(page: Page, method: str = "GET", keep: bool = False) -> int:
    """Send a request by the guide's module, and return the status."""
    script = """async ([method, keep]) => {
        const module = await import("./dpop.js");
        const answer = await module.send(method, "/session?a=b#c");
        if (keep) await module.keep((await answer.json()).access_token);
        return answer.status;
    }"""
    status: int = page.evaluate(script, [method, keep])
    return status


def test_the_module_is_short() -> None:
    """The guide's module has forty lines at most."""
    assert len(MODULE.splitlines()) <= 40


def test_a_page_logs_in_and_sends_requests(page: Page, site: Site) -> None:
    """The guide's login and the requests after it succeed; after a reload and in a second tab, the key is the same."""
    log_in(page)
    assert send(page) == 200
    page.reload()
    assert send(page) == 200
    other = page.context.new_page()
    other.goto(site.url)
    assert send(other) == 200
    assert send(page, "PUT", keep=True) == 200
    assert send(other) == 200
    assert send(page, "DELETE") == 204
    assert send(other) == 401


def test_a_nonce_costs_one_request(page: Page, site: Site) -> None:
    """If the service asks for a nonce, the first request of a page is sent a second time, and no later one is."""
    log_in(page)
    asks = site.seen[0][0] == 401
    assert [status for status, _ in site.seen] == [401, 201, 200] if asks else [201, 200]
    send(page)
    assert [status for status, _ in site.seen[-2:]] == [200, 200]


def test_a_script_can_not_read_the_key(page: Page) -> None:
    """A foreign script in the page finds the key, and no form of it that it could take away."""
    log_in(page)
    found = page.evaluate("""async () => {
        const database = await new Promise((done) => {
            const opening = indexedDB.open("dpop");
            opening.onsuccess = () => done(opening.result);
        });
        const { privateKey } = await new Promise((done) => {
            const request = database.transaction("kept").objectStore("kept").get("keys");
            request.onsuccess = () => done(request.result);
        });
        const refused = [];
        for (const form of ["jwk", "pkcs8", "raw"])
            await crypto.subtle.exportKey(form, privateKey).catch(() => refused.push(form));
        return { type: privateKey.type, extractable: privateKey.extractable, refused };
    }""")
    assert found == {"type": "private", "extractable": False, "refused": ["jwk", "pkcs8", "raw"]}


def test_who_copies_a_request_has_nothing(page: Page, site: Site) -> None:
    """A token is worth nothing without its key: not as a bearer token, not alone, not with the proof that was used."""
    log_in(page)
    status, headers = site.seen[-1]
    assert status == 200
    token = headers["authorization"].removeprefix("DPoP ")
    for stolen in (
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"DPoP {token}"},
        {"Authorization": f"DPoP {token}", "DPoP": headers["dpop"]},
    ):
        answer = site.client.get("/session", headers=stolen)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("DPoP ")
    assert send(page) == 200


def test_tabs_that_open_together_share_one_key(page: Page, site: Site) -> None:
    """Two tabs that both make a key at first end with the same one: a login in either is good in both."""
    other = page.context.new_page()
    other.goto(site.url)
    start = 'void import("./dpop.js").then((module) => module.send("GET", "/session").then(() => { window.done = 1; }))'
    for tab in (page, other):
        tab.evaluate(start)
    for tab in (page, other):
        tab.wait_for_function("window.done")
    log_in(page)
    assert send(other) == 200
