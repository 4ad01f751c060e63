"""The application that a server runs, with Python's garbage collector as the environment wants it; for all alike.

`BENCHMARK_APP` names the application, as `module:name`. `GC_FREEZE` calls `gc.freeze()` when it has started,
`GC_THRESHOLD` is the first threshold. Only the standard library is needed: it runs in every peer's environment.
"""

import gc
import importlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

App = Callable[[Any, Any, Any], Awaitable[None]]


def frozen(app: App) -> App:
    """The application, which puts all that lives when it has started out of the collector's sight."""

    # This is no coroutine function, so that a request costs as usual.
    def call(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            return app(scope, receive, send)

        async def and_freeze(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                gc.collect()
                gc.freeze()
            await send(message)

        return app(scope, receive, and_freeze)

    return call


def chosen() -> App:
    """The application of the environment."""
    if "GC_THRESHOLD" in os.environ:
        gc.set_threshold(int(os.environ["GC_THRESHOLD"]))
    module, _, name = os.environ["BENCHMARK_APP"].partition(":")
    app: App = getattr(importlib.import_module(module), name)
    return frozen(app) if "GC_FREEZE" in os.environ else app


if "BENCHMARK_APP" in os.environ:
    app = chosen()
