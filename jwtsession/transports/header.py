"""A header that holds only the token, as the Node original has it (`x-access-token`)."""

from collections.abc import Sequence

from .base import WHITESPACE


class PlainHeaderTransport:
    """Finds the tokens in a header that holds only the token.

    Args:
        header: The header's name in lower case.
    """

    def __init__(self, header: str) -> None:
        self.header = header.encode()

    def find(self, values: Sequence[bytes]) -> Sequence[object]:
        """See `HeaderTransport`."""
        tokens = []
        for value in values:  # a loop: on Python 3.11 a comprehension costs one more call
            tokens.append(value.strip(WHITESPACE).decode("latin-1"))  # noqa: PERF401
        return tokens
