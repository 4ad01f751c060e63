"""`running`: an ASGI application from its start to its end. `ASGITransport` starts none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[ASGIApp]:
    """Start an application and end it, by the lifespan protocol of ASGI.

    Args:
        app: The application.

    Returns:
        The application whose requests have the state of its lifespan.

    Raises:
        RuntimeError: The application has said that it can't start. What it raises is raised here too.
    """
    state: dict[str, Any] = {}
    told, said = asyncio.Queue[Message](), asyncio.Queue[Message]()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}

    async def lives() -> None:
        await app(scope, told.get, said.put)

    task = asyncio.create_task(lives())

    async def tell(step: str) -> None:
        told.put_nowait({"type": f"lifespan.{step}"})
        answer = asyncio.create_task(said.get())
        await asyncio.wait({task, answer}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done() or answer.result()["type"] != f"lifespan.{step}.complete":
            answer.cancel()
            await task
            raise RuntimeError(f"the application has not answered lifespan.{step}")

    async def stated(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    try:
        await tell("startup")
        try:
            yield stated
        finally:
            await tell("shutdown")
            await task
    finally:
        task.cancel()
