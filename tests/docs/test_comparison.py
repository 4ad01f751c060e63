"""The comparison with other packages: the README shows a part of the page, and each cell has its source."""

from .conftest import ROOT


def tables(page: str, heading: str) -> list[list[str]]:
    """The rows of the table under a heading, each a list of cells, its head first."""
    text = (ROOT / page).read_text(encoding="utf-8").partition(f"{heading}\n")[2]
    lines = text[text.index("\n|") + 1 :].split("\n\n")[0].splitlines()
    found = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return [found[0], *found[2:]]


def test_the_readmes_table_is_a_part_of_the_pages() -> None:
    """The same packages, and some of the rows in the same words and order; links aside."""
    whole, short = tables("docs/comparison.md", "# How it compares"), tables("README.md", "## How it compares")
    assert short == [row for row in whole if row in short]
    assert short[0] == whole[0]
    assert len(short) > 10


def test_each_cell_has_its_source() -> None:
    """The second table has the rows and the columns of the first, but for this package's own."""
    whole, sources = (
        tables("docs/comparison.md", "# How it compares"),
        tables("docs/comparison.md", "## Where it stands"),
    )
    assert [row[0] for row in sources] == [row[0] for row in whole]
    assert sources[0][1:] == whole[0][2:]
    for row, source in zip(whole[1:], sources[1:], strict=True):
        assert len(row) - 1 == len(source) == 6
        assert all([*row, *source])
