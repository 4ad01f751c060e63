"""No process outlives the one that started it, however that one ends: killed, crashed or by Ctrl-C.

`end_all_with_this_process()` starts this file as a process of its own. It is told each process that is started, and
kills what is left when its pipe ends: the kernel closes that with the process that holds the other end.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

_teller = -1
"""The writing end of the pipe."""
_owner = 0
"""The process whose pipe that is. What the processes that it forks start is their own affair."""


class _Popen(subprocess.Popen[Any]):
    """Tells of the process before anybody can use it, and once it has ended, since another may get its number."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _tell(self.pid)

    def poll(self) -> int | None:
        before, code = self.returncode, super().poll()
        if before is None and code is not None:
            _tell(-self.pid)
        return code

    def wait(self, timeout: float | None = None) -> int:
        before, code = self.returncode, super().wait(timeout)
        if before is None:
            _tell(-self.pid)
        return code


def end_all_with_this_process() -> None:
    """Whatever `subprocess` and `asyncio` start from here on ends with this process at the latest."""
    global _teller, _owner
    reading, _teller = os.pipe()
    _owner = os.getpid()
    quiet = [(os.POSIX_SPAWN_OPEN, out, os.devnull, os.O_WRONLY, 0) for out in (1, 2)]
    files = [(os.POSIX_SPAWN_DUP2, reading, 0), *quiet]
    os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", __file__], os.environ, file_actions=files)
    os.close(reading)
    subprocess.Popen = _Popen  # type: ignore[misc]


def _tell(pid: int) -> None:
    if _owner == os.getpid():
        os.write(_teller, b"%d\n" % pid)


def _began(pid: int) -> str | None:
    """When a process began, in the system's own terms, where the system tells; by that it is known again."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return None


def main() -> None:
    """Read the numbers of processes until the pipe ends; those that have ended come with a minus."""
    os.setsid()  # Ctrl-C in a terminal is for others
    running: dict[int, str | None] = {}
    for line in sys.stdin:
        pid = int(line)
        if pid > 0:
            running[pid] = _began(pid)
        else:
            running.pop(-pid, None)
    for pid, began in running.items():
        if _began(pid) == began:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
