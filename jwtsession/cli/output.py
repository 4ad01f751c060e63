"""`write()`: shows an answer as tables or as JSON, without any of the secrets that the command has seen."""

import contextlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator
from typing import Any, TextIO

from .answer import FAILED, Answer, Table

HIDDEN = "***"


def write(answer: Answer, *, as_json: bool, secrets: Collection[str] = ()) -> None:
    """Write an answer to the standard output; for people, the reason of a failure goes to the standard error.

    Args:
        answer: The answer.
        as_json: Whether to write its document as JSON, and nothing else.
        secrets: Texts that must not be shown, whatever the answer says.
    """
    hide = _Hiding(secrets)
    is_error = not as_json and answer.code == FAILED and set(answer.document) == {"error"}
    stream = sys.stderr if is_error else sys.stdout
    if stream is None:  # the process was started without it: `>&-`
        return
    if as_json:
        print(as_text(hide(answer.document)), file=stream)
        return
    for part in answer.shown:
        if isinstance(part, str):
            print("\n".join(_printable(line, stream) for line in hide(part).split("\n")), file=stream)
        else:
            _show(Table(part.columns, [[_printable(cell, stream) for cell in row] for row in hide(part.rows)]), stream)


def as_text(document: Any) -> str:
    """Return a document as JSON in ASCII, which each locale can write and no terminal obeys."""
    return json.dumps(document, indent=2)


def _printable(text: str, stream: TextIO) -> str:
    """The text, with escapes for what commands a terminal, and for what the stream can't write.

    User agents, claims and the data of sessions come from strangers.
    """
    if not text.isprintable():
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


class _Hiding:
    """Replaces secrets in texts, and in what holds texts."""

    def __init__(self, secrets: Collection[str]) -> None:
        # The longest first: one may be the beginning of another.
        self._secrets = sorted({each for each in secrets if each}, key=len, reverse=True)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, HIDDEN)
            return value
        if isinstance(value, dict):
            return {self(name): self(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self(each) for each in value]
        return value


def _show(table: Table, stream: TextIO) -> None:
    if stream.isatty():
        with contextlib.suppress(ImportError):
            _show_rich(table, stream)
            return
    for line in _plain(table, shutil.get_terminal_size().columns if stream.isatty() else 0):
        print(line, file=stream)


_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red", "skipped": "dim"}


def _show_rich(table: Table, stream: TextIO) -> None:
    """Show a table as rich does. The package is an extra.

    Raises:
        ImportError: It is not installed.
    """
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(show_edge=False, pad_edge=False)
    for name, *cells in zip(table.columns, *table.rows, strict=True):
        # Words are copied, as handles are: they are not cut. Sentences are wrapped.
        made.add_column(name, no_wrap=not any(" " in cell for cell in cells))
    for row in table.rows:
        made.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(file=stream, no_color=bool(os.environ.get("NO_COLOR"))).print(made)


def _plain(table: Table, width: int) -> Iterator[str]:
    """The lines of a table whose columns are as wide as their widest cell.

    Args:
        table: The table.
        width: The width of the terminal. The last column is wrapped to fit. 0 wraps nothing, for a file or a pipe.
    """
    *widths, _ = (max(map(len, cells)) for cells in zip(table.columns, *table.rows, strict=True))
    room = width - sum(widths) - 2 * len(widths)
    for *cells, last in (table.columns, *table.rows):
        lines = textwrap.wrap(last, room) if room >= 20 else [last]
        yield _line([*cells, lines[0] if lines else ""], widths)
        for line in lines[1:]:
            yield _line([*[""] * len(cells), line], widths)


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    *first, last = cells
    padded = [cell.ljust(width) for cell, width in zip(first, widths, strict=True)]
    return "  ".join([*padded, last]).rstrip()
