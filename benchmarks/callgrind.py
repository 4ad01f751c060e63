"""Counts instructions by callgrind, for the parts of a program that it names itself.

callgrind takes orders from the program that it runs. An order is a sequence of instructions that does nothing where
callgrind does not run. `Callgrind` gives orders, so what runs before and between the counted parts is not counted, and
is ten times as fast.
"""

import ctypes
import functools
import mmap
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .environments import ROOT

# valgrind.h, amd64: rax has the address of the order, rdi is turned by 128 bits, and an instruction that does nothing.
_ORDER = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
_TOOL = ord("C") << 24 | ord("T") << 16
_ZERO, _DUMP, _START, _STOP = _TOOL + 1, _TOOL + 3, _TOOL + 4, _TOOL + 5

_SECONDS = 1_800
"""A run ends after so many: more than a busy machine needs."""

SAME_EVERYWHERE = {
    # The order of sets is the same in each run.
    "PYTHONHASHSEED": "0",
    # C's library and OpenSSL take the code that every x86-64 has, and not that of this processor.
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps="
    "-AVX2,-AVX,-AVX512F,-AVX512VL,-AVX512BW,-BMI1,-BMI2,-ERMS,-FSRM,-FMA,-FMA4,-LZCNT,-MOVBE,-POPCNT,-RTM,-SSE4_1,"
    "-SSE4_2,-SSSE3",
    "OPENSSL_ia32cap": "0:0",
}
"""What the counted program is told, so that the count depends neither on the run nor on the processor."""


class Callgrind:
    """Gives orders to the callgrind that runs this process. Without one they do nothing."""

    def __init__(self) -> None:
        self._code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._code.write(_ORDER)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        self._texts: list[object] = []
        self._give = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)
        self.start = self._order(_START)
        """Count from now on."""
        self.stop = self._order(_STOP)
        """Count no more."""
        self.zero = self._order(_ZERO)
        """Forget what was counted until now."""

    def dump(self, name: str) -> Callable[[], object]:
        """Make the order to write what was counted into a file, under this name, and to count from zero."""
        return self._order(_DUMP, name.encode())

    def _order(self, number: int, name: bytes = b"") -> Callable[[], object]:
        # All is made before: the order itself is counted too.
        text = ctypes.create_string_buffer(name)
        arguments = (ctypes.c_uint64 * 6)(number, ctypes.addressof(text))
        self._texts.append(text)  # the order has only their addresses
        return functools.partial(self._give, ctypes.byref(arguments))


def unavailable() -> str:
    """Why nothing can be counted here; empty where it can."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        return f"instructions are counted on Linux and x86-64, and this is {sys.platform} on {platform.machine()}"
    return "" if shutil.which("valgrind") else "valgrind is not installed"


def counts(module: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> dict[str, int]:
    """Run a module of this repository under callgrind, and read what it dumped.

    Args:
        module: What `python -m` runs.
        arguments: Its command line.
        environment: All of its environment but `SAME_EVERYWHERE`.
        folder: Where callgrind's files stay.

    Raises:
        RuntimeError: It failed.
    """
    for old in folder.glob("counts.*"):
        old.unlink()
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counts"]
    command += [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, **SAME_EVERYWHERE},
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return dict(total(file.read_text()) for file in folder.glob("counts.*"))


def total(output: str) -> tuple[str, int]:
    """The name and the total of one file of callgrind."""
    found = re.search(r"^desc: Trigger: Client Request: (.*)$", output, re.MULTILINE)
    number = re.search(r"^totals: (\d+)$", output, re.MULTILINE)
    if found is None or number is None:
        raise ValueError("no file of callgrind that was asked for by the program")
    return found[1], int(number[1])
