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

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token

from .users import CUSTOMERS, authenticate

PAGES = Path(__file__).parent / "pages"
CSP = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache"}


class ShopSession(Session):
    """What Redis holds: it changes while somebody shops. A visitor has no name, and may have a cart."""

    name: str = ""
    cart: list[str] = Field(default_factory=list)


class ShopClaims(Claims):
    """What the JWT carries: it is signed once, and stays as it is for as long as the token lives."""

    role: str = "customer"


sessions = SessionProvider(
    ShopSession, ShopClaims, token_sources=("cookie", "bearer"), token_url="token", user_index=True,
    capture_client=True, may_impersonate=lambda admin, sub: sub in CUSTOMERS,  # the endpoint asks who is admin
)  # fmt: skip
CurrentSession = Annotated[ShopSession, Depends(sessions.get_session)]
Manager = Annotated[SessionManager[ShopSession, ShopClaims], Depends(sessions.get_manager)]

app = FastAPI(title="Second Steep", lifespan=sessions.lifespan, docs_url=None, redoc_url=None)
app.include_router(sessions.health_router())  # for a load balancer: GET /healthz
app.mount("/static", StaticFiles(directory=PAGES))
app.mount("/swagger-ui", StaticFiles(packages=[("fastapi_swagger", "resources")]))


async def page(request: Request) -> FileResponse:
    name = request.url.path[1:] or "shop"
    return FileResponse(PAGES / f"{name}.html", headers=HEADERS if name != "docs" else None)


FOR_USERS = {each: [Depends(sessions.redirect_to_login("/login"))] for each in ("/account", "/staff")}
for path in ("/", "/login", "/logged-out", "/docs", *FOR_USERS):
    app.add_api_route(path, page, include_in_schema=False, dependencies=FOR_USERS.get(path))


@app.exception_handler(503)
async def unavailable(request: Request, error: HTTPException) -> Response:
    if request.url.path in FOR_USERS:  # the page says so itself, and tries again
        return FileResponse(PAGES / f"{request.url.path[1:]}.html", 503, {**HEADERS, **(error.headers or {})})
    return JSONResponse({"detail": error.detail}, 503, error.headers)


# What open tabs wait for, in this worker: a user's, or a visitor's. Several workers would tell each other by Redis.
changes: WeakValueDictionary[str, asyncio.Future[None]] = WeakValueDictionary()


def tabs_of(manager: SessionManager[ShopSession, ShopClaims]) -> str:
    return (manager.claims and manager.claims.sub) or manager.id or ""


async def wake_tabs(request: Request, manager: Manager) -> AsyncIterator[None]:
    """After an endpoint that changes something, perhaps who is logged in: the open tabs look again."""
    before = tabs_of(manager)
    yield
    if request.method != "GET" and (change := changes.pop(tabs_of(manager) or before, None)):
        change.set_result(None)


WAKE = [Depends(wake_tabs)]

# Log out, list, end and name the own sessions. And "/devices", a page that needs no script.
mine = sessions.router(include={"log_out", "list", "end_others", "end", "label"}, pages=True, login="/login")
app.include_router(mine, dependencies=WAKE)


def bring_cart(old: ShopSession, new: ShopSession) -> None:
    """A visitor's cart comes along into the user's session, once. Another user's cart does not."""
    new.cart += [] if old.name else old.cart


@app.post("/token", status_code=201, tags=["session"], summary="Log in without a cookie", dependencies=WAKE)
@app.post("/session", status_code=201, tags=["session"], summary="Log in", dependencies=WAKE)
async def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], request: Request, manager: Manager) -> Token:
    """The token goes into a cookie, or at `/token` into the answer: for clients that send it themselves."""
    user = await authenticate(form.username, form.password)
    if user is None:
        raise HTTPException(401, "Wrong name or password", {"WWW-Authenticate": 'Bearer realm="session"'})
    session, claims = ShopSession(name=form.username), ShopClaims(sub=str(user.id), role=user.role)
    without_cookie = request.url.path == "/token"
    return await manager.create(session, claims, transport="bearer" if without_cookie else "cookie", merge=bring_cart)


@app.get("/session", tags=["session"], summary="Read the session")
async def read(session: CurrentSession) -> ShopSession:
    """The session as the server has it, or 401."""
    return session


@app.get("/me", tags=["session"], summary="Who is it?")
async def me(manager: Manager) -> dict[str, Any] | None:
    """What a page asks first: null for a visitor, and for a session that has ended."""
    if manager.session is None or manager.claims is None:
        return None
    about = {"role": manager.claims.role, "admin": manager.claims.acr == "admin", "actor": manager.actor}
    return manager.session.model_dump() | about


@app.put("/session/visitor", tags=["session"], summary="Be a visitor, at least")
async def visit(manager: Manager) -> ShopSession:
    """Begin a session without a user. It costs a key in the store, so a page asks for it when the cart needs one."""
    if manager.session is None:
        await manager.create(ShopSession(), transport="cookie")
    return manager.require()


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
    if not session.name or manager.actor:
        raise HTTPException(403, "Log in to order. Who acts for you can't.")
    total = sum(PRODUCTS[sku].price for sku in session.cart)
    session.cart.clear()
    manager.sync.update()
    return {"message": f"Thank you, {session.name}: that makes {total / 100:.2f}"}


@app.websocket("/cart/live")
async def watch(websocket: WebSocket, _: CurrentSession, manager: Manager) -> None:
    """Send the cart, now and after each change. The socket ends with its session: the page sees 1008."""
    await websocket.accept()
    end, opened = asyncio.ensure_future(websocket.receive()), manager.id  # pages send nothing
    with suppress(WebSocketDisconnect):  # the page went while it was sent something
        while not end.done() and manager.id == opened:  # with a new id, the page asks for its role, and comes back
            change = changes.setdefault(tabs_of(manager), asyncio.Future())  # first, so that no change is missed
            await websocket.send_json((await manager.reload()).cart)
            await asyncio.wait((end, change), return_when=asyncio.FIRST_COMPLETED)


@app.post("/session/admin", tags=["staff"], summary="Become admin", dependencies=WAKE)
async def become_admin(password: Annotated[str, Form()], session: CurrentSession, manager: Manager) -> Token:
    """Ask for the password again and move the session to a new id: whoever has the old token gains nothing."""
    user = await authenticate(session.name, password)
    if user is None or user.role != "staff":
        raise HTTPException(403, "Wrong password, or not of the staff")
    return await manager.step_up(acr="admin", amr=["pwd"])


async def require_admin(_: Annotated[ShopSession, Depends(sessions.require_level("admin"))]) -> None:
    """401 without the level, with a challenge: a page then asks for the password."""


@app.put("/products/{sku}", status_code=204, tags=["staff"], summary="Set a product")
async def change_product(sku: str, product: Product, _: Annotated[None, Depends(require_admin)]) -> None:
    """For admins only."""
    PRODUCTS[sku] = product


def for_staff(sub: str) -> ShopSession | None:
    """What a session holds in which the staff acts for a customer: for an hour, with both names in the log."""
    return ShopSession(name=CUSTOMERS[sub]) if sub in CUSTOMERS else None


app.include_router(sessions.admin_router(require_admin, impersonate=for_staff, tags=["staff"]), dependencies=WAKE)
