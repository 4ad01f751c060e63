"""What processes cost, and where they run."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Sequence[int]) -> float | None:
    """The CPU time of these processes so far, with all their threads; None where the system does not tell."""
    found = [_cpu_seconds(Path(f"/proc/{pid}")) for pid in pids]
    return None if None in found else sum(each for each in found if each is not None)


def _cpu_seconds(process: Path) -> float | None:
    try:
        # Nanoseconds, for each thread.
        return sum(int(each.read_text().split()[0]) for each in process.glob("task/*/schedstat")) / 1e9 or _coarse(
            process
        )
    except FileNotFoundError:
        return _coarse(process)


def _coarse(process: Path) -> float | None:
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS  # utime and stime: see proc(5)


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        children = []
    return [pid, *(found for child in children for found in family(int(child)))]


def resident_bytes() -> int:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cores() -> list[int]:
    """Those that this process may use; none where that can't be known or set."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pinned_to(chosen: Iterable[int]) -> Callable[[], None]:
    """For `preexec_fn`: the new process stays on these cores. Without any it may run everywhere."""
    wanted = [*chosen]

    def pin() -> None:
        if wanted:
            os.sched_setaffinity(0, wanted)

    return pin
