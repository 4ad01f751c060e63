"""The shop: what it keeps in a session and in a token, its API, and the live cart. Start it by `make demo`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from weakref import WeakValueDictionary

from fastapi import Depends, FastAPI, Form, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import OAuth2PasswordRequestForm
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, TypeAdapter

from jwtsession import Claims, Session, SessionInfo, SessionManager, SessionProvider, SessionSettings, Token

from .users import authenticate

PAGES = Path(__file__).parent / "pages"
CSP = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache"}


class ShopSession(Session):
    """What Redis holds: it changes while the user shops."""

    user_id: int
    name: str
    cart: list[str] = Field(default_factory=list)


class ShopClaims(Claims):
    """What the JWT carries: it is signed once, and stays as it is for as long as the token lives."""

    role: str = "customer"


settings = SessionSettings(token_sources=("cookie", "bearer"), user_index=True, capture_client=True)
sessions = SessionProvider(ShopSession, ShopClaims, settings=settings, token_url="token")
CurrentSession = Annotated[ShopSession, Depends(sessions.get_session)]
Manager = Annotated[SessionManager[ShopSession, ShopClaims], Depends(sessions.get_manager)]
RequiredManager = Annotated[SessionManager[ShopSession, ShopClaims], Depends(sessions.get_required_manager)]

app = FastAPI(title="Second Steep", lifespan=sessions.lifespan, docs_url=None, redoc_url=None)
app.include_router(sessions.health_router())  # for a load balancer: GET /healthz
app.mount("/static", StaticFiles(directory=PAGES))
app.mount("/swagger-ui", StaticFiles(packages=[("fastapi_swagger", "resources")]))


@app.get("/account", include_in_schema=False, dependencies=[Depends(sessions.redirect_to_login("/login"))])
async def page(request: Request) -> FileResponse:
    name = request.url.path[1:] or "shop"
    return FileResponse(PAGES / f"{name}.html", headers=HEADERS if name != "docs" else None)


for path in ("/", "/login", "/logged-out", "/docs"):
    app.add_api_route(path, page, include_in_schema=False)


@app.exception_handler(503)
async def unavailable(request: Request, error: HTTPException) -> Response:
    if request.url.path == "/account":  # the page says so itself, and tries again
        return FileResponse(PAGES / "account.html", 503, {**HEADERS, **(error.headers or {})})
    return JSONResponse({"detail": error.detail}, 503, error.headers)


# What the open tabs of each user wait for, in this worker. Several workers would tell each other by Redis.
changes: WeakValueDictionary[int, asyncio.Future[None]] = WeakValueDictionary()


async def wake_tabs(manager: Manager) -> AsyncIterator[None]:
    """After the endpoint, which may begin or end the session: the user's open tabs look again."""
    before = manager.session
    yield
    if (session := manager.session or before) and (change := changes.pop(session.user_id, None)):
        change.set_result(None)


async def check_password(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> tuple[ShopSession, ShopClaims]:
    """What a new session begins with, or 401."""
    user = await authenticate(form.username, form.password)
    if user is None:
        raise HTTPException(401, "Wrong name or password", {"WWW-Authenticate": 'Bearer realm="session"'})
    return ShopSession(user_id=user.id, name=form.username), ShopClaims(sub=str(user.id), role=user.role)


WAKE = [Depends(wake_tabs)]
Login = Annotated[tuple[ShopSession, ShopClaims], Depends(check_password)]


@app.post("/session", status_code=201, tags=["session"], summary="Log in", dependencies=WAKE)
async def log_in(login: Login, manager: Manager) -> Token:
    """Store a new session, and put its token into a cookie. Requests of other sites are refused: `csrf="strict"`."""
    return await manager.create(*login)


@app.post("/token", status_code=201, tags=["session"], summary="Log in without a cookie", dependencies=WAKE)
async def issue_token(login: Login, manager: Manager) -> Token:
    """For clients that send the token themselves: curl, a phone, Swagger UI."""
    return await manager.create(*login, transport="bearer")


@app.get("/session", tags=["session"], summary="Read the session")
async def read(session: CurrentSession) -> ShopSession:
    """The session as the server has it, or 401."""
    return session


@app.get("/me", tags=["session"], summary="Who is it?")
async def me(manager: Manager) -> dict[str, Any] | None:
    """What a page asks first: null for a visitor, and for a session that has ended."""
    if manager.session is None or manager.claims is None:
        return None
    return manager.session.model_dump() | {"role": manager.claims.role}


@app.delete("/session", status_code=204, tags=["session"], summary="Log out", dependencies=WAKE)
async def log_out(manager: RequiredManager) -> None:
    """End the session: from now on its token is worth nothing, everywhere."""
    await manager.destroy()


@app.get("/sessions", tags=["sessions"], summary="List the user's sessions")
async def list_sessions(session: CurrentSession, manager: Manager) -> list[SessionInfo]:
    """Where the user is logged in, and since when."""
    return await sessions.list_sessions(str(session.user_id), current_id=manager.id)


@app.delete("/sessions/{handle}", status_code=204, tags=["sessions"], summary="End a session", dependencies=WAKE)
async def end_session(handle: str, session: CurrentSession) -> None:
    """The client chose the handle: it is looked for among the sessions of this user alone."""
    if not await sessions.revoke_handle(handle, sub=str(session.user_id)):
        raise HTTPException(404, "No such session")


@app.delete("/sessions", status_code=204, tags=["sessions"], summary="Log out everywhere", dependencies=WAKE)
async def log_out_everywhere(_: CurrentSession, manager: Manager) -> None:
    """The session of this request ends last, so that the user can try again after an outage halfway."""
    await manager.destroy_others()
    await manager.destroy()


class Product(BaseModel):
    """Something to buy."""

    name: str
    note: str = ""
    price: int = Field(ge=0, description="In cents")


PRODUCTS = TypeAdapter(dict[str, Product]).validate_json(PAGES.with_name("products.json").read_bytes())


@app.get("/products", tags=["shop"], summary="List the products")
async def list_products() -> dict[str, Product]:
    """For everybody: it asks for no session, and costs no look into the store."""
    return PRODUCTS


@app.post("/cart/{sku}", tags=["shop"], summary="Put into the cart", dependencies=WAKE, responses={404: {}})
async def add(sku: str, session: CurrentSession, manager: Manager) -> ShopSession:
    """Change the session in place and store it: 409 where another request changed it since this one loaded it."""
    if sku not in PRODUCTS:
        raise HTTPException(404, "No such product")
    session.cart.append(sku)
    return await manager.update()


@app.delete("/cart/{sku}", tags=["shop"], summary="Take out of the cart", dependencies=WAKE)
async def remove(sku: str, _: CurrentSession, manager: Manager) -> ShopSession:
    """Change the freshest state, again until nobody else was faster: two clicks at once both count."""

    def change(session: ShopSession) -> None:
        if sku not in session.cart:
            raise HTTPException(404, "Not in the cart")
        session.cart.remove(sku)

    return await manager.mutate(change)


@app.post("/order", tags=["shop"], summary="Order what is in the cart", dependencies=WAKE)
def order(session: CurrentSession, manager: Manager) -> dict[str, str]:
    """A `def` endpoint, for libraries that block: FastAPI runs it in a thread, where `manager.sync` has the verbs."""
    total = sum(PRODUCTS[sku].price for sku in session.cart)
    session.cart.clear()
    manager.sync.update()
    return {"message": f"Thank you, {session.name}: that makes {total / 100:.2f}"}


@app.websocket("/cart/live")
async def watch(websocket: WebSocket, session: CurrentSession, manager: Manager) -> None:
    """Send the cart, now and after each change. The socket ends with its session: the page sees 1008."""
    await websocket.accept()
    end, opened = asyncio.ensure_future(websocket.receive()), manager.id  # pages send nothing
    with suppress(WebSocketDisconnect):  # the page went while it was sent something
        while not end.done() and manager.id == opened:  # with a new id, the page asks for its role, and comes back
            change = changes.setdefault(session.user_id, asyncio.Future())  # first, so that no change is missed
            await websocket.send_json((await manager.reload()).cart)
            await asyncio.wait((end, change), return_when=asyncio.FIRST_COMPLETED)


@app.post("/session/admin", tags=["staff"], summary="Become admin", dependencies=WAKE)
async def become_admin(password: Annotated[str, Form()], session: CurrentSession, manager: Manager) -> Token:
    """Ask for the password again and move the session to a new id: whoever has the old token gains nothing."""
    user = await authenticate(session.name, password)
    if user is None or user.role != "staff":
        raise HTTPException(403, "Wrong password, or not of the staff")
    return await manager.regenerate(claims=ShopClaims(sub=str(user.id), role="admin"))


@app.put("/products/{sku}", tags=["staff"], summary="Set a product", status_code=204)
async def change_product(sku: str, product: Product, _: CurrentSession, manager: Manager) -> None:
    """401 without a session, 403 without the role in the token's claims."""
    if manager.claims is None or manager.claims.role != "admin":
        raise HTTPException(403, "For admins only")
    PRODUCTS[sku] = product
