"""A short run of the fuzz targets; `make fuzz` runs them for longer."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers

ROOT = Path(__file__).parents[2]


@pytest.mark.ci
@pytest.mark.server
@pytest.mark.parametrize("target", ["decoder", "stored", "cookies", "proofs"])
def test_ten_seconds_of_fuzzing_find_nothing(target: str) -> None:
    """Thousands of inputs, guided by coverage from public vectors on, raise nothing but the errors of the contract."""
    if sys.version_info >= (3, 12):
        pytest.skip("atheris has no wheel for this Python")
    servers.package("atheris", "fuzz")
    command = [sys.executable, "-m", "fuzz", target, "-max_total_time=10", "-print_final_stats=1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs is not None
    assert int(runs[1]) > 1000
