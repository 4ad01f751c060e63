"""Starts the example application as a user does, in a process of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from tests.servers import free_port
from tests.web import bearer

ROOT = Path(__file__).parents[2]


class Shop:
    """A running `python -m example_app`, with a temporary folder that its embedded server lives in."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._redis_url = environment.get("JWTSESSION_REDIS_URL")
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "example_app", "--port", str(self.port)],
                cwd=ROOT,
                env=clean_environment() | {"TMPDIR": str(folder)} | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            wait_for(lambda: "Ctrl-C" in self.output or self.process.poll() is not None, 60)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        assert self.process.poll() is None, self.output

    @property
    def output(self) -> str:
        """What it has printed so far, on both streams."""
        return self._output.read_text()

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=10)

    def embedded(self) -> list[Path]:
        """The sockets of its embedded servers."""
        return list(self.folder.glob("**/valkey.sock"))

    def ask(self, command: bytes) -> bytes:
        """The start of its server's reply."""
        if embedded := self.embedded():
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(embedded[0]))
        else:
            server = urlsplit(self._redis_url or "")
            connection = socket.create_connection((server.hostname, server.port))
        with connection:
            connection.settimeout(5)
            connection.sendall(command + b"\r\n")
            return connection.recv(65_536)

    def end(self, signum: int) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(signum)
        return self.process.wait(15)


@contextlib.contextmanager
def open_shop(**environment: str) -> Iterator[Shop]:
    """A shop for the length of a `with`. Its folder's path is short, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="shop", ignore_cleanup_errors=True) as folder:
        shop = Shop(Path(folder), **environment)
        try:
            yield shop
        finally:
            if shop.process.poll() is None:
                shop.end(signal.SIGINT)
            wait_for(lambda: not shop.embedded())


def clean_environment() -> dict[str, str]:
    """The environment without settings of jwtsession."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("JWTSESSION_")}


def log_in(client: httpx2.Client, name: str = "alice", password: str = "wonderland") -> dict[str, str]:
    """The headers that carry the new session's token."""
    answer = client.post("/token", data={"username": name, "password": password})
    assert answer.status_code == 201, answer.text
    return bearer(answer.json()["access_token"])


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
