"""The peers' environments: each has its own, with pinned versions, in a folder that git ignores."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
CACHE = ROOT / ".venv-peers"


class UnavailableError(Exception):
    """A peer can't be had here; says why."""


def python(peer: str, version: str | None = None) -> tuple[Path, dict[str, str]]:
    """The Python of a peer's environment, which is made where it is missing, and the versions in it.

    Args:
        peer: The name of its pins.
        version: Which Python it is to have, `3.13`; None for this one.

    Raises:
        UnavailableError: It can't be had here.
    """
    pins = (PEERS / f"{peer}.txt").read_text()
    name = f"{peer}-{version}" if version else peer
    folder, interpreter = CACHE / name, _interpreter(version) if version else sys.executable
    of = pins + _output(interpreter, "-c", "import sys; print(sys.version)")
    if not _made(folder, of):
        _run(name, "venv can't make its environment", interpreter, "-m", "venv", "--clear", str(folder))
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(name, "pip can't install its packages", *pip, "--requirement", str(PEERS / f"{peer}.txt"))
        _stamp(folder, of)
    versions = dict(line.split("==") for line in pins.split())
    if version:
        versions["python"] = _output(interpreter, "-c", "import platform; print(platform.python_version())")
    shown = (peer, "python", "fastapi", "starlette", "redis", "granian")
    return folder / "bin" / "python", {name: versions[name] for name in shown if name in versions}


def _interpreter(version: str) -> str:
    """Where this Python is: among pyenv's, or on the path."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [str(each) for each in sorted(root.glob(f"versions/{version}.*/bin/python"), key=_by_number)]
    if (on_path := shutil.which(f"python{version}")) is not None:
        found.insert(0, on_path)  # asked last: pyenv's answers only where it is chosen
    for each in reversed(found):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            if _output(each, "-c", "import sys; print(*sys.version_info[:2], sep='.')") == version:
                return each
    raise UnavailableError(f"there is no Python {version}")


def _by_number(path: Path) -> list[int]:
    return [int(each) for each in path.parts[-3].split(".") if each.isdecimal()]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def node(peer: str) -> tuple[Path, dict[str, str]]:
    """The folder of a peer in JavaScript with its packages, and their versions."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise UnavailableError(f"{program} is not installed")
    source, folder = PEERS / peer, CACHE / peer
    lock = (source / "package-lock.json").read_text()
    if not _made(folder, lock):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules"))
        _run(peer, "npm can't install its packages", "npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=folder)
        _stamp(folder, lock)
    for each in source.glob("*.js"):
        shutil.copy(each, folder)
    return folder, {"node": _output("node", "--version").removeprefix("v")} | json.loads(
        (source / "package.json").read_text()
    )["dependencies"]


def _made(folder: Path, of: str) -> bool:
    stamp = folder / "made-of"
    return stamp.is_file() and stamp.read_text() == _digest(of)


def _stamp(folder: Path, of: str) -> None:
    (folder / "made-of").write_text(_digest(of))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _run(peer: str, failure: str, *command: str, cwd: Path = ROOT) -> None:
    CACHE.mkdir(exist_ok=True)
    log = CACHE / f"{peer}.log"
    try:
        with log.open("a") as output:
            subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True)
    except (OSError, subprocess.CalledProcessError):
        # Not its own words: they may name this machine's folders and servers.
        raise UnavailableError(f"{failure}: see {log.relative_to(ROOT)}") from None
