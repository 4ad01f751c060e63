"""fastapi-redis-sdk, by Redis: its middleware loads the session of a cookie, and extends it by the same command."""

import os
from typing import Any

from fastapi import Depends, FastAPI, Request
from redis_fastapi import FastAPIRedis, SessionDep, get_settings, valid_session

settings = get_settings()
settings.url = os.environ["JWTSESSION_REDIS_URL"]
settings.max_connections = 1_000
app = FastAPI()
FastAPIRedis(app).lifespan().sessions()


@app.get("/", dependencies=[Depends(valid_session())])
async def read(session: SessionDep) -> dict[str, Any]:
    """What every application answers."""
    return {"user_id": session["user_id"], "items": len(session["cart"])}


@app.post("/session")
async def log_in(request: Request, session: SessionDep) -> None:
    """A session of the body; its id is in the cookie."""
    session.update(await request.json())


@app.delete("/session", dependencies=[Depends(valid_session())])
async def log_out(session: SessionDep) -> None:
    """The end of the session."""
    session.clear()
