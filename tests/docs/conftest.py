"""What the tests of the documentation share."""

from pathlib import Path

import pytest

from tests import servers
from tests.conftest import SECRET

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture
def environment(valkey: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that the examples take their settings from."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.setenv("JWTSESSION_REDIS_URL", valkey.url)
