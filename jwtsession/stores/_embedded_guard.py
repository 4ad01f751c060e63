"""Runs the embedded server until nobody holds its pipe. A script of the standard library alone: see `embedded.py`.

Arguments: the folder, then the server's command.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """In the server, on Linux: end when the guard is killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def detach() -> None:
    """Leave the application's process group, so that a Ctrl-C reaches the application alone."""
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def main(folder: Path, command: list[str]) -> None:
    """Start the server, wait for the end of the pipe, stop the server."""
    failed = folder / "failed"
    failed.unlink(missing_ok=True)
    pipe = os.open(folder / "users", os.O_RDONLY | os.O_NONBLOCK)
    detach()
    server = subprocess.Popen(command, cwd=folder, preexec_fn=die_with_parent)
    poll = select.poll()
    poll.register(pipe, 0)  # POLLHUP alone: nobody writes
    with (folder / "lock").open("w") as lock:
        while server.poll() is None:
            if not poll.poll(1000):
                continue
            # Under the lock: nobody can join while the server goes away.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if poll.poll(0):
                server.terminate()
                server.wait()
                (folder / "valkey.sock").unlink(missing_ok=True)
                return
            fcntl.flock(lock, fcntl.LOCK_UN)
    failed.touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
