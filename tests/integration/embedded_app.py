"""The application of `test_embedded.py`, for uvicorn with several workers. Settings come from the environment."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI

from jwtsession import Session, SessionManager, SessionProvider, Token


class UserSession(Session):
    user_id: int


sessions = SessionProvider(UserSession)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with sessions.lifespan(app):
        yield
        print(f"closing {os.getpid()}: {await sessions.ping()}", flush=True)


app = FastAPI(lifespan=lifespan)


@app.post("/session", status_code=201)
async def log_in(manager: Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]) -> Token:
    return await manager.create(UserSession(user_id=os.getpid()))


@app.get("/session")
async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> dict[str, int]:
    time.sleep(0.02)  # noqa: ASYNC251 - this worker is busy, so that another takes the next request
    return {"created_by": session.user_id, "read_by": os.getpid()}
