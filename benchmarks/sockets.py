"""What open WebSockets cost, and how soon they end: `python -m benchmarks.sockets`.

Two applications on one Valkey. One holds the sockets; at the other one the sessions end. The load on it is bounded:
200 sockets that end within 20 seconds, and 5,000 that do nothing for 20 seconds.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token
from tests import reaper
from tests.servers import free_port, valkey

from .cpu import cpu_seconds

SETTLE_SECONDS = 6
"""How long a worker rests before its CPU is measured: the handshakes are over, and a look has passed."""


class UserSession(Session):
    """As small as a session can be."""

    user_id: int = 1


def application() -> FastAPI:
    """What uvicorn runs, with the settings of the environment."""
    sessions = SessionProvider(UserSession)
    app = FastAPI(lifespan=sessions.lifespan)
    asked = Depends(sessions.get_manager)

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[UserSession, Claims], asked]) -> Token:
        return await manager.create(UserSession())

    @app.delete("/session")
    async def log_out(manager: Annotated[SessionManager[UserSession, Claims], asked]) -> None:
        await manager.destroy()

    @app.websocket("/")
    async def wait(websocket: WebSocket, manager: Annotated[SessionManager[UserSession, Claims], asked]) -> None:
        await websocket.accept()
        await websocket.send_text("open")
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.receive_text()

    return app


@contextlib.contextmanager
def worker(redis_url: str, secret: str, near: bool) -> Iterator[tuple[int, int]]:
    """Run one application; gives its port and its process."""
    port = free_port()
    options = ["--port", f"{port}", "--log-level", "error", "--no-access-log", "--ws", "websockets-sansio"]
    environment = {
        "JWTSESSION_SECRET": secret,
        "JWTSESSION_REDIS_URL": redis_url,
        "JWTSESSION_NEAR_CACHE_BYTES": "16000000" if near else "0",
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.sockets:application", *options]
    process = subprocess.Popen(command, env=os.environ | environment)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                httpx2.get(f"http://127.0.0.1:{port}/nothing", timeout=1)
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError("the application did not start")
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


async def log_in(client: httpx2.AsyncClient, port: int) -> dict[str, str]:
    """The headers of a new session."""
    answer = await client.post(f"http://127.0.0.1:{port}/session")
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


@contextlib.asynccontextmanager
async def opened(port: int, sessions: list[dict[str, str]]) -> AsyncIterator[list[Any]]:
    """Open a socket for each session, 50 at a time."""
    sockets: list[Any] = []
    try:
        for start in range(0, len(sessions), 50):
            options: dict[str, Any] = {"ping_interval": None, "compression": None, "open_timeout": 60}
            opening = [
                connect(f"ws://127.0.0.1:{port}/", additional_headers=headers, **options).__aenter__()
                for headers in sessions[start : start + 50]
            ]
            sockets += await asyncio.gather(*opening)
        for socket in sockets:
            await socket.recv()
        yield sockets
    finally:
        for start in range(0, len(sockets), 50):
            await asyncio.gather(*(each.close() for each in sockets[start : start + 50]), return_exceptions=True)


async def time_logouts(holder: int, other: int, count: int, seconds: float) -> list[float]:
    """How long each socket lives on after its session ended at the other worker, in seconds."""
    async with httpx2.AsyncClient() as client:
        sessions = [await log_in(client, holder) for _ in range(count)]
        async with opened(holder, sessions) as sockets:

            async def end(number: int) -> float:
                await asyncio.sleep(number * seconds / count)
                began = time.monotonic()
                await client.request("DELETE", f"http://127.0.0.1:{other}/session", headers=sessions[number])
                with contextlib.suppress(ConnectionClosed):
                    await sockets[number].recv()
                if sockets[number].close_code != 1008:
                    raise RuntimeError(f"closed with {sockets[number].close_code}")
                return time.monotonic() - began

            await asyncio.sleep(1)
            return await asyncio.gather(*map(end, range(count)))


async def share_of_a_core(holder: int, pid: int, count: int, seconds: float, *, with_session: bool) -> float:
    """What a worker with idle sockets costs, as a share of one core."""
    async with httpx2.AsyncClient() as client:
        sessions = [await log_in(client, holder) if with_session else {} for _ in range(count)]
    async with opened(holder, sessions):
        await asyncio.sleep(SETTLE_SECONDS)
        before = cpu_seconds([pid])
        await asyncio.sleep(seconds)
        after = cpu_seconds([pid])
    if before is None or after is None:
        raise RuntimeError("the system does not tell what a process costs")
    return (after - before) / seconds


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logouts", type=int, default=200)
    parser.add_argument("--sockets", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--near", choices=("off", "on", "both"), default="both", help="with the near cache")
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    reaper.end_all_with_this_process()
    secret = secrets.token_urlsafe(64)
    with tempfile.TemporaryDirectory() as folder:
        server = valkey(Path(folder)).start()
        for near in {"off": (False,), "on": (True,), "both": (False, True)}[given.near]:
            name = "with the near cache" if near else "without the near cache"
            with worker(server.url, secret, near) as (holder, pid), worker(server.url, secret, near) as (other, _):
                took = asyncio.run(time_logouts(holder, other, given.logouts, given.seconds))
                print(
                    f"{name}: {len(took)} logouts in another worker: closed after {statistics.median(took):.3f} s "
                    f"(median), {max(took):.3f} s (worst)",
                    flush=True,
                )
                for with_session in (True, False):
                    share = asyncio.run(
                        share_of_a_core(holder, pid, given.sockets, given.seconds, with_session=with_session)
                    )
                    kind = "with a session each" if with_session else "without a session"
                    print(f"{name}: {given.sockets} idle sockets {kind}: {share:.2%} of a core", flush=True)
        server.stop()


if __name__ == "__main__":
    main()
