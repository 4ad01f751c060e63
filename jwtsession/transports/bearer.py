"""`Authorization: Bearer` (RFC 6750 section 2.1)."""

from collections.abc import Iterable, Sequence

from .base import WHITESPACE


class BearerTransport:
    """Finds the tokens in `Authorization` headers. A header of another scheme has no token."""

    header = b"authorization"

    def read(self, value: bytes) -> str | None:
        """See `HeaderTransport`."""
        scheme, _, token = value.strip(WHITESPACE).partition(b" ")
        return token.lstrip(b" ").decode("latin-1") if scheme.lower() == b"bearer" else None

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[object]:
        """See `HeaderTransport`."""
        found = (self.read(value) for name, value in headers if name == b"authorization")
        return [token for token in found if token is not None]
