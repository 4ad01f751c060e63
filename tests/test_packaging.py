"""What is installed, by users and by the Makefile: names, floors, pins, and the scripts that make environments."""

import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
# What security advisories name as the first version without a known fault, as of November 2026.
MENDED = {
    "cryptography": "50.0.0",  # CVE-2026-69247
    "pydantic-settings": "2.14.2",  # GHSA-4xgf-cpjx-pc3j
    "pyjwt": "2.13.0",  # CVE-2026-48526
    "python-multipart": "0.0.31",  # CVE-2026-53540
    "starlette": "1.3.1",  # CVE-2026-54283
}


def parsed(lines: Iterable[str]) -> dict[str, Requirement]:
    """Requirements by the one spelling of their names."""
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(each.name): each for each in found}


def pins(name: str) -> dict[str, Requirement]:
    return parsed((ROOT / name).read_text(encoding="utf-8").splitlines())


def floors() -> dict[str, Version]:
    """The oldest version of each package that pyproject.toml accepts."""
    extras = PROJECT["optional-dependencies"].values()
    wanted = parsed([*PROJECT["dependencies"], *(line for extra in extras for line in extra)])
    lowest = {name: [Version(s.version) for s in each.specifier if s.operator == ">="] for name, each in wanted.items()}
    assert all(len(versions) == 1 for versions in lowest.values())
    return {name: version for name, (version,) in lowest.items()}


def group(name: str) -> set[str]:
    """The packages of a dependency group, with those of the groups that it includes."""
    found: set[str] = set()
    for item in PYPROJECT["dependency-groups"][name]:
        found |= group(item["include-group"]) if isinstance(item, dict) else {*parsed([item])}
    return found


def test_the_floors_are_what_make_floors_tests() -> None:
    """floors.txt pins the oldest version of each dependency and of each extra's, no other."""
    pinned = {name: Version(str(each.specifier).removeprefix("==")) for name, each in pins("floors.txt").items()}
    assert pinned == floors()


def test_no_floor_lies_below_a_known_advisory() -> None:
    """A user's resolver can't choose a version whose fault was published."""
    lowest = floors()
    assert {name for name, mended in MENDED.items() if lowest[name] < Version(mended)} == set()


def test_the_readme_names_the_floors() -> None:
    """The versions of Python and FastAPI that the README asks for are those of pyproject.toml."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"Python {PROJECT['requires-python'].removeprefix('>=')} or newer, FastAPI {floors()['fastapi']}" in readme


def test_the_pins_are_versions_that_the_package_accepts() -> None:
    """constraints.txt leaves no dependency out, and contradicts no range of pyproject.toml."""
    pinned = pins("constraints.txt")
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        wanted = Requirement(line)
        (pin,) = pinned[canonicalize_name(wanted.name)].specifier
        assert wanted.specifier.contains(pin.version), line
    for name in PYPROJECT["dependency-groups"]:
        assert group(name) - {"fastapi-jwtsession"} <= set(pinned), name


def test_the_tests_need_no_documentation_packages_and_no_linters() -> None:
    """What `make test` installs has nothing of the other groups: each of them can fail on some Python."""
    assert group("example") <= group("test")
    for other in ("migrations", "docs", "lint", "fuzz"):
        assert group("test") & group(other) == set()
    parts = ("test", "migrations", "docs", "lint", "fuzz")
    assert group("dev") == set().union(*map(group, parts))


def test_the_distribution_is_not_a_strangers() -> None:
    """Nothing tells a user to install `jwtsession`, which is somebody else's on the package index."""
    assert PROJECT["name"] == "fastapi-jwtsession"
    folders = [ROOT / each for each in ("jwtsession", "example_app", "docs", "benchmarks", ".github")]
    files = [path for folder in folders for path in folder.rglob("*.*") if path.suffix in (".py", ".md", ".yml")]
    for path in [*files, *ROOT.glob("*.md")]:
        told = re.findall(r"pip install[^\n`|]*|(?<![\w.-])jwtsession\[[a-z, ]+\]", path.read_text(encoding="utf-8"))
        assert not [line for line in told if re.search(r"(?<![\w.-])jwtsession(\[|\b(?!\.))", line)], path


def test_no_file_names_a_package_index() -> None:
    """Where packages come from is the machine's business, and pip's default."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not listed:
        pytest.skip("not a clone")
    host = re.compile(rb"(pypi\.org|pythonhosted|registry\.npmjs|npmmirror)")
    for name in listed.split("\0"):
        if name and not name.startswith("tests/test_packaging.py"):
            assert not host.search((ROOT / name).read_bytes()), name


@pytest.mark.ci
@pytest.mark.server
@pytest.mark.parametrize("version", ["3.11.0", "3.14.0"])
def test_every_supported_python_finds_its_pins(version: str, tmp_path: Path) -> None:
    """Each pin has a build for the first and the newest Python; pip itself would ask for this one's markers."""
    python = {"python_full_version": version, "python_version": version.rpartition(".")[0]}
    wanted = [each for each in pins("constraints.txt").values() if not each.marker or each.marker.evaluate(python)]
    requirements = tmp_path / "pins.txt"
    requirements.write_text("\n".join(f"{each.name}{each.specifier}" for each in wanted), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
    command += ["--python-version", version, "--only-binary=:all:", "--target", str(tmp_path / "target")]
    done = subprocess.run([*command, "-r", requirements], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def environment(folder: Path) -> Any:
    """Run .ci/environment.py as the Makefile does, within this process: its last word."""
    return runpy.run_path(str(ROOT / ".ci/environment.py"))["main"](folder)


def test_a_python_that_makes_no_environments_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's has no ensurepip before python3-venv is installed: the answer is a line to copy, not a traceback."""
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    reason = environment(tmp_path / "venv")
    assert "no module ensurepip" in reason
    assert "apt install python3-venv\n" in reason
    assert "PYTHON=" in reason
    assert not (tmp_path / "venv").exists()


def test_an_old_python_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names its version and the one that is needed."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 2))
    monkeypatch.setattr(sys, "version", "3.10.2 (main)")
    assert "3.11 or newer is needed" in environment(tmp_path)
    assert "is 3.10.2" in environment(tmp_path)


@pytest.mark.server
@pytest.mark.ci
def test_an_environment_is_made_anew_for_another_python_only(tmp_path: Path) -> None:
    """`make test PYTHON=...` never runs on the Python of an earlier one, and a second run changes nothing."""
    folder = tmp_path / "venv"
    other = folder / "bin" / "python"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\necho 3.11.1 /opt/other\n")
    other.chmod(0o755)
    assert environment(folder) is None
    made = folder / "pyvenv.cfg"
    before = made.stat().st_mtime_ns
    assert environment(folder) is None
    assert made.stat().st_mtime_ns == before
    found = subprocess.run([other, "-c", "import pip, sys; print(sys.version)"], capture_output=True, text=True)
    assert found.stdout.strip() == sys.version


@pytest.mark.parametrize("status", [0, 1])
def test_one_python_that_fails_fails_them_all(tmp_path: Path, status: int) -> None:
    """Each Python that is found has its turn, and the failure of one is the run's."""
    for version in ("3.97.1", "3.98.2", "3.10.9"):
        python = tmp_path / "versions" / version / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\necho {version.replace('.', ' ')} cpython\n")
        python.chmod(0o755)
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\ncase "$*" in *3.97.1*) exit {status};; esac\n')
    make.chmod(0o755)
    done = subprocess.run(
        [sys.executable, ROOT / ".ci/pythons.py"],
        env=os.environ | {"PATH": f"{tmp_path}", "PYENV_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert ("Python 3.97.1: FAILED" in done.stdout) == bool(status)
    assert "Python 3.98.2: fine" in done.stdout
    assert "3.10.9" not in done.stdout
