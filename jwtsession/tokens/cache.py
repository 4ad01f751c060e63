"""`VerifiedToken`: the claims of a genuine token that matter at each request. `TokenCache` keeps verified tokens."""

import marshal
from collections.abc import Mapping
from hashlib import blake2b
from sys import getsizeof
from typing import TYPE_CHECKING, NamedTuple

from .._lru import ByteLRU

if TYPE_CHECKING:
    from ..observability import Series

_RECENT_BYTES = 4_000_000
"""The most memory of the tokens that are not packed, about 5,000: the garbage collector looks at each of them."""

_TEXT_BYTES = 8
"""Memory in bytes that a value takes beyond its size, on average, since memory is given in whole blocks."""

_NONE_BYTES = getsizeof(None)

_WIDE_BYTES = 80
"""The most memory of an empty text that is not ASCII, with its UTF-8. Each character takes 8 bytes at most."""

_DIGEST_BYTES = 31
"""With these a digest fills a block of 64 bytes. To find two texts with one digest takes 2^124 attempts."""

_PACKED_BYTES = 64 + 60 + 16
"""Memory of a packed token in bytes, without its claims: the digest, its place in a dict, and the rest of a block."""


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


_ENTRY_BYTES = 228 + len(VerifiedToken._fields) * _TEXT_BYTES
"""Memory of an entry in bytes, without the values in it: the tuple, its place in a dict, and the rest of each block."""


class TokenCache:
    """Verified tokens. The caller must check their times at each use.

    Each is packed into two small objects, which Python's garbage collector need not look at: a digest of the text, and
    the claims without the text. Those that were used last are also kept as they are, by their exact text.

    Args:
        limit: How many bytes of memory the tokens may take. 0 keeps none.
    """

    __slots__ = ("_packed", "_recent", "_recent_limit", "_recent_size")

    def __init__(self, limit: int) -> None:
        self._recent_limit = min(limit // 2, _RECENT_BYTES)
        self._recent_size = 0
        self._recent: dict[str, VerifiedToken] = {}
        self._packed: ByteLRU[bytes, bytes] = ByteLRU(limit - self._recent_limit, _packed_cost)

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def size(self) -> int:
        """How many bytes all tokens take now."""
        return self._recent_size + self._packed.size

    def get(self, token: str) -> VerifiedToken | None:
        """Return a verified token; None if it is not here."""
        return self._recent.get(token) or self._unpacked(token)

    def add(self, verified: VerifiedToken) -> None:
        """Keep a token."""
        self._packed.put(_digest(verified.token), marshal.dumps(verified[1:]))
        self._use(verified)

    def _unpacked(self, token: str) -> VerifiedToken | None:
        if not self._packed.size or not token.isascii():
            return None
        packed = self._packed.get(_digest(token))
        if packed is None:
            return None
        verified = VerifiedToken(token, *marshal.loads(packed))  # noqa: S302  these bytes are from `add`
        self._use(verified)
        return verified

    def _use(self, verified: VerifiedToken) -> None:
        if verified.token in self._recent:
            return
        cost = _cost(verified)
        if self._recent_size + cost > self._recent_limit:
            # All at once: to order them would cost each request more than to unpack some again.
            self._recent.clear()
            self._recent_size = 0
        if cost <= self._recent_limit:
            self._recent[verified.token] = verified
            self._recent_size += cost


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

    def get(self, token: str) -> VerifiedToken | None:
        """Return a verified token, and count the question."""
        found = self._recent.get(token) or self._unpacked(token)
        if found is None:
            self._misses.count += 1
        else:
            self._hits.count += 1
        return found


def _digest(token: str) -> bytes:
    # No two texts with one digest can be found, so a changed token is never taken for another one.
    return blake2b(token.encode(), digest_size=_DIGEST_BYTES).digest()


def _cost(verified: VerifiedToken) -> int:
    values = sum(map(getsizeof, verified)) - verified.count(None) * (_NONE_BYTES + _TEXT_BYTES)
    methods = sum(getsizeof(each) + _TEXT_BYTES for each in verified.amr or ())
    texts = verified.sub, verified.scope, verified.acr, verified.actor, *(verified.amr or ())
    # Whoever writes a text as JSON may make Python keep its UTF-8 too: it is counted from the start.
    grown = sum(_WIDE_BYTES + 8 * len(each) - getsizeof(each) for each in texts if each and not each.isascii())
    return values + methods + grown + _ENTRY_BYTES


def _packed_cost(digest: bytes, packed: bytes) -> int:
    return getsizeof(packed) + _PACKED_BYTES
