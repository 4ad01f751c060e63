"""The same API on jwtsession. The endpoints that refreshed an access token exchange a refresh token for a session."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from redis.asyncio import Redis

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token


class UserSession(Session):
    user_id: str


sessions = SessionProvider(UserSession, token_sources=["bearer", "cookie"], max_age=20 * 86_400)
redis = Redis.from_url(os.environ["JWTSESSION_REDIS_URL"], decode_responses=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with sessions.lifespan(app), redis:
        yield


app = FastAPI(lifespan=lifespan)
CurrentSession = Annotated[UserSession, Depends(sessions.get_session)]
Manager = Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]


def check_password(name: str, password: str) -> None:
    if (name, password) != ("ann", "secret"):
        raise HTTPException(401, "Wrong name or password")


@app.post("/login")
async def log_in(name: str, password: str, manager: Manager) -> Token:
    check_password(name, password)
    return await manager.create(UserSession(user_id="1"), Claims(sub="1"), transport="bearer")


@app.post("/login/browser", status_code=204)
async def log_in_browser(name: str, password: str, manager: Manager) -> None:
    check_password(name, password)
    await manager.create(UserSession(user_id="1"), Claims(sub="1"), transport="cookie")


@app.get("/me")
async def me(session: CurrentSession) -> UserSession:
    return session


@app.post("/logout", status_code=204)
async def log_out(request: Request, manager: Manager) -> None:
    if old := read_old(request.cookies.get("refresh_token_cookie", "")):
        await redis.set(mark(old), 0, exat=int(old["exp"]) + 1)  # as if it had been exchanged long ago
    if manager.session is not None:
        await manager.destroy()


# From here on: for users who are logged in. Remove it when the last refresh token has expired.
OLD_SECRET_KEY = os.environ["SECRET_KEY"]  # never the same as JWTSESSION_SECRET


def read_old(token: str) -> dict[str, Any] | None:
    required = {"require": ["exp", "iat", "jti", "sub"]}
    try:
        claims: dict[str, Any] = jwt.decode(token, OLD_SECRET_KEY, algorithms=["HS256"], options=required)
    except jwt.InvalidTokenError:
        return None
    # The access token of the same login must not be worth a second session.
    return claims if claims.get("type") == "refresh" else None


def mark(old: dict[str, Any]) -> str:
    return f"exchanged:{old['jti']}"


async def exchange(token: str, manager: SessionManager[UserSession], transport: Literal["bearer", "cookie"]) -> Token:
    old = read_old(token)
    first = old and await redis.get(mark(old))
    # For ten seconds more the old token works, for a client whose answer was lost.
    if old is None or (first is not None and time.time() - int(first) > 10):
        raise HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})
    claims = Claims(sub=old["sub"], auth_time=old["iat"])
    answer = await manager.create(UserSession(user_id=old["sub"]), claims, transport=transport)
    await redis.set(mark(old), int(time.time()), nx=True, exat=int(old["exp"]) + 1)
    return answer


@app.post("/refresh")
async def refresh(request: Request, manager: Manager) -> Token:
    return await exchange(request.headers.get("Authorization", "").removeprefix("Bearer "), manager, "bearer")


@app.post("/refresh/browser", status_code=204)
async def refresh_browser(request: Request, manager: Manager) -> None:
    await exchange(request.cookies.get("refresh_token_cookie", ""), manager, "cookie")
