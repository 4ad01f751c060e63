"""`ProofNonces`: the nonces that this service asks proofs of possession for (RFC 9449 sections 8 and 9)."""

import hmac
from collections.abc import Callable, Sequence

from .. import _base64
from ..errors import ConfigurationError

_SLOT_SECONDS = 60


class ProofNonces:
    """Nonces that need no store: each is an HMAC of the minute, so all workers know the same ones.

    A nonce is good in its own minute and in the next.

    Args:
        keys: Secret keys. The first makes the nonces, all check them: see `KeyRing.derived_secrets`.
        clock: Returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: There is no key. Then everybody could compute the nonces (RFC 9449 section 8).
    """

    def __init__(self, keys: Sequence[bytes], clock: Callable[[], float]) -> None:
        if not keys:
            raise ConfigurationError("dpop.nonce: needs a private key: from a public key everybody can make nonces")
        self._keys = tuple(keys)
        self._clock = clock
        self._slot = -1
        self._good: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "ProofNonces()"

    def current(self) -> str:
        """Return the nonce for the next proof."""
        return self._of_now()[0]

    def accepts(self, nonce: object) -> bool:
        """Whether a proof with this nonce is recent. The time that this takes does not depend on the nonce."""
        if not isinstance(nonce, str):
            return False
        given = nonce.encode("utf-8", "surrogatepass")
        return True in [hmac.compare_digest(given, good.encode()) for good in self._of_now()]

    def _of_now(self) -> tuple[str, ...]:
        slot = int(self._clock() // _SLOT_SECONDS)
        if slot != self._slot:
            self._good = tuple(_nonce(key, each) for key in self._keys for each in (slot, slot - 1))
            self._slot = slot
        return self._good


def _nonce(key: bytes, slot: int) -> str:
    return _base64.encode(hmac.digest(key, slot.to_bytes(8), "sha256")[:18])
