"""Each guide starts with the code."""

from pathlib import Path

import pytest

from .conftest import PAGES, ROOT

GUIDES = [
    page
    for page in PAGES
    if page.parent.name in ("guides", "migrate") or page.name in ("index.md", "quickstart.md", "concepts.md")
]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_guide_starts_with_the_code(page: Path) -> None:
    """The first block of code begins on one of the first twelve lines that a reader sees."""
    seen, hidden = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        hidden = hidden or line.startswith("<!--")
        if not hidden:
            seen.append(line)
        hidden = hidden and not line.startswith("-->")
    assert any(line.startswith("```") for line in seen[:12])
