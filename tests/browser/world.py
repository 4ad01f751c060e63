"""A shop whose sessions are in cookies, and a server of other people's pages, for a real browser."""

import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import Depends, FastAPI, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from starlette.applications import Starlette
from starlette.routing import Route

from jwtsession import Claims, Session, SessionManager, SessionProvider, SessionSettings, Ticket, Token
from jwtsession.testing import InspectableStore
from tests.conftest import SECRET
from tests.web import serving

PAGE = "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>page</title>"
PIXEL = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'

WORLDS = [
    pytest.param(("https", "lax"), id="https-lax"),
    pytest.param(("http", "lax"), id="http-lax", marks=pytest.mark.ci),
]
"""Where the cookie of the page is a first-party cookie: with TLS and without."""


class UserSession(Session):
    user: str
    cart: list[str] = []


@dataclass
class Seen:
    """A request as the shop saw it."""

    method: str
    path: str
    has_cookie: bool
    origin: str | None
    site: str | None
    status: int = 0


class Recorder:
    """ASGI middleware that keeps what each request said and what it got; 101 is an open WebSocket."""

    def __init__(self, app: Any, cookie: str) -> None:
        self.app = app
        self.cookie = f"{cookie}="
        self.seen: list[Seen] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        has_cookie = self.cookie in headers.get("cookie", "")
        said = headers.get("origin"), headers.get("sec-fetch-site")
        seen = Seen(scope.get("method", "WEBSOCKET"), scope["path"], has_cookie, *said)
        self.seen.append(seen)

        async def watch(message: Any) -> None:
            if message["type"].endswith("http.response.start"):
                seen.status = message["status"]
            elif message["type"] == "websocket.accept":
                seen.status = 101
            await send(message)

        await self.app(scope, receive, watch)
        return None


def shop(
    settings: SessionSettings, store: InspectableStore, trusted: str, clock: Callable[[], float] = time.time
) -> FastAPI:
    """The shop. Another origin may use it with the cookie: that of its own front end."""
    sessions = SessionProvider(UserSession, settings=settings, store=store, clock=clock)
    app = FastAPI(lifespan=sessions.lifespan)
    app.add_middleware(
        CORSMiddleware, allow_origins=[trusted], allow_credentials=True, allow_methods=["*"], allow_headers=["*"]
    )
    manager_ = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]
    session_ = Annotated[UserSession, Depends(sessions.get_session)]

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE)

    @app.post("/login")
    async def log_in(manager: manager_, user: str = "ann") -> Token:
        return await manager.create(UserSession(user=user), Claims(sub=user))

    @app.get("/session")
    async def read(session: session_) -> UserSession:
        return session

    @app.delete("/session")
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    @app.post("/cart")
    async def add(session: session_, manager: manager_, item: str = "book") -> UserSession:
        session.cart.append(item)
        return await manager.update()

    @app.post("/ticket")
    async def ticket(manager: manager_) -> Ticket:
        return await manager.ticket()

    @app.get("/picture")
    async def picture(session: session_) -> Response:
        return Response(PIXEL, media_type="image/svg+xml")

    @app.get("/events")
    async def events(session: session_) -> StreamingResponse:
        async def stream() -> AsyncIterator[str]:
            yield f"data: {session.user}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    @app.websocket("/socket")
    async def socket(socket: WebSocket, session: session_, manager: manager_) -> None:
        await socket.accept()
        session.cart.append(await socket.receive_text())
        await manager.update()
        await socket.send_text(session.user)
        await socket.close()

    return app


class World:
    """The shop, other people's pages, and their addresses."""

    def __init__(self, scheme: str, same_site: Any, store: InspectableStore) -> None:
        self.scheme, self.same_site, self.store = scheme, same_site, store
        self.port = self.other_port = 0
        self.recorder: Recorder

    @property
    def url(self) -> str:
        """The shop's origin."""
        return f"{self.scheme}://shop.test:{self.port}"

    def origin(self, relation: str) -> str:
        """The origin of another page: of the same site by its host or its port, or of another site."""
        host = {"sibling port": "shop.test", "sibling host": "blog.shop.test", "other site": "evil.test"}
        return f"{self.scheme}://{host.get(relation, relation)}:{self.other_port}"

    def stored(self) -> dict[str, bytes]:
        """What the store holds."""
        return {session: each.value for session, each in self.store.contents.items()}


@contextlib.contextmanager
def open_world(
    scheme: str, same_site: Any, folder: Path, clock: Callable[[], float] = time.time, **others: Any
) -> Iterator[World]:
    """Both servers, over TLS with a certificate that nobody trusts, or without; `others` are more settings."""
    options = dict(zip(("ssl_certfile", "ssl_keyfile"), certificate(folder), strict=True)) if scheme == "https" else {}
    world = World(scheme, same_site, InspectableStore(clock))

    async def blank(request: Any) -> Response:
        return HTMLResponse(PAGE)

    with serving(Starlette(routes=[Route("/", blank)]), **options) as other:
        world.other_port = other.base_url.port or 0
        trusted = world.origin("front.test")
        settings = SessionSettings(
            secret=SECRET,
            token_sources=("cookie", "bearer"),
            cookie={"secure": scheme == "https", "same_site": same_site},
            trusted_origins=[trusted],
            **others,
        )
        world.recorder = Recorder(shop(settings, world.store, trusted, clock), settings.cookie_name)
        with serving(world.recorder, **options) as own:
            world.port = own.base_url.port or 0
            yield world


def certificate(folder: Path) -> tuple[str, str]:
    """The files of a certificate and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop.test"), x509.DNSName("*.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(files[0]), str(files[1])
