"""The same application with sessions. A token of the version before is exchanged for a session."""

import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from redis.asyncio import Redis

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token

from .accounts import USERS, User, check_password


class UserSession(Session):
    username: str


sessions = SessionProvider(UserSession, token_url="token", max_age=8 * 86_400)
redis = Redis.from_url(os.environ["JWTSESSION_REDIS_URL"], decode_responses=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with sessions.lifespan(app), redis:
        yield


app = FastAPI(lifespan=lifespan)
CurrentSession = Annotated[UserSession, Depends(sessions.get_session)]
Manager = Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]


async def get_current_user(session: CurrentSession) -> User:
    if session.username not in USERS:  # removed since the login
        raise HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})
    return USERS[session.username]


@app.post("/token")
async def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], manager: Manager) -> Token:
    user = await run_in_threadpool(check_password, form.username, form.password)  # hashing would hold others up
    return await manager.create(UserSession(username=user.username), Claims(sub=user.username))


@app.delete("/token", status_code=204)
async def log_out(manager: Manager) -> None:
    await manager.destroy()


@app.get("/users/me")
def read_me(user: Annotated[User, Depends(get_current_user)]) -> User:
    return user


# From here on: for users who are logged in. Remove it when the last old token has expired.
OLD_SECRET_KEY = os.environ["SECRET_KEY"]  # never the same as JWTSESSION_SECRET
bearer_token = OAuth2PasswordBearer(tokenUrl="token")


@app.post("/token/exchange")
async def exchange(old: Annotated[str, Depends(bearer_token)], manager: Manager) -> Token:
    refused = HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})
    try:
        claims = jwt.decode(old, OLD_SECRET_KEY, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        raise refused from None
    if "jti" in claims or claims["sub"] not in USERS:  # with a jti it is a session's token
        raise refused
    mark = f"exchanged:{hashlib.sha256(old.encode()).hexdigest()}"
    first = await redis.get(mark)
    if first is not None and time.time() - int(first) > 10:  # a client whose answer was lost has ten seconds
        raise refused
    # auth_time: this is no sign-in, so require_fresh() asks for one.
    token = await manager.create(UserSession(username=claims["sub"]), Claims(sub=claims["sub"], auth_time=0))
    await redis.set(mark, int(time.time()), nx=True, exat=int(claims["exp"]) + 1)
    return token
