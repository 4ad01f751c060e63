"""The applications that are compared. All answer the same JSON, and differ in one dependency."""

import json
import os
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from redis.asyncio import Redis

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token

SECRET = os.environ["JWTSESSION_SECRET"]
REDIS_URL = os.environ["JWTSESSION_REDIS_URL"]


class UserSession(Session):
    """A small session, as most are."""

    user_id: int
    name: str
    cart: list[str]


# 1. Nothing: what FastAPI itself costs.

bare = FastAPI()


@bare.get("/")
async def read_nothing() -> dict[str, Any]:
    """No session."""
    return {"user_id": 1, "items": 2}


# 2. The dependency that one writes in the place of this package: PyJWT, redis-py, json.

handwritten = FastAPI()
redis = Redis.from_url(REDIS_URL)


async def load_session(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
    """The session, extended, or 401."""
    try:
        claims = jwt.decode(credentials.credentials, SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None
    value = await redis.getex(f"sess:{claims['jti']}", ex=86_400)
    if value is None:
        raise HTTPException(401)
    session: dict[str, Any] = json.loads(value)
    return session


@handwritten.get("/")
async def read_by_hand(session: Annotated[dict[str, Any], Depends(load_session)]) -> dict[str, Any]:
    """The session as a dictionary."""
    return {"user_id": session["user_id"], "items": len(session["cart"])}


# 3. This package, with its default settings.

sessions = SessionProvider(UserSession, secret=SECRET, redis_url=REDIS_URL)
jwtsession = FastAPI(lifespan=sessions.lifespan)


@jwtsession.get("/")
async def read_session(session: Annotated[UserSession, Depends(sessions.get_session)]) -> dict[str, Any]:
    """The session as a model."""
    return {"user_id": session.user_id, "items": len(session.cart)}


@jwtsession.post("/session")
async def log_in(manager: Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]) -> Token:
    """The session that all requests read."""
    return await manager.create(UserSession(user_id=1, name="alice", cart=["tea", "cup"]), Claims(sub="1"))
