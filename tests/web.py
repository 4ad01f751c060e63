"""A FastAPI application behind a real uvicorn, over real HTTP."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import uvicorn

from tests.servers import free_port


@contextlib.contextmanager
def serving(app: Any, **options: Any) -> Iterator[httpx2.Client]:
    """Serve the application for the length of a `with`; gives a client for it. Options are uvicorn's."""
    port = free_port()
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


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
