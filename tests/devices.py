"""An application with the ready-made routers, and the devices of its users."""

import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
import jwt
from fastapi import Depends, FastAPI, HTTPException

from jwtsession import Claims, Session, SessionInfo, SessionManager, SessionProvider, StoreUnavailableError, Token
from jwtsession.testing import AsyncSessionTester, Clock, InspectableStore
from tests.conftest import SECRET
from tests.web import InProcess, in_process

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Mobile/15E148 Safari/604.1"
OWN = {"Sec-Fetch-Site": "same-origin"}
"""What a browser says if the application's own page makes the request."""
COOKIE = re.compile(r"([^=]+=[^;]+);")


class BreakableStore(InspectableStore):
    """A store that a test can let fail."""

    down = False

    async def load(self, *arguments: Any, **options: Any) -> bytes | None:
        if self.down:
            raise StoreUnavailableError
        return await super().load(*arguments, **options)


class Forwarded:
    """A middleware that takes the client's address from a header, as servers behind a proxy do."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if address := dict(scope.get("headers", ())).get(b"x-forwarded-for"):
            scope = {**scope, "client": (address.decode(), 1)}
        await self.app(scope, receive, send)


@dataclass(eq=False)
class Device:
    """A device that is signed in."""

    headers: dict[str, str]
    """What it sends to prove that."""
    id: str
    handle: str
    token: str

    def fetch(self, site: str) -> dict[str, str]:
        """Its headers for a request that a page of this site makes."""
        return self.headers | {"Sec-Fetch-Site": site}


class Devices:
    """One provider with the routers. The users are ann, bob, and root, who is the administrator.

    Args:
        router: Arguments of `router`.
        admin: Arguments of `admin_router`; None for no such router.
        options: Settings.
    """

    client: InProcess

    def __init__(
        self, router: dict[str, Any] | None = None, admin: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.clock = Clock()
        self.store = BreakableStore(self.clock)
        options = {"user_index": True, "token_sources": ["cookie", "bearer"], "touch_interval": 0} | options
        sessions = self.sessions = SessionProvider(secret=SECRET, store=self.store, clock=self.clock, **options)
        app = self.app = FastAPI(lifespan=sessions.lifespan)
        app.add_middleware(Forwarded)
        manager_ = Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]

        @app.post("/login/{sub}")
        async def log_in(sub: str, manager: manager_, scope: str | None = None) -> Token:
            claims = Claims(scope=scope) if sub == "visitor" else Claims(sub=sub, scope=scope)
            return await manager.create({"secret of": sub}, claims)

        @app.post("/regenerate")
        async def regenerate(manager: manager_) -> Token:
            return await manager.regenerate()

        @app.get("/me")
        async def read_id(manager: manager_) -> dict[str, Any]:
            manager.require()
            return {"id": manager.id, "sub": manager.claims and manager.claims.sub}

        def require_admin(manager: Annotated[Any, Depends(sessions.get_required_manager)]) -> None:
            manager.require()
            if manager.claims.sub != "root":
                raise HTTPException(403, "Administrators only")

        self.require_admin = require_admin
        app.include_router(sessions.router(**({"prefix": "/account"} | (router or {}))))
        if admin is not None:
            app.include_router(sessions.admin_router(**({"guard": Depends(require_admin), "prefix": "/admin"} | admin)))

    def begin_again(self) -> None:
        """Forget all sessions, and set the clock back."""
        self.clock.now = Clock().now
        vars(self.store).update(vars(BreakableStore(self.clock)), down=False)

    def log_in(self, sub: str, *, by: str = "bearer", agent: str = FIREFOX, address: str = "", **query: str) -> Device:
        """Sign a user in on a new device, whose token is in the cookie or in a header."""
        headers = OWN | {"User-Agent": agent, "Session-Transport": by, "X-Forwarded-For": address}
        return self.device(self.client.post(f"/login/{sub}", params=query, headers=headers))

    def device(self, answer: httpx2.Response) -> Device:
        """The device that got this answer to its login."""
        assert answer.is_success, answer.text
        self.client.cookies.clear()
        if found := COOKIE.search(answer.headers.get("set-cookie", "")):
            headers, token = {"Cookie": found[1]}, found[1].partition("=")[2]
        else:
            token = answer.json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
        session_id = jwt.decode(token, options={"verify_signature": False})["jti"]
        return Device(headers, session_id, SessionInfo(session_id, 0, 0, 0).handle, token)

    def log_in_often(self, sub: str, times: int) -> None:
        """Sign a user in on so many devices more, by one request."""

        @self.app.post("/logins")
        async def log_in() -> None:
            tester = AsyncSessionTester(self.sessions)
            for _ in range(times):
                await tester.login({"secret of": sub}, Claims(sub=sub))

        assert self.client.post("/logins").is_success

    def lives(self, device: Device) -> bool:
        """Whether the device's session has not ended."""
        return device.id in self.store.contents

    def ask(self, method: str, path: str, device: Device | None = None, **options: Any) -> httpx2.Response:
        """Make a request of the application's own page from this device, and follow no redirect."""
        headers = OWN | ({} if device is None else device.headers) | options.pop("headers", {})
        answer = self.client.request(method, path, headers=headers, follow_redirects=False, **options)
        self.client.cookies.clear()
        return answer

    def listed(self, device: Device) -> list[dict[str, Any]]:
        """The sessions that the device sees."""
        answer = self.ask("GET", "/account/sessions", device)
        assert answer.status_code == 200, answer.text
        listed: list[dict[str, Any]] = answer.json()
        return listed


@contextmanager
def serving_devices(
    router: dict[str, Any] | None = None, admin: dict[str, Any] | None = None, **options: Any
) -> Iterator[Devices]:
    """The application, running in this process for the length of a `with`."""
    devices = Devices(router, admin, **options)
    with in_process(devices.app) as devices.client:
        yield devices


@functools.cache
def _made(router: str, admin: str, options: str) -> Devices:
    return Devices(json.loads(router), json.loads(admin), **json.loads(options))


@contextmanager
def serving_devices_again(
    router: dict[str, Any] | None = None, admin: dict[str, Any] | None = None, **options: Any
) -> Iterator[Devices]:
    """As above, but an application of the same arguments is made once for all tests, which takes most of the time.

    It starts anew for each test, with an empty store, at the same time of the clock. The arguments are what JSON can
    hold. Who adds routes to it adds them for the tests that follow, too.
    """
    devices = _made(*map(json.dumps, (router, admin, options)))
    devices.begin_again()
    with in_process(devices.app) as devices.client:
        yield devices
