"""mypy and pyright infer the user's types through the generics, and refuse what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers

pytestmark = pytest.mark.ci

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


def lines_with_errors(checker: str, file: Path) -> set[int]:
    servers.package(checker, "types")
    if checker == "mypy":
        command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--output", "json", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert not done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return {item["line"] for item in found if item["severity"] == "error"}
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    report = json.loads(done.stdout)["generalDiagnostics"]
    return {item["range"]["start"]["line"] + 1 for item in report if item["severity"] == "error"}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_users_types_are_inferred(checker: str) -> None:
    """Every assert_type holds, in strict mode, without a cast or an ignore."""
    assert lines_with_errors(checker, FOLDER / "accepted.py") == set()


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_wrong_types_are_refused(checker: str) -> None:
    """Each line that is marked is an error, and no other is."""
    file = FOLDER / "refused.py"
    marked = {number for number, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("# refused")}
    assert lines_with_errors(checker, file) == marked
