"""`VerifiedToken`: the claims of a genuine token that matter at each request. `TokenCache` keeps verified tokens."""

from collections.abc import Mapping
from sys import getsizeof
from typing import TYPE_CHECKING, NamedTuple

from .._lru import ByteLRU

if TYPE_CHECKING:
    from ..observability import Series

_ENTRY_BYTES = 324
"""Memory of an entry in bytes, without the values in it: the tuple, and its place in the cache's dict."""

_TEXT_BYTES = 16
"""Memory in bytes that a short text takes beyond its size, since memory is given in whole blocks."""


class VerifiedToken(NamedTuple):
    """A genuine token, with those of its claims that say whether it is valid now and what it permits.

    Each claim has the declared type, because the codec refuses a token with another type. Times are seconds since the
    epoch; `jwtsession_idle_timeout` is seconds.
    """

    token: str
    """The text that the client sent. For a ticket: the ticket's name in the store and the claims, and no signature."""
    session_id: str
    exp: float | None
    nbf: float | None
    iat: float | None
    auth_time: float | None
    jwtsession_idle_timeout: int | None
    sub: str | None
    scope: str | None
    gen: int | None
    jkt: str | None
    """The thumbprint of the key to which the token is bound (RFC 9449 section 6.1); None if it is not bound."""
    acr: str | None = None
    amr: tuple[str, ...] | None = None
    actor: str | None = None
    """Who acts for the user: the `sub` in the claim `act` (RFC 8693 section 4.1); None if the user does."""

    def __repr__(self) -> str:
        return "VerifiedToken()"

    @property
    def is_ticket(self) -> bool:
        """Whether the client sent a ticket, and no token."""
        return self.token.endswith(".")

    def is_of_ticket(self, ticket: str) -> bool:
        """Whether the client sent the ticket with this name in the store."""
        return self.is_ticket and self.token.startswith(f"{ticket}.")


class TokenCache(ByteLRU[VerifiedToken]):
    """Verified tokens by their exact text. The caller must check their times at each use.

    Args:
        limit: How many bytes of memory the tokens may take. 0 keeps none.
    """

    __slots__ = ()

    def __init__(self, limit: int) -> None:
        super().__init__(limit, _cost)

    def add(self, verified: VerifiedToken) -> None:
        """Keep a token."""
        self.put(verified.token, verified)


class CountedTokenCache(TokenCache):
    """A cache that counts whether it had the tokens that it was asked for.

    Args:
        limit: See `TokenCache`.
        results: Counts, by `hit`, `miss` and `bypass`: with a limit of 0 nothing is kept.
    """

    __slots__ = ("_hits", "_misses")

    def __init__(self, limit: int, results: Mapping[str, "Series"]) -> None:
        super().__init__(limit)
        self._hits, self._misses = results["hit"], results["miss" if limit else "bypass"]

    def get(self, key: str) -> VerifiedToken | None:
        """Return a verified token, and count the question."""
        # As `ByteLRU.get` does it: to call that would cost more than the rest.
        found = self._values.get(key)
        if found is None:
            self._misses.count += 1
        else:
            self._values.move_to_end(key)
            self._hits.count += 1
        return found


def _cost(token: str, verified: VerifiedToken) -> int:
    methods = sum(getsizeof(each) + _TEXT_BYTES for each in verified.amr or ())
    return sum(map(getsizeof, verified)) + methods + _ENTRY_BYTES
