"""The application that a server runs, with Python's garbage collector as the environment wants it; for all alike.

`BENCHMARK_APP` names the application, as `module:name`. `GC_FREEZE` calls `gc.freeze()` when it has started,
`GC_THRESHOLD` is the first threshold, `GC_COUNTS` counts what the collector does. Only the standard library is needed:
it runs in every peer's environment.
"""

import gc
import importlib
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

App = Callable[[Any, Any, Any], Awaitable[None]]

COUNTS = "/collector"
"""Where `counted` answers what it has counted. A POST there freezes first."""


def frozen(app: App) -> App:
    """The application, which puts all that lives when it has started out of the collector's sight."""

    # This is no coroutine function, so that a request costs as usual.
    def call(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            return app(scope, receive, send)

        async def and_freeze(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                _freeze()
            await send(message)

        return app(scope, receive, and_freeze)

    return call


def counted(app: App) -> App:
    """The application, which also tells what the collector has done since it was asked for that the last time.

    The answer at `COUNTS` is the number of collections of each generation, the CPU time of all of them, and that of the
    longest, in seconds.
    """
    counts, seconds, began = [0, 0, 0], list[float](), 0.0

    def collected(phase: str, about: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
        else:
            seconds.append(time.thread_time() - began)
            counts[about["generation"]] += 1

    async def answer(freezes: bool, send: Any) -> None:
        if freezes:
            _freeze()
        told = {"collections": counts[:], "seconds": sum(seconds), "longest": max(seconds, default=0.0)}
        counts[:] = [0, 0, 0]
        seconds.clear()
        body = json.dumps(told).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def call(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] == COUNTS:
            return answer(scope["method"] == "POST", send)
        return app(scope, receive, send)

    gc.callbacks.append(collected)
    return call


def _freeze() -> None:
    gc.collect()
    gc.freeze()


def chosen() -> App:
    """The application of the environment."""
    if "GC_THRESHOLD" in os.environ:
        gc.set_threshold(int(os.environ["GC_THRESHOLD"]))
    module, _, name = os.environ["BENCHMARK_APP"].partition(":")
    app: App = getattr(importlib.import_module(module), name)
    if "GC_FREEZE" in os.environ:
        app = frozen(app)
    return counted(app) if "GC_COUNTS" in os.environ else app


if "BENCHMARK_APP" in os.environ:
    app = chosen()
