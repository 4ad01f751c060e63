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

    def read(self, value: bytes) -> str:
        """See `HeaderTransport`."""
        return value.strip(WHITESPACE).decode("latin-1")

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[object]:
        """See `HeaderTransport`."""
        wanted = self.header
        return [self.read(value) for name, value in headers if name == wanted]
