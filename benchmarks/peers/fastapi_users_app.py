"""fastapi-users with its `RedisStrategy`: Redis gives the user's id, and a dictionary the user, for nothing."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi_users import BaseUserManager, FastAPIUsers, IntegerIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, RedisStrategy
from fastapi_users.db import BaseUserDatabase
from redis.asyncio import Redis

redis = Redis.from_url(os.environ["JWTSESSION_REDIS_URL"], decode_responses=True, max_connections=1_000)


@dataclass
class User:
    """With what is in the session elsewhere."""

    id: int
    data: dict[str, Any]
    email: str = "alice@example.com"
    hashed_password: str = ""
    is_active: bool = True
    is_superuser: bool = False
    is_verified: bool = True


class Users(BaseUserDatabase[User, int]):
    """In memory: no database is measured."""

    rows: dict[int, User] = {}

    async def get(self, id: int) -> User | None:
        """One user."""
        return self.rows.get(id)


class Manager(IntegerIDMixin, BaseUserManager[User, int]):
    """As it comes."""


async def manager() -> AsyncIterator[Manager]:
    """One for each request, as its documentation shows."""
    yield Manager(Users())


def strategy() -> RedisStrategy[User, int]:
    """As its documentation shows."""
    return RedisStrategy(redis, lifetime_seconds=86_400)


backend = AuthenticationBackend(name="redis", transport=BearerTransport(tokenUrl="login"), get_strategy=strategy)
users = FastAPIUsers[User, int](manager, [backend])
CurrentUser = Annotated[User, Depends(users.current_user(active=True))]
app = FastAPI()


@app.get("/")
async def read(user: CurrentUser) -> dict[str, Any]:
    """What every application answers."""
    return {"user_id": user.data["user_id"], "items": len(user.data["cart"])}


@app.post("/session")
async def log_in(request: Request) -> dict[str, str]:
    """The headers of the requests to come."""
    user = User(len(Users.rows) + 1, await request.json())
    Users.rows[user.id] = user
    return {"authorization": f"Bearer {await strategy().write_token(user)}"}


@app.delete("/session")
async def log_out(user: CurrentUser, request: Request) -> None:
    """The end of the session."""
    await strategy().destroy_token(request.headers["authorization"].removeprefix("Bearer "), user)
