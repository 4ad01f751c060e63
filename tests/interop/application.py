"""The twin of `server.js`: the same routes, the same answers, for a typed and for a free-form provider."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx2
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel

from jwtsession import Claims, Session, SessionManager, SessionProvider, SessionSettings


class UserSession(Session):
    user_id: int
    name: str = ""
    price: float = 0.0
    cart: list[str] = []


class UserClaims(Claims):
    role: str = "user"


class Creation(BaseModel):
    session: dict[str, Any]
    claims: dict[str, Any] | None = None


class Order(BaseModel):
    changes: dict[str, Any] = {}
    meanwhile: dict[str, Any] | None = None

    async def wait(self) -> None:
        """Between the load and the verb: a request to the other server."""
        if self.meanwhile is not None:
            async with httpx2.AsyncClient() as other:
                await other.request(**self.meanwhile)


def application(clock: Callable[[], float], **settings: Any) -> FastAPI:
    """Both providers with these settings, under `/typed` and `/free`."""
    typed = SessionProvider(UserSession, UserClaims, settings=SessionSettings.node_compatible(**settings), clock=clock)
    free = SessionProvider(
        settings=SessionSettings.node_compatible(**settings | {"requestKey": "free"}),
        shares_sessions_with=typed,
        clock=clock,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with typed.lifespan(app), free.lifespan(app):
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(routes(typed, UserClaims), prefix="/typed")
    app.include_router(routes(free, Claims), prefix="/free")
    return app


def routes(sessions: SessionProvider[Any, Any], claims_model: type[Claims]) -> APIRouter:
    router = APIRouter()
    current = Annotated[Session, Depends(sessions.get_session)]
    manager_ = Annotated[SessionManager[Any, Any], Depends(sessions.get_manager)]

    @router.post("/session", status_code=201)
    async def create(creation: Creation, manager: manager_) -> dict[str, str]:
        claims = claims_model(**creation.claims) if creation.claims else None
        return {"token": (await manager.create(creation.session, claims)).access_token}

    @router.api_route("/read", methods=["GET", "POST"])
    async def read(session: current, manager: manager_) -> dict[str, Any]:
        assert manager.claims is not None
        claims = manager.claims.model_dump(exclude_none=True)
        return {"session": session.model_dump(), "id": manager.id, "claims": claims, "jwt": manager.token}

    @router.put("/session")
    async def update(order: Order, session: current, manager: manager_) -> Any:
        await order.wait()
        for name, value in order.changes.items():
            setattr(session, name, value)
        return (await manager.update()).model_dump()

    @router.post("/reload")
    async def reload(order: Order, _: current, manager: manager_) -> Any:
        await order.wait()
        return (await manager.reload()).model_dump()

    @router.post("/touch", status_code=204)
    async def touch(_: current, manager: manager_) -> None:
        await manager.touch()

    @router.delete("/session", status_code=204)
    async def destroy(_: current, manager: manager_) -> None:
        await manager.destroy()

    return router
