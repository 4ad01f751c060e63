"""The application under load: every verb, and a look at its own process."""

import asyncio
import os
import resource
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token


class SoakSession(Session):
    """Whose it is, and what its user has done to it."""

    number: int
    count: int = 0
    name: str = ""


sessions = SessionProvider(
    SoakSession,
    secret=os.environ["JWTSESSION_SECRET"],
    redis_url=os.environ["JWTSESSION_REDIS_URL"],
    user_index=True,
)
app = FastAPI(lifespan=sessions.lifespan)

Current = Annotated[SoakSession, Depends(sessions.get_session)]
Manager = Annotated[SessionManager[SoakSession, Claims], Depends(sessions.get_manager)]


@app.post("/session", status_code=201)
async def log_in(number: int, manager: Manager) -> Token:
    """A login."""
    return await manager.create(SoakSession(number=number), Claims(sub=str(number)))


@app.get("/session")
async def read(session: Current) -> SoakSession:
    """What is stored."""
    return session


@app.post("/session/count")
async def count(_: Current, manager: Manager) -> SoakSession:
    """One more, by `mutate()`."""

    def one_more(session: SoakSession) -> None:
        session.count += 1

    return await manager.mutate(one_more)


@app.post("/session/name")
async def rename(name: str, session: Current, manager: Manager) -> SoakSession:
    """Another name, by `update()`."""
    session.name = name
    return await manager.update()


@app.post("/session/touch")
async def touch(_: Current, manager: Manager) -> bool:
    """The idle timeout starts again."""
    await manager.touch()
    return True


@app.post("/session/id")
async def regenerate(_: Current, manager: Manager) -> Token:
    """A new id."""
    return await manager.regenerate()


@app.delete("/session", status_code=204)
async def log_out(_: Current, manager: Manager) -> None:
    """The end of one."""
    await manager.destroy()


@app.delete("/others")
async def end_others(_: Current, manager: Manager) -> int:
    """The end of all others."""
    return await manager.destroy_others()


@app.get("/users/{sub}")
async def listed(sub: str) -> list[str]:
    """The ids of a user's sessions."""
    return [info.id for info in await sessions.list_sessions(sub)]


@app.delete("/users/{sub}")
async def end_all(sub: str) -> int:
    """The end of all."""
    return await sessions.revoke_all(sub)


@app.get("/process")
async def process() -> dict[str, int]:
    """What this process holds: memory in bytes, tasks, open files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": pages * resource.getpagesize(),
        "tasks": len(asyncio.all_tasks()),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }
