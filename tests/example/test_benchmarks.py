"""The benchmark runs, and its report says what somebody needs who measures again."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

from .shop import ROOT, clean_environment

APPS = ("bare", "handwritten", "jwtsession")


def test_the_benchmark_measures_and_reports(tmp_path: Path) -> None:
    """A tiny run measures all three applications, prints the table and writes the JSON; no server is left."""
    report = tmp_path / "new" / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--seconds", "0.9", "--json", str(report)],
        cwd=ROOT,
        env=clean_environment() | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(app in done.stdout for app in APPS)
    assert done.stdout.endswith(f"{report}\n")
    assert list(tmp_path.iterdir()) == [report.parent]  # the folder of the Valkey is gone

    found = json.loads(report.read_text())
    assert found["engine"].startswith("valkey ")
    assert found["seconds"] == 0.9
    assert found["rounds"] >= 3
    assert {"python", "fastapi", "redis", "PyJWT", "jwtsession", "uvicorn"} <= found["versions"].keys()
    assert {"system", "processor", "cores"} <= found["machine"].keys()
    assert {"time", "commit", "changed_files"} <= found.keys()

    assert {(each["app"], each["connections"]) for each in found["results"]} == set(product(APPS, (1, 64)))
    for each in found["results"]:
        for name in ("requests_per_second", "latency_p50_us", "latency_p99_us"):
            assert 0 < each[name]["p25"] <= each[name]["median"] <= each[name]["p75"], name
        assert each["latency_p50_us"]["median"] <= each["latency_p99_us"]["median"]
    assert {(each["cost"], each["connections"]) for each in found["added"]} == set(
        product(("time_us", "cpu_us"), (1, 64))
    )
    for each in found["added"]:
        assert "ratio" in each  # null where noise swallowed every difference
        if each["cost"] == "time_us" or Path("/proc/self/stat").exists():
            assert {"median", "p25", "p75"} == each["handwritten"].keys() == each["jwtsession"].keys()
