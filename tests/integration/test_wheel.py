"""The built wheel, installed without extras where nothing else is."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import jwtsession

pytestmark = pytest.mark.ci

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by what is installed here already."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _run(*command: str, cwd: Path) -> str:
    # Nothing of the checkout on the path: what is imported must be what was installed.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JWTSESSION_"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    """Every file of the package is in it (scripts, type marker, guard too), the plugin of pytest, and no other name."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licenses = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "jwtsession").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert names == package | {"jwtsession_pytest.py"}
    assert {
        "jwtsession/py.typed",
        "jwtsession/settings/weak_secrets.txt",
        "jwtsession/settings/weak_secrets.LICENSE",
        "jwtsession/stores/redis/lua/update.lua",
        "jwtsession/stores/redis/lua/compare_and_delete.lua",
        "jwtsession/stores/embedded/guard.py",
    } <= names
    assert len(licenses) == 1


def test_it_works_where_nothing_else_is_installed(wheel: Path, tmp_path: Path) -> None:
    """Installed without extras, it imports and serves from an empty folder; embedded:// names the missing extra."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    _run(*pip, "install", "--constraint", str(ROOT / "constraints.txt"), str(wheel), cwd=tmp_path)
    _run(*pip, "check", cwd=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    script = str(Path(__file__).with_name("wheel_app.py"))
    report = json.loads(_run(python, "-P", "-W", "error", script, cwd=empty))  # -P: without the script's folder
    assert Path(report["file"]).is_relative_to(tmp_path / "venv")
    assert report["version"] == report["metadata"] == jwtsession.__version__
    assert report["extras"] == []
    assert report["answers"] == [201, [200, {"user_id": 7}], [401, {"detail": "Not authenticated"}]]
    assert report["redis"] is None
    assert "pip install 'fastapi-jwtsession[embedded]'" in report["embedded"]
    assert report["body"] is None
    assert list(empty.iterdir()) == []
