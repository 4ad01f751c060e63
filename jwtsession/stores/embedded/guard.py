"""Runs the embedded server until no process holds its pipe. A script that needs the standard library only.

Arguments: the folder where the application's processes meet, the server's directory, the server's command.
Standard input: the pipe's reading end.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 5


def die_with(guard: int) -> None:
    """Called in the server's process. On Linux: end when the guard is killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != guard:
        os._exit(1)


def at_end(seconds: float) -> bool:
    """Whether the pipe is at its end, or reaches it within so many seconds. Nobody writes into it."""
    return bool(select.select([0], [], [], seconds)[0])


def try_lock(descriptor: int) -> bool:
    """Lock the file, unless another process has. Returns whether it is locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def nobody_left(lock: int, seconds: float) -> bool:
    """Whether all processes leave within so many seconds. If so the lock is held: no process can come any more."""
    if not at_end(seconds):
        return False
    if not try_lock(lock):
        time.sleep(0.01)  # a process comes, and may wait for the guard to go on
        return False
    if at_end(0):
        return True
    fcntl.flock(lock, fcntl.LOCK_UN)
    return False


def stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server in order; kill it if it does not end."""
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main(folder: str, home: str, *command: str) -> None:
    """Start the server, wait for the end of the pipe, stop the server, remove the folder."""
    os.umask(0o077)  # the server's too: what it stores is this user's alone
    lock = os.open(folder, os.O_RDONLY)
    # The guard and the server hold this lock as long as they run, so that a directory never has two servers.
    held = os.open(home, os.O_RDONLY)
    while not try_lock(held):
        if nobody_left(lock, 0.05):
            shutil.rmtree(folder, ignore_errors=True)
            return
    if os.fork():
        os._exit(0)  # the application waits for this process; the other one is not its child, so never its zombie
    guard = os.getpid()
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[held], preexec_fn=lambda: die_with(guard))
    while server.poll() is None:
        if nobody_left(lock, 1.0):
            stop(server)
            shutil.rmtree(folder, ignore_errors=True)
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
