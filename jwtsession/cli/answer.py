"""`Answer`: what a command found out, in the two forms in which it can be shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

FINE, WARNINGS, FAILED = 0, 1, 2
"""The exit codes. 1 is for warnings, and only with `--strict`."""


class Table(NamedTuple):
    """Rows with a heading each column."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Answer:
    """What a command found out.

    Args:
        document: Everything, as what JSON can hold.
        shown: The same for people: lines and tables.
        code: The exit code.
    """

    document: Any
    shown: Sequence[str | Table]
    code: int = FINE


def failure(message: str) -> Answer:
    """An answer that says why a command could not do its work."""
    return Answer({"error": message}, [f"error: {message}"], FAILED)
