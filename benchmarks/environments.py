"""The peers' environments: each has its own, with pinned versions, in a folder that git ignores."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
CACHE = ROOT / ".venv-peers"


class UnavailableError(Exception):
    """A peer can't be had here; says why."""


def python(peer: str) -> tuple[Path, dict[str, str]]:
    """The Python of a peer's environment, which is made where it is missing, and the versions in it."""
    pins = (PEERS / f"{peer}.txt").read_text()
    folder = CACHE / peer
    if not _made(folder, pins + sys.version):
        _run(peer, "venv can't make its environment", sys.executable, "-m", "venv", "--clear", str(folder))
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(peer, "pip can't install its packages", *pip, "--requirement", str(PEERS / f"{peer}.txt"))
        _stamp(folder, pins + sys.version)
    versions = dict(line.split("==") for line in pins.split())
    return folder / "bin" / "python", {
        name: versions[name] for name in (peer, "fastapi", "starlette", "redis") if name in versions
    }


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
    shutil.copy(source / "server.js", folder)
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607
    return folder, {"node": version.removeprefix("v")} | json.loads((source / "package.json").read_text())[
        "dependencies"
    ]


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
