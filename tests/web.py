"""A FastAPI application and a client of it: behind a real uvicorn, over real HTTP, or in this process."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import uvicorn
from fastapi.testclient import TestClient
from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.servers import free_port, until


@contextlib.contextmanager
def serving(app: Any, **options: Any) -> Iterator[httpx2.Client]:
    """Serve the application for the length of a `with`; gives a client for it. Options are uvicorn's, and `port`."""
    port = options.pop("port", None) or free_port()
    # Without uvicorn's own configuration, which would change the loggers for every test that follows.
    options = {"log_level": "critical", "log_config": None, "ws": "websockets-sansio"} | options
    config = uvicorn.Config(app, host="127.0.0.1", port=port, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 15
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the application did not start")
        time.sleep(0.01)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(15)


@contextlib.contextmanager
def serving_by_hypercorn(app: Any, *, root_path: str = "", **client_options: Any) -> Iterator[httpx2.Client]:
    """As `serving`, by Hypercorn. The application must not know the path `/nothing`."""
    config = Config()
    config.bind = [f"127.0.0.1:{free_port()}"]
    config.root_path = root_path
    config.errorlog = config.accesslog = None
    loop, end = asyncio.new_event_loop(), asyncio.Event()
    serving_it = serve(app, config, shutdown_trigger=end.wait)  # type: ignore[arg-type]
    thread = threading.Thread(target=loop.run_until_complete, args=[serving_it])
    thread.start()
    try:
        with httpx2.Client(base_url=f"http://{config.bind[0]}", **client_options) as client:
            until(lambda: _answers(client), "hypercorn", 15)
            yield client
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(15)
        loop.close()


def _answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/nothing").status_code == 404
    except httpx2.ConnectError:
        return False


@contextlib.contextmanager
def in_process(app: Any) -> Iterator[httpx2.Client]:
    """As above without a socket, in an event loop of its own: for what no network can change."""
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
