"""The test kit with Playwright, as the guide shows it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests import servers
from tests.example.browsers import QUIET

ROOT = Path(__file__).parents[2]

PAGE = """

from collections.abc import Iterator
from typing import Any
from playwright.sync_api import sync_playwright


@pytest.fixture
def page() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path={program!r}, args={arguments!r})
        yield browser.new_page()
        browser.close()
"""


def test_the_guides_test_with_a_browser_passes(tmp_path: Path) -> None:
    """The browser is logged in by `add_cookies`, at a server in a thread whose provider has the tester's parts."""
    guide = (ROOT / "docs/guides/testing.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL):
        if name in ("app.py", "conftest.py", "test_browser.py"):
            text = text.replace("8765", str(servers.free_port()))
            if name == "conftest.py":
                text += PAGE.format(program=str(servers.program("chromium")), arguments=QUIET)
            (tmp_path / name).write_text(text, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JWTSESSION_", "PYTEST"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "jwtsession_pytest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
