"""`RemoteVerification`: verifies tokens by the keys of the service that issued them."""

from collections.abc import Callable
from typing import Generic

from .._types import C
from ..errors import InvalidTokenError
from ..tokens import KeyRing, TokenCodec, VerifiedToken, kid_of
from .introspection import IntrospectionClient
from .keys import RemoteKeys


class RemoteVerification(Generic[C]):
    """Verifies tokens of another service.

    Args:
        keys: The service's keys.
        make_codec: Makes the codec for some keys. It is called again when they change.
        introspection: Asks whether the session lives; None if nobody asks.
    """

    def __init__(
        self,
        keys: RemoteKeys,
        make_codec: Callable[[KeyRing], TokenCodec[C]],
        introspection: IntrospectionClient | None,
    ) -> None:
        self._keys = keys
        self._make_codec = make_codec
        self._introspection = introspection
        self._made: tuple[KeyRing, TokenCodec[C]] | None = None

    async def verify(self, token: object) -> tuple[VerifiedToken, C]:
        """Verify a token.

        Returns:
            The token, and its claims.

        Raises:
            AuthenticationError: The token is not genuine or not valid, or its session has ended.
            StoreUnavailableError: The other service did not answer, and without it nobody knows.
        """
        ring = await self._keys.current()
        codec = self._codec(ring)
        try:
            verified = codec.verify(token)
        except InvalidTokenError as error:
            kid = kid_of(token) if error.code == "token_signature" and isinstance(token, str) else None
            if kid is None or ring.knows(kid):
                raise
            found = await self._keys.search(kid, ring)
            if found is None:
                raise
            codec = self._codec(found)
            verified = codec.verify(token)
        claims = codec.claims(verified)
        if self._introspection is not None:
            await self._introspection.check(verified.token, verified.session_id)
        return verified, claims

    def _codec(self, ring: KeyRing) -> TokenCodec[C]:
        # Another ring has another codec: the cache of the old one holds tokens of keys that may be gone.
        if self._made is None or self._made[0] is not ring:
            self._made = ring, self._make_codec(ring)
        return self._made[1]
