"""Runs the tests that other Pythons may break on every one from 3.11 on that this machine has.

Debian's and Ubuntu's own, those of pyenv, and `python3.x` on the PATH; the one that starts this script runs all tests
by `make test`, and is left out. Each gets an environment of its own, and one failure fails the run.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

FACTS = "import sys; print(*sys.version_info[:3], sys.implementation.name)"
NEWEST = 20


def candidates() -> list[Path]:
    """Where a Python may be."""
    names = ["python3", *(f"python3.{minor}" for minor in range(11, NEWEST))]
    folders = [Path("/usr/bin"), *(Path(each) for each in os.environ.get("PATH", "").split(os.pathsep) if each)]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [*(folder / name for folder in folders for name in names), *sorted(versions.glob("3.*/bin/python"))]


def found() -> dict[str, Path]:
    """Each CPython from 3.11 on by its version, without the one that runs this."""
    pythons: dict[tuple[int, ...], Path] = {}
    for path in candidates():
        if not os.access(path, os.X_OK):
            continue
        # A shim of pyenv stands for a version that is not chosen: it fails.
        facts = subprocess.run([path, "-c", FACTS], capture_output=True, text=True, check=False).stdout.split()
        if len(facts) == 4 and facts[3] == "cpython":
            version = tuple(map(int, facts[:3]))
            if version >= (3, 11) and version != sys.version_info[:3]:
                pythons.setdefault(version, path)
    return {".".join(map(str, version)): path for version, path in sorted(pythons.items())}


def main() -> int:
    """Run `make python` for each; 1 where one of them failed."""
    failed = []
    # This script is no part of a make that starts it: that one's jobs are not to be shared.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    pythons = found()
    for version, path in pythons.items():
        begun = time.monotonic()
        print(f"Python {version}: {path}", flush=True)
        command = ["make", "--no-print-directory", "python", f"PYTHON={path}", f"VENV=.venv-{version}"]
        fine = subprocess.run(command, env=environment, check=False).returncode == 0
        print(f"Python {version}: {'fine' if fine else 'FAILED'}, {time.monotonic() - begun:.0f} s", flush=True)
        if not fine:
            failed.append(version)
    print(f"{len(pythons)} other Pythons, {len(failed)} failed {' '.join(failed)}".rstrip())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
