"""A header of the token's own, as the original has it."""

from collections.abc import Sequence

from .base import WHITESPACE


class PlainHeaderTransport:
    """A header that holds the token and nothing else.

    Args:
        header: Its name in lower case.
    """

    def __init__(self, header: str) -> None:
        self.header = header.encode()

    def find(self, values: Sequence[bytes]) -> Sequence[object]:
        """See `HeaderTransport`."""
        tokens = []
        for value in values:  # a comprehension is a call more on Python 3.11
            tokens.append(value.strip(WHITESPACE).decode("latin-1"))  # noqa: PERF401
        return tokens
