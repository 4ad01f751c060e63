"""fastapi-users with its RedisStrategy: a random token, under which Redis has the user's id."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi_users import FastAPIUsers
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, RedisStrategy
from redis.asyncio import Redis

from .accounts import User, UserCreate, UserRead, get_user_manager

redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def get_strategy() -> RedisStrategy[User, int]:
    return RedisStrategy(redis, lifetime_seconds=30 * 86_400)


backend = AuthenticationBackend("redis", BearerTransport("auth/login"), get_strategy)
users = FastAPIUsers[User, int](get_user_manager, [backend])

app = FastAPI()
app.include_router(users.get_register_router(UserRead, UserCreate), prefix="/auth")
app.include_router(users.get_auth_router(backend), prefix="/auth")


@app.get("/me")
async def me(user: Annotated[User, Depends(users.current_user(active=True))]) -> dict[str, str]:
    return {"email": user.email}
