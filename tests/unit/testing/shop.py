"""A small application as users write it: its provider is a module's global, and nobody has given a secret."""

import asyncio
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, WebSocket

from jwtsession import Claims, Session, SessionEvent, SessionManager, SessionProvider, Token, client_credentials


class UserSession(Session):
    user_id: int
    cart: list[str] = []


class UserClaims(Claims):
    role: str = "user"


passed_on: list[SessionEvent] = []
GATEWAY = ("gateway", "the secret of a gateway 0123456789 abcdef")

sessions = SessionProvider(
    UserSession,
    UserClaims,
    redis_url="redis://nobody.invalid:1/0",
    token_sources=["bearer", "cookie"],
    user_index=True,
    max_sessions=3,
    near_cache_bytes=100_000,
    on_event=passed_on.append,
)
app = FastAPI(lifespan=sessions.lifespan)
app.include_router(sessions.health_router())
app.include_router(sessions.jwks_router())
app.include_router(sessions.token_router(client_credentials(dict([GATEWAY]))))

CurrentSession = Annotated[UserSession, Depends(sessions.get_session)]
Manager = Annotated[SessionManager[UserSession, UserClaims], Depends(sessions.get_manager)]


@app.post("/session")
async def log_in(manager: Manager, user_id: Annotated[int, Form()] = 1) -> Token:
    return await manager.create(UserSession(user_id=user_id), UserClaims(sub=str(user_id)))


@app.get("/session")
async def read(session: CurrentSession) -> UserSession:
    return session


@app.get("/by-class")
async def read_by_class(session: Annotated[UserSession, Depends()]) -> UserSession:
    return session


@app.get("/peek")
async def peek(session: Annotated[UserSession, Depends(sessions.peek_session)]) -> UserSession:
    return session


@app.get("/optional")
async def optional(session: Annotated[UserSession | None, Depends(sessions.get_optional_session)]) -> int | None:
    return None if session is None else session.user_id


@app.post("/cart")
async def add(session: Annotated[UserSession, Depends(sessions.get_editable_session)], item: str) -> UserSession:
    session.cart.append(item)
    return session


@app.post("/mutate")
async def mutate(manager: Manager, item: str) -> UserSession:
    return await manager.mutate(lambda session: session.cart.append(item))


@app.get("/role")
async def role(manager: Manager) -> str | None:
    return manager.claims.role if manager.claims is not None else None


@app.get("/fresh")
async def fresh(session: Annotated[UserSession, Depends(sessions.require_fresh(600))]) -> UserSession:
    return session


@app.get("/page")
async def page(session: Annotated[UserSession, Depends(sessions.redirect_to_login("/login"))]) -> UserSession:
    return session


@app.post("/move")
async def move(manager: Manager) -> Token:
    return await manager.regenerate()


@app.delete("/session", status_code=204)
async def log_out(
    manager: Annotated[SessionManager[UserSession, UserClaims], Depends(sessions.get_required_manager)],
) -> None:
    await manager.destroy()


@app.get("/sync")
def count(session: CurrentSession, manager: Manager) -> int:
    assert manager.claims is not None
    return len(sessions.sync.list_sessions(manager.claims.sub or ""))


@app.websocket("/live")
async def live(websocket: WebSocket, session: CurrentSession) -> None:
    await websocket.accept()
    await websocket.send_json(session.user_id)
    await asyncio.Event().wait()


def ann() -> tuple[UserSession, UserClaims]:
    return UserSession(user_id=1), UserClaims(sub="1", role="admin")


def state_of(provider: Any) -> dict[str, int]:
    """The identity of everything that a provider has."""
    return {name: id(value) for name, value in vars(provider).items()}
