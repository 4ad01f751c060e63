"""`Authorization: Bearer` (RFC 6750 section 2.1)."""

from collections.abc import Iterable, Sequence

from .base import WHITESPACE


class BearerTransport:
    """Finds the tokens in `Authorization` headers. A header of another scheme has no token."""

    header = b"authorization"

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[object]:
        """See `HeaderTransport`."""
        tokens = []
        for name, value in headers:
            if name == b"authorization":
                scheme, _, token = value.strip(WHITESPACE).partition(b" ")
                if scheme.lower() == b"bearer":
                    tokens.append(token.lstrip(b" ").decode("latin-1"))
        return tokens
