"""fastapi-users keeps the accounts; jwtsession has the sessions. Old tokens are exchanged."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from fastapi_users import FastAPIUsers
from fastapi_users.exceptions import InvalidID, UserNotExists
from redis.asyncio import Redis

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token

from .accounts import User, UserCreate, UserManager, UserRead, get_user_manager


class UserSession(Session):
    user_id: int


sessions = SessionProvider(UserSession, token_url="auth/login", max_age=30 * 86_400, user_index=True)
redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
users = FastAPIUsers[User, int](get_user_manager, [])  # no backend: it logs nobody in any more


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with sessions.lifespan(app), redis:
        yield


app = FastAPI(lifespan=lifespan)
app.include_router(users.get_register_router(UserRead, UserCreate), prefix="/auth")
CurrentSession = Annotated[UserSession, Depends(sessions.get_session)]
Manager = Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]
Users = Annotated[UserManager, Depends(get_user_manager)]


async def find_user(user_id: int, users: UserManager) -> User:
    try:
        user = await users.get(user_id)
    except UserNotExists:
        user = None
    if user is None or not user.is_active:
        raise HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})
    return user


async def current_user(session: CurrentSession, users: Users) -> User:
    return await find_user(session.user_id, users)


@app.post("/auth/login")
async def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], users: Users, manager: Manager) -> Token:
    user = await users.authenticate(form)
    if user is None or not user.is_active:
        raise HTTPException(400, "LOGIN_BAD_CREDENTIALS")
    token = await manager.create(UserSession(user_id=user.id), Claims(sub=str(user.id)))
    await users.on_after_login(user)
    return token


@app.post("/auth/logout", status_code=204)
async def log_out(session: CurrentSession, manager: Manager) -> None:
    await manager.destroy()


@app.get("/me")
async def me(user: Annotated[User, Depends(current_user)]) -> dict[str, str]:
    return {"email": user.email}


# From here on: for users who are logged in. Remove it when the last old token has expired.
@app.post("/auth/exchange")
async def exchange(
    old: Annotated[str, Depends(OAuth2PasswordBearer("auth/login"))], users: Users, manager: Manager
) -> Token:
    key = f"fastapi_users_token:{old}"
    stored = await redis.get(key)
    try:
        user = await find_user(users.parse_id(stored or ""), users)
    except InvalidID:
        raise HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"}) from None
    # auth_time: this is no sign-in, so require_fresh() asks for one.
    token = await manager.create(UserSession(user_id=user.id), Claims(sub=str(user.id), auth_time=0))
    # The old token ends. A client whose answer was lost has ten seconds to ask again.
    await redis.expire(key, 10, lt=True)
    return token
