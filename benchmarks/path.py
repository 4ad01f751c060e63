"""Shows the path of a request through jwtsession: `python -m benchmarks.path`; `--calls` lists every call.

The request is a GET with a bearer token, caches are warm, and nobody else asks: first with a `MemorySessionStore`,
then with a Valkey. A switch is a call, or the end of one, that leads from one file of the package to another. A
function that waits has not ended: switches that come of waiting and going on are counted apart.
"""

import argparse
import asyncio
import contextlib
import dis
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

from fastapi import FastAPI

import jwtsession

from .counted import cases
from .direct import Headers, ask, log_in
from .servers import machine

PACKAGE = Path(jwtsession.__file__).parent

_WAITS = {"YIELD_VALUE", "RESUME"}
"""Where a frame stands when it ends only for now: until Python 3.12, and since 3.13."""


class Trace:
    """What ran of the package, in order.

    Attributes:
        calls: The depth, the file and the name of each function that was called.
        functions: All of them, each once.
        switches: From file to file, by calls and by their ends.
        switches_and_waits: The same, and those by waiting and going on.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[int, str, str]] = []
        self.functions: set[CodeType] = set()
        self.switches = 0
        self.switches_and_waits = 0
        self._place = self._place_and_waits = ""
        self._waiting: set[FrameType] = set()

    @property
    def files(self) -> set[str]:
        """All that were entered, as paths in the package."""
        return {_file(each) or "" for each in self.functions}

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Record what this thread does for the length of a `with`."""
        sys.setprofile(self._record)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _record(self, frame: FrameType, event: str, _: object) -> None:
        file = _file(frame.f_code)
        if file is None or event not in ("call", "return"):
            return
        if event == "call":
            goes_on = frame in self._waiting
            self._waiting.discard(frame)
            if not goes_on:
                self.functions.add(frame.f_code)
                self.calls.append((len([*_callers(frame)]), file, frame.f_code.co_qualname))
            self._enter(file, goes_on)
        else:
            waits = dis.opname[frame.f_code.co_code[frame.f_lasti]] in _WAITS
            if waits:
                self._waiting.add(frame)
            # A caller outside the package is no file of it: the file that ended stays the current one.
            self._enter(next(_callers(frame), ""), waits)

    def _enter(self, file: str, by_waiting: bool) -> None:
        if file and file != self._place_and_waits:
            self.switches_and_waits += self._place_and_waits != ""
            self._place_and_waits = file
        if file and not by_waiting and file != self._place:
            self.switches += self._place != ""
            self._place = file


def _file(code: CodeType) -> str | None:
    """The path in the package, or None for what is not of it."""
    path = Path(code.co_filename)
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else None


def _callers(frame: FrameType) -> Iterator[str]:
    """The files of those that called it, and are of the package; the nearest one first."""
    above = frame.f_back
    while above is not None:
        if (file := _file(above.f_code)) is not None:
            yield file
        above = above.f_back


async def trace(app: FastAPI) -> Trace:
    """The path of a request to an application that knows the session."""
    async with app.router.lifespan_context(app):
        headers: Headers = await log_in(app)
        for _ in range(3):
            await ask(app, headers)
        found = Trace()
        with found.recording():
            await ask(app, headers)
        return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.path", description=__doc__)
    parser.add_argument("--calls", action="store_true", help="list every call")
    arguments = parser.parse_args()
    with machine() as bench:
        os.environ.update(bench.environment())
        made = cases()
        apps = {"memory": made["memory"].app, "valkey": made["read"].app}
        found = {name: asyncio.run(trace(app)) for name, app in apps.items()}
    for name, each in found.items():
        print(
            f"{name}: {len(each.functions)} functions of {len(each.files)} files, {len(each.calls)} calls,"
            f" {each.switches} switches, {each.switches_and_waits} with waits"
        )
        for depth, file, function in each.calls if arguments.calls else ():
            print(f"  {file:28}{'  ' * depth}{function}")


if __name__ == "__main__":
    main()
