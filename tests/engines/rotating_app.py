"""The application of `test_rotation.py`, whose worker can die in the middle of a request.

The variable `LATER` moves its clock forward, in seconds. Settings come from the environment.
"""

import os
import signal
import time
from typing import Annotated

from fastapi import Depends, FastAPI

from jwtsession import Session, SessionManager, SessionProvider, Token


class UserSession(Session):
    user_id: int


LATER = float(os.environ["LATER"])
sessions = SessionProvider(UserSession, rotation={"after": 900}, clock=lambda: time.time() + LATER)
app = FastAPI(lifespan=sessions.lifespan)
CurrentSession = Annotated[UserSession, Depends(sessions.get_session)]


@app.post("/session")
async def log_in(manager: Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]) -> Token:
    return await manager.create(UserSession(user_id=1))


@app.get("/session")
async def read(session: CurrentSession) -> UserSession:
    return session


@app.get("/die")
async def die(session: CurrentSession) -> None:
    """The token is replaced by now, and nobody has heard of it."""
    os.kill(os.getpid(), signal.SIGKILL)
