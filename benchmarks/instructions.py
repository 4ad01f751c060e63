"""Counts the machine instructions of a request: `python -m benchmarks.instructions`. It needs valgrind.

Time differs from run to run by several percent, a count of instructions by a thousandth: it shows whether a change made
the code that runs at each request longer. All applications run in one process under `valgrind --tool=callgrind`,
without sockets to clients and without the garbage collector, and 64 clients ask at the same time. What the Valkey does,
which two of them ask, is not counted.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from fastapi import FastAPI

from .direct import CONNECTIONS, ask_often, log_in
from .servers import machine, process

NAMES = {
    "bare": "FastAPI alone",
    "empty": "a dependency that does nothing",
    "memory": "jwtsession, MemorySessionStore",
    "valkey": "jwtsession, Valkey",
    "handwritten": "PyJWT + redis-py by hand, Valkey",
}
EACH = 20
"""Requests of each client."""

_WARM_UP = 3
_MARK = "getloadavg"
"""A function of C's library that nothing calls but `os.getloadavg`: callgrind writes a file of its counts there."""


class SlowLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is as slow as everything under callgrind: no time limit of a store ends early."""

    def time(self) -> float:
        """In units of 100 seconds."""
        return time.monotonic() / 100


def applications() -> dict[str, FastAPI]:
    """Those that are compared. The environment must name a Valkey: `JWTSESSION_REDIS_URL`."""
    from jwtsession import MemorySessionStore, SessionProvider

    from . import apps

    memory = apps.with_sessions(SessionProvider(apps.UserSession, store=MemorySessionStore()))
    found = {"bare": apps.bare, "empty": apps.empty, "memory": memory}
    return found | {"valkey": apps.jwtsession, "handwritten": apps.handwritten}


async def run(apps: Iterable[FastAPI], each: int, mark: Callable[[], object]) -> None:
    """Let the clients of one application after the other ask, with a mark before and after.

    Args:
        apps: One or more.
        each: Requests of each client.
        mark: What is counted until here belongs to the step that ends here.
    """
    async with contextlib.AsyncExitStack() as stack:
        clients = {}
        for app in apps:
            await stack.enter_async_context(app.router.lifespan_context(app))
            clients[app] = [await log_in(app) for _ in range(CONNECTIONS)]
            await ask_often(app, clients[app], _WARM_UP)
        gc.collect()
        gc.disable()
        for app, headers in clients.items():
            mark()
            await ask_often(app, headers, each)
            mark()
        gc.enable()


def instructions(output: str) -> int:
    """The total of one file of callgrind."""
    return next(int(line.split()[1]) for line in output.splitlines() if line.startswith("totals:"))


def count(each: int, folder: Path) -> dict[str, int]:
    """The instructions of a request to each application. callgrind's files stay in the folder.

    Raises:
        RuntimeError: callgrind failed.
    """
    command = ["valgrind", "--tool=callgrind", f"--dump-before={_MARK}", f"--callgrind-out-file={folder}/counts"]
    command += [sys.executable, "-m", "benchmarks.instructions", "--each", str(each), "--in-this-process"]
    with machine() as bench, (folder / "log").open("wb") as log:
        # The order of sets and dictionaries is the same in each run.
        environment = bench.environment() | {"PYTHONHASHSEED": "0"}
        with process(command, bench.own(), env=environment, stdout=log, stderr=log) as running:
            status = running.wait()
    files = [folder / f"counts.{number}" for number in range(1, 2 * len(NAMES) + 1)]
    if status != 0 or not files[-1].exists():
        raise RuntimeError((folder / "log").read_text())
    # At each odd mark nothing ends but what stands between two applications.
    return {
        name: instructions(file.read_text()) // (each * CONNECTIONS)
        for name, file in zip(NAMES, files[1::2], strict=True)
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument(
        "--each", type=int, default=EACH, help="requests of each of the 64 clients (default: %(default)s)"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where callgrind's files are kept")
    parser.add_argument("--in-this-process", action="store_true", help="count nothing: what callgrind runs")
    arguments = parser.parse_args()
    if arguments.in_this_process:
        with asyncio.Runner(loop_factory=SlowLoop) as runner:
            runner.run(run(applications().values(), arguments.each, os.getloadavg))
        return
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = count(arguments.each, folder.resolve())
    print(f"Instructions of a request, {CONNECTIONS} in flight; what a session adds to FastAPI alone")
    for name, title in NAMES.items():
        print(f"  {title:34}{found[name]:>10,}{found[name] - found['bare']:>+10,}")


if __name__ == "__main__":
    main()
