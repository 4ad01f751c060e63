"""A shop on starsessions: a dictionary in Redis, and its id in a cookie."""

import os
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from redis.asyncio import Redis
from starsessions import SessionAutoloadMiddleware, SessionMiddleware, regenerate_session_id
from starsessions.stores.redis import RedisStore

app = FastAPI()
app.add_middleware(SessionAutoloadMiddleware)
app.add_middleware(
    SessionMiddleware,
    store=RedisStore(connection=Redis.from_url(os.environ["REDIS_URL"])),
    lifetime=14 * 86_400,
    rolling=True,
)


def user_id(request: Request) -> int:
    if "user_id" not in request.session:
        raise HTTPException(401, "Not authenticated")
    return int(request.session["user_id"])


@app.post("/login", status_code=204)
async def log_in(name: str, password: str, request: Request) -> None:
    if (name, password) != ("ann", "secret"):
        raise HTTPException(401, "Wrong name or password")
    regenerate_session_id(request)
    request.session.update(user_id=1, cart=[])


@app.get("/cart")
async def read_cart(request: Request) -> dict[str, Any]:
    return {"user_id": user_id(request), "cart": request.session["cart"]}


@app.post("/cart")
async def add(item: str, request: Request) -> dict[str, Any]:
    user_id(request)
    request.session["cart"].append(item)
    return await read_cart(request)


@app.post("/logout", status_code=204)
async def log_out(request: Request) -> None:
    request.session.clear()
