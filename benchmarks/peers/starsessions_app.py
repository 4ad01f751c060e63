"""starsessions with its `RedisStore`: the session's id in a cookie. It writes the session back at each request."""

import os
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from redis.asyncio import Redis
from starsessions import SessionAutoloadMiddleware, SessionMiddleware, regenerate_session_id
from starsessions.stores.redis import RedisStore

app = FastAPI()
store = RedisStore(connection=Redis.from_url(os.environ["JWTSESSION_REDIS_URL"], max_connections=1_000))
app.add_middleware(SessionAutoloadMiddleware)
app.add_middleware(SessionMiddleware, store=store, lifetime=86_400, rolling=True, cookie_https_only=False)


@app.get("/")
async def read(request: Request) -> dict[str, Any]:
    """What every application answers."""
    session = request.session
    if not session:
        raise HTTPException(401)
    return {"user_id": session["user_id"], "items": len(session["cart"])}


@app.post("/session")
async def log_in(request: Request) -> None:
    """A session of the body; its id is in the cookie."""
    regenerate_session_id(request)
    request.session.update(await request.json())


@app.delete("/session")
async def log_out(request: Request) -> None:
    """The end of the session."""
    request.session.clear()
