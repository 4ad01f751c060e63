"""A FastAPI application and a client of it: behind a real uvicorn, over real HTTP, or in this process."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Self, TypeVar

import httpx2
import uvicorn
from fastapi import FastAPI
from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.servers import free_port, until

T = TypeVar("T")


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


class _Body(httpx2.AsyncByteStream):
    """A request's body for an asynchronous transport."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._body:
            yield part


class _Transport(httpx2.BaseTransport):
    """Answers requests by an application, and lets the event loop run that long."""

    def __init__(self, app: FastAPI, runner: asyncio.Runner, *, raises: bool) -> None:
        self._transport = httpx2.ASGITransport(app, raise_app_exceptions=raises, client=("testclient", 50_000))
        self._runner = runner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._runner.get_loop().run_until_complete(self._answer(request))

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        request.stream = _Body(request.stream)
        answer = await self._transport.handle_async_request(request)
        body = b"".join([part async for part in answer.aiter_raw()])
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=httpx2.ByteStream(body))


class InProcess(httpx2.Client):
    """Asks an application in this process, which runs for the length of a `with`.

    Its event loop runs in this thread, during a call only. So a request takes half of the time that it takes by
    `TestClient`, which has a thread for the loop. Use that one for what the application does between requests.
    """

    def __init__(self, app: FastAPI, *, raises: bool = False) -> None:
        self._app, self._runner, self._running = app, asyncio.Runner(), contextlib.ExitStack()
        transport, headers = _Transport(app, self._runner, raises=raises), {"User-Agent": "testclient"}
        super().__init__(transport=transport, base_url="http://testserver", headers=headers, follow_redirects=True)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as running:
            loop = running.enter_context(self._runner).get_loop()
            lifespan = self._app.router.lifespan_context(self._app)
            loop.run_until_complete(lifespan.__aenter__())
            running.callback(lambda: loop.run_until_complete(lifespan.__aexit__(None, None, None)))
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """What a coroutine returns that runs in the application's event loop."""
        return self._runner.get_loop().run_until_complete(function(*arguments))


def in_process(app: FastAPI) -> InProcess:
    """As above without a socket, in an event loop of its own: for what no network can change."""
    return InProcess(app)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
