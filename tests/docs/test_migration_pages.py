"""The migration guides show the applications of tests/migrations, which run there."""

import re
from pathlib import Path

import pytest

from .conftest import ROOT

PAGES = [*sorted((ROOT / "docs/migrate").glob("*.md"))]
APPLICATIONS = ROOT / "tests/migrations"
BLOCK = re.compile(r"/blob/main/(tests/migrations/\w+/\w+\.py)\)(?P<rest>[^\n]*\n\n```py\n).*?^```$", re.DOTALL | re.M)
"""A paragraph with a link to a file, and the block that follows it."""


def shown(page: str) -> str:
    """The page with each file as it is now."""

    def block(found: re.Match[str]) -> str:
        return f"/blob/main/{found[1]}){found['rest']}{(ROOT / found[1]).read_text(encoding='utf-8')}```"

    return BLOCK.sub(block, page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_guide_shows_the_code_that_is_tested(page: Path) -> None:
    """Each block below a link to a file is that file: `python -m tests.docs.test_migration_pages` writes it anew."""
    text = page.read_text(encoding="utf-8")
    assert shown(text) == text


def test_no_application_is_left_out() -> None:
    """Each file of an application, before and after, stands in one guide, and no guide has another `py` block."""
    files = [str(file.relative_to(ROOT)) for file in APPLICATIONS.glob("*/*.py") if file.name != "__init__.py"]
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert sorted(found[1] for found in BLOCK.finditer(text)) == sorted(files)
    assert text.count("```py\n") == len(files)


def main() -> None:
    """Write the files into the guides."""
    for page in PAGES:
        page.write_text(shown(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
