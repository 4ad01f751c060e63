"""The same shop on FastAPI and jwtsession. It takes Flask's sessions over when their users come back."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, HTTPException, Request
from itsdangerous import BadSignature, Signer
from redis.asyncio import Redis

from jwtsession import Claims, Session, SessionManager, SessionProvider


class UserSession(Session):
    user_id: int
    cart: list[str] = []


sessions = SessionProvider(UserSession, token_sources=["cookie"], max_age=31 * 86_400)
redis = Redis.from_url(os.environ["REDIS_URL"])  # where Flask's sessions are


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with sessions.lifespan(app), redis:
        yield


app = FastAPI(lifespan=lifespan)
Manager = Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]


def flask_key(request: Request) -> str:
    """Where Flask-Session keeps the session; its cookie is signed if SESSION_USE_SIGNER was set."""
    cookie = request.cookies.get("session", "")
    if os.environ.get("SESSION_USE_SIGNER"):
        signer = Signer(os.environ["SECRET_KEY"], salt="flask-session", key_derivation="hmac")
        try:
            cookie = signer.unsign(cookie).decode()
        except BadSignature:
            cookie = ""
    return f"session:{cookie}"


async def take_over(request: Request, manager: SessionManager[UserSession]) -> None:
    """Make a session out of Flask's. Remove this when the last one of them has ended."""
    stored = await redis.get(flask_key(request))
    try:
        flask: dict[str, Any] = msgspec.msgpack.decode(stored or b"\x80")  # never pickle.loads
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if not isinstance(flask, dict) or "user_id" not in flask:
        return
    await manager.create(
        UserSession(user_id=flask["user_id"], cart=flask["cart"]),
        Claims(sub=str(flask["user_id"]), auth_time=0),  # nobody knows when: require_fresh() asks for a login
        allow_cross_site=request.method == "GET",  # a link in a mail; a form of another site is a 403 here
    )
    # Requests that the browser sent at the same time may still have Flask's cookie alone.
    await redis.expire(flask_key(request), 10, lt=True)


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
    await redis.delete(flask_key(request))
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
    await redis.delete(flask_key(request))
    await manager.destroy()
