"""What a test run starts ends with it, however that ends; and a test that hangs does not end the run."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers

pytestmark = pytest.mark.ci

ROOT = Path(__file__).parents[2]
PYTEST = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-o", "addopts="]

STARTS_A_SERVER = """
import os
import time
from pathlib import Path

def test_that_waits(valkey_server):
    Path({found!r}).write_text(f"{{os.getpid()}} {{valkey_server.process.pid}}")
    time.sleep(100)
"""

HANGS = """
import asyncio
import time

import pytest

from tests import conftest

conftest.LIMIT_SECONDS = 1

@pytest.fixture(autouse=True)
def torn_down():
    yield
    print("torn down")

def test_that_blocks():
    time.sleep(100)

async def test_that_waits():
    await asyncio.Event().wait()

async def test_that_spins():
    async with asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(spin())

async def spin():
    while True:
        await asyncio.sleep(0)

async def test_of_another_kind():
    pass
"""


@pytest.mark.parametrize(
    ("workers", "signum"),
    [(0, signal.SIGSEGV), (0, signal.SIGTERM), (1, signal.SIGKILL)],
    ids=["crashed", "terminated", "a worker of xdist killed"],
)
def test_a_server_ends_with_the_run_that_started_it(tmp_path: Path, signum: int, workers: int) -> None:
    """With no time for a goodbye: the run's server is gone."""
    found, test, log = (tmp_path / name for name in ("found", "test_it.py", "log"))
    test.write_text(STARTS_A_SERVER.format(found=str(found)))
    with log.open("wb") as output:
        run = subprocess.Popen([*PYTEST, f"-n{workers}", test], cwd=ROOT, stdout=output, stderr=output)
    servers.until(lambda: len(found.read_text().split()) == 2, "the server of the run")
    pid, server = map(int, found.read_text().split())
    assert _runs(server)
    os.kill(pid, signum)
    servers.until(lambda: not _runs(server), "the end of the server")
    run.kill()
    run.wait()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_test_that_hangs_fails_and_the_run_goes_on(tmp_path: Path) -> None:
    """Whether it blocks, waits, or spins on an event loop: its fixtures are torn down, and the next test runs."""
    (tmp_path / "test_it.py").write_text(HANGS)
    command = [*PYTEST, "-o", "anyio_mode=auto", tmp_path / "test_it.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.search("3 failed, 1 passed", done.stdout), done.stdout
    assert done.stdout.count("torn down") >= 3
    assert done.stdout.count("the test took too long") >= 3
