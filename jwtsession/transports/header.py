"""A header that holds only the token, as the Node original has it (`x-access-token`)."""

from collections.abc import Iterable, Sequence

from .base import WHITESPACE


class PlainHeaderTransport:
    """Finds the tokens in a header that holds only the token.

    Args:
        header: The header's name in lower case.
    """

    def __init__(self, header: str) -> None:
        self.header = header.encode()

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[object]:
        """See `HeaderTransport`."""
        wanted, tokens = self.header, []  # a loop: on Python 3.11 a comprehension costs one more call
        for name, value in headers:
            if name == wanted:
                tokens.append(value.strip(WHITESPACE).decode("latin-1"))
        return tokens
