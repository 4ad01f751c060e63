"""The shop: what it keeps in a session and in a token, and its endpoints.

All settings come from the environment: `python -m example_app` fills in `JWTSESSION_SECRET` and
`JWTSESSION_REDIS_URL` where they are missing, `uvicorn example_app.app:app` wants the first of them.
"""

from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Form, HTTPException, WebSocket, status
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import BaseModel, Field

from jwtsession import AuthenticationError, Claims, Session, SessionManager, SessionProvider, SessionSettings, Token

from .docs import serve_docs
from .users import authenticate


class ShopSession(Session):
    """What Redis holds: it changes while the user shops."""

    user_id: int
    name: str
    cart: list[str] = Field(default_factory=list)


class ShopClaims(Claims):
    """What the JWT carries: it is signed once, and stays as it is for as long as the token lives."""

    role: Literal["customer", "admin"] = "customer"


sessions = SessionProvider(ShopSession, ShopClaims, settings=SessionSettings(), token_url="session")
CurrentSession = Annotated[ShopSession, Depends(sessions.get_session)]
OptionalSession = Annotated[ShopSession | None, Depends(sessions.get_optional_session)]
Manager = Annotated[SessionManager[ShopSession, ShopClaims], Depends(sessions.get_manager)]
RequiredManager = Annotated[SessionManager[ShopSession, ShopClaims], Depends(sessions.get_required_manager)]

app = FastAPI(
    title="A shop",
    description="The example application of jwtsession. Press *Authorize* and log in as alice or bob.",
    lifespan=sessions.lifespan,
    docs_url=None,
    redoc_url=None,
)
serve_docs(app)


@app.post("/session", status_code=201, tags=["session"], summary="Log in")
async def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], manager: Manager) -> Token:
    """Store a new session and return its token."""
    user = await authenticate(form.username, form.password)
    if user is None:
        raise HTTPException(401, "Wrong name or password", {"WWW-Authenticate": 'Bearer realm="session"'})
    return await manager.create(ShopSession(user_id=user.id, name=user.name), ShopClaims(sub=str(user.id)))


@app.get("/session", tags=["session"], summary="Read the session")
async def read(session: CurrentSession) -> ShopSession:
    """The session as the server has it."""
    return session


@app.post("/session/reload", tags=["session"], summary="Read the session again")
async def reload(_: CurrentSession, manager: Manager) -> ShopSession:
    """What is stored now: of use in a long request, to see what others have changed meanwhile."""
    return await manager.reload()


@app.post("/session/touch", status_code=204, tags=["session"], summary="Keep the session alive")
async def touch(_: CurrentSession, manager: Manager) -> None:
    """Start the idle timeout again."""
    await manager.touch()


@app.delete("/session", status_code=204, tags=["session"], summary="Log out")
async def log_out(manager: RequiredManager) -> None:
    """End the session: from now on its token is worth nothing, everywhere."""
    await manager.destroy()


class Product(BaseModel):
    """Something to buy."""

    name: str
    price: int = Field(ge=0, description="In cents")


class Message(BaseModel):
    """A word to the user."""

    message: str


PRODUCTS = {
    "tea": Product(name="Tea, 100 g", price=690),
    "pot": Product(name="Teapot", price=2_450),
    "cup": Product(name="Cup", price=900),
}


async def find_product(sku: str) -> Product:
    """The product of the path, or 404."""
    if sku not in PRODUCTS:
        raise HTTPException(404, "No such product")
    return PRODUCTS[sku]


KnownProduct = Annotated[Product, Depends(find_product)]


@app.get("/", tags=["shop"], summary="Home page")
async def home(session: OptionalSession) -> Message:
    """For users and visitors."""
    return Message(message="Welcome, visitor" if session is None else f"Welcome back, {session.name}")


@app.get("/products", tags=["shop"], summary="List the products")
async def list_products() -> dict[str, Product]:
    """For everybody: it asks for no session, and costs no look into the store."""
    return PRODUCTS


@app.post("/cart/{sku}", tags=["shop"], summary="Put a product into the cart", responses={404: {}})
async def add(sku: str, _: KnownProduct, session: CurrentSession, manager: Manager) -> ShopSession:
    """Change the session in place and store it: 409 where another request changed it since this one loaded it."""
    session.cart.append(sku)
    return await manager.update()


@app.delete("/cart/{sku}", tags=["shop"], summary="Take a product out of the cart", responses={404: {}})
async def remove(sku: str, _: CurrentSession, manager: Manager) -> ShopSession:
    """Change the freshest state, again until nobody else was faster: two clicks at once both count."""

    def change(session: ShopSession) -> None:
        if sku not in session.cart:
            raise HTTPException(404, "Not in the cart")
        session.cart.remove(sku)

    return await manager.mutate(change)


@app.post("/order", tags=["shop"], summary="Order what is in the cart")
def order(session: CurrentSession, manager: Manager) -> Message:
    """A `def` endpoint, for libraries that block: FastAPI runs it in a thread, where `manager.sync` has the verbs."""
    total = sum(PRODUCTS[sku].price for sku in session.cart)
    session.cart.clear()
    manager.sync.update()
    return Message(message=f"Thank you, {session.name}: that makes {total / 100:.2f}")


@app.websocket("/cart/live")
async def watch(websocket: WebSocket, session: CurrentSession, manager: Manager) -> None:
    """Answer each message with the cart as it is by then. Without a session the handshake gets a 401."""
    await websocket.accept()
    try:
        async for _ in websocket.iter_text():
            await websocket.send_json((await manager.reload()).cart)
    except AuthenticationError:  # logged out by another request
        await websocket.close(status.WS_1008_POLICY_VIOLATION, "Not authenticated")


async def require_admin(session: CurrentSession, manager: Manager) -> None:
    """401 without a session, 403 without the role."""
    if manager.claims is None or manager.claims.role != "admin":
        raise HTTPException(403, "For admins only")


@app.post("/session/admin", tags=["staff"], summary="Become admin", responses={403: {}})
async def become_admin(password: Annotated[str, Form()], session: CurrentSession, manager: Manager) -> Token:
    """Ask for the password again and move the session to a new id: whoever has the old token gains nothing.

    Swagger UI goes on sending the old token: log out and log in again under *Authorize*.
    """
    user = await authenticate(session.name, password)
    if user is None or not user.is_staff:
        raise HTTPException(403, "Wrong password, or not of the staff")
    return await manager.regenerate(claims=ShopClaims(sub=str(user.id), role="admin"))


@app.put(
    "/products/{sku}",
    tags=["staff"],
    summary="Change a product",
    dependencies=[Depends(require_admin)],
    responses={403: {}, 404: {}},
)
async def change_product(sku: str, product: Product, _: KnownProduct) -> Product:
    """Needs the role `admin` in the token's claims."""
    PRODUCTS[sku] = product
    return product


app.include_router(sessions.health_router())  # for a load balancer: GET /healthz
