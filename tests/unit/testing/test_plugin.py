"""The plugin of pytest: its fixtures in a user's small project, and what it costs where nobody uses it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.server, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs/guides/testing.md"


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Python in a folder of a user's, without settings. An installation may be older than the checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JWTSESSION_", "PYTEST"))}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def pytest_in(folder: Path, *options: str) -> str:
    """What pytest says about a folder's tests, with the plugin."""
    plugin = ("-p", "jwtsession_pytest", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = run("-m", "pytest", "-q", "-W", "error", *plugin, *options, folder=folder)
    return done.stdout + done.stderr


def files_of_the_guide() -> dict[str, str]:
    """The files that the guide shows, by the comment in their first line."""
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    files: dict[str, str] = {}
    for name, text in blocks:
        files[name] = files.get(name, "") + text
    return files


def test_the_guides_project_passes_its_tests(tmp_path: Path) -> None:
    """A user's application, `conftest.py` and tests, as the guide shows them, without settings and without a server."""
    files = files_of_the_guide()
    assert {"app.py", "conftest.py", "test_app.py"} <= files.keys()
    del files["test_browser.py"]  # it needs a browser
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    said = pytest_in(tmp_path)
    number = sum(len(re.findall(r"^(?:async )?def test_", text, re.MULTILINE)) for text in files.values())
    assert number > 8
    assert f"{number - 1} passed, 1 skipped" in said, said


def test_who_has_not_named_the_provider_reads_what_to_write(tmp_path: Path) -> None:
    """The fixture fails with the lines for `conftest.py`, and shows no traceback."""
    (tmp_path / "test_it.py").write_text("def test_it(session_tester): ...\n", encoding="utf-8")
    said = pytest_in(tmp_path)
    assert "def session_provider():" in said
    assert "Traceback" not in said
    assert "1 error" in said


def test_loading_it_costs_next_to_nothing(tmp_path: Path) -> None:
    """It imports pytest, and neither FastAPI nor this package: below 5 ms."""
    code = (
        "import sys, time, pytest\n"
        "begin = time.perf_counter()\n"
        "import jwtsession_pytest\n"
        "spent = time.perf_counter() - begin\n"
        "assert not {'fastapi', 'starlette', 'pydantic', 'redis', 'jwt', 'jwtsession'} & {*sys.modules}\n"
        "print(spent)"
    )
    spent = [float(run("-c", code, folder=tmp_path).stdout) for _ in range(3)]
    assert min(spent) < 0.005


def test_the_kit_needs_no_client(tmp_path: Path) -> None:
    """`import jwtsession.testing` imports neither httpx2 nor httpx: not every user of the kit has one."""
    clients = {"httpx", "httpx2", "starlette.testclient", "pytest"}
    done = run("-c", f"import sys, jwtsession.testing\nassert not {clients} & {{*sys.modules}}", folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_it_may_be_named_too(tmp_path: Path) -> None:
    """`-p jwtsession_pytest` beside the entry point, twice, or switched off: no run breaks."""
    (tmp_path / "test_it.py").write_text("def test_it(): ...\n", encoding="utf-8")
    assert "1 passed" in pytest_in(tmp_path, "-p", "jwtsession_pytest")
    assert "1 passed" in pytest_in(tmp_path, "-p", "no:jwtsession_pytest")
