"""`Authorization: DPoP` (RFC 9449 section 7.1), beside `Bearer`."""

from collections.abc import Iterable, Iterator, Sequence

from ..errors import AmbiguousTokenError
from .base import WHITESPACE

_SCHEMES = (b"bearer", b"dpop")


class DPoPTransport:
    """Finds the tokens in `Authorization` headers of the schemes `Bearer` and `DPoP`."""

    header = b"authorization"

    def read(self, value: bytes) -> str | None:
        """See `HeaderTransport`."""
        scheme, token = _parts(value)
        return token if scheme in _SCHEMES else None

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[object]:
        """See `HeaderTransport`.

        Raises:
            AmbiguousTokenError: There are both schemes. The same token is not the same thing in both.
        """
        found = [*_found(headers)]
        if len({scheme for scheme, _ in found}) > 1:
            raise AmbiguousTokenError
        return [token for _, token in found]


def came_by_dpop(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the token in `Authorization`, if there is one, came by the scheme `DPoP`."""
    return any(scheme == b"dpop" for scheme, _ in _found(headers))


def find_proofs(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the values of all headers `DPoP` of a request: there should be one (RFC 9449 section 4.3).

    They are the objects that the server made, with white space around them if it left it there.
    """
    return [value for name, value in headers if name == b"dpop"]


def _found(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, str]]:
    """The scheme in lower case (RFC 9110 section 11.1) and the token of each header of the two schemes."""
    for name, value in headers:
        if name == b"authorization" and (parts := _parts(value))[0] in _SCHEMES:
            yield parts


def _parts(value: bytes) -> tuple[bytes, str]:
    scheme, _, token = value.strip(WHITESPACE).partition(b" ")
    return scheme.lower(), token.lstrip(b" ").decode("latin-1")
