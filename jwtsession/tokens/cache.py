"""What a genuine token proves, and the cache of the tokens that were verified before."""

from sys import getsizeof
from typing import NamedTuple

from .._lru import ByteLRU

_ENTRY_BYTES = 300
"""Memory of an entry beside what it holds: the tuple, and its place in the cache's dict."""


class VerifiedToken(NamedTuple):
    """A genuine token, and of its claims those that decide whether it is valid now and what it proves.

    All are of the type that is declared here: a token with any other type was refused. Times are seconds since the
    epoch.
    """

    token: str
    session_id: str
    exp: float | None
    nbf: float | None
    iat: float | None
    auth_time: float | None
    jwtsession_idle_timeout: int | None
    sub: str | None
    scope: str | None

    def __repr__(self) -> str:
        return "VerifiedToken()"


class TokenCache(ByteLRU[VerifiedToken]):
    """Verified tokens by their exact text. Their times are to be checked at each use.

    Args:
        limit: Bytes of memory that they may take. 0 keeps none.
    """

    __slots__ = ()

    def __init__(self, limit: int) -> None:
        super().__init__(limit, _cost)

    def add(self, verified: VerifiedToken) -> None:
        """Keep a token."""
        self.put(verified.token, verified)


def _cost(token: str, verified: VerifiedToken) -> int:
    return sum(map(getsizeof, verified)) + _ENTRY_BYTES
