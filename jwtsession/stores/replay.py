"""`ReplayStore`: the contract of a store that remembers which proofs of possession were used."""

from typing import Protocol, TypeGuard

from .base import has_methods


class ReplayStore(Protocol):
    """Storage of the proofs that were used (DPoP, RFC 9449 section 11.1).

    A store has these methods too if it is to serve `dpop.replay`. Every method raises `StoreUnavailableError` if the
    store did not answer: nobody knows then whether it has noted the proof. A call that tries again after a lost reply
    does not take its own first try for somebody else's.
    """

    async def load_once(self, session_id: str, ttl: int | None, proof: str, window: int) -> tuple[bytes | None, bool]:
        """Load a session as `SessionStore.load` does without `allow_cached`, and note a proof, in one round trip.

        Args:
            session_id: The session.
            ttl: Its new time to live in milliseconds; None leaves the time to live as it is.
            proof: The proof's name.
            window: How long to remember the proof, in milliseconds.

        Returns:
            The session's value, None if it is gone; and whether the proof is new.
        """
        ...

    async def proof_add(self, proof: str, window: int) -> bool:
        """Note a proof for `window` milliseconds. False if it is noted already, which changes nothing."""
        ...


def has_proofs(store: object) -> TypeGuard[ReplayStore]:
    """Whether the store has the methods of `ReplayStore`: see `has_methods`."""
    return has_methods(store, ReplayStore)
