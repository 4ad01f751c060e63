"""The same shop on jwtsession. It takes the sessions of the version before over when their users come back."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from redis.asyncio import Redis

from jwtsession import Claims, Session, SessionManager, SessionProvider


class UserSession(Session):
    user_id: int
    cart: list[str] = []


sessions = SessionProvider(UserSession, token_sources=["cookie"], max_age=14 * 86_400)
redis = Redis.from_url(os.environ["REDIS_URL"])  # where the old sessions are


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with sessions.lifespan(app), redis:
        yield


app = FastAPI(lifespan=lifespan)
Manager = Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]


def old_key(request: Request) -> str:
    return f"starsessions.{request.cookies.get('session', '')}"


async def take_over(request: Request, manager: SessionManager[UserSession]) -> None:
    """Make a session out of the old one. Remove this when the last old session has ended."""
    stored = await redis.get(old_key(request))
    old = json.loads(stored) if stored else {}
    if "user_id" not in old:
        return
    await manager.create(
        UserSession(user_id=old["user_id"], cart=old["cart"]),
        Claims(sub=str(old["user_id"]), auth_time=old["__metadata__"]["created"]),
        allow_cross_site=request.method == "GET",  # a link in a mail; a form of another site is a 403 here
    )
    # Requests that the browser sent at the same time may still have the old cookie alone.
    await redis.expire(old_key(request), 10, lt=True)


async def get_current_session(request: Request, manager: Manager) -> UserSession:
    if manager.session is None:
        await take_over(request, manager)
    if manager.session is None:
        raise HTTPException(401, "Not authenticated")
    return manager.session


CurrentSession = Annotated[UserSession, Depends(get_current_session)]  # later: Depends(sessions.get_session)


@app.post("/login", status_code=204)
async def log_in(name: str, password: str, request: Request, manager: Manager) -> None:
    if (name, password) != ("ann", "secret"):
        raise HTTPException(401, "Wrong name or password")
    await redis.delete(old_key(request))
    await manager.create(UserSession(user_id=1), Claims(sub="1"))


@app.get("/cart")
async def read_cart(session: CurrentSession) -> UserSession:
    return session


@app.post("/cart")
async def add(item: str, session: CurrentSession, manager: Manager) -> UserSession:
    session.cart.append(item)
    return await manager.update()


@app.post("/logout", status_code=204)
async def log_out(session: CurrentSession, request: Request, manager: Manager) -> None:
    await redis.delete(old_key(request))
    await manager.destroy()
