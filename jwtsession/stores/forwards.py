"""`ForwardStore`: what a store can do that keeps where sessions have moved to."""

from typing import Protocol, TypeGuard

from .base import has_methods


class ForwardStore(Protocol):
    """Storage of forwards: what a session's old id stands for after `regenerate()`.

    A store without these methods works too. The token of an old id is then as good as unknown: `destroy()` by it does
    not end the session under its new id, and its reuse is not noticed.

    A forward is no session, and may be of the same id as one. Every method raises `StoreUnavailableError` if the store
    did not answer.
    """

    async def forward_add(self, session_id: str, value: bytes, ttl: int) -> bool:
        """Store the forward of an id, if it has none.

        Args:
            session_id: The id.
            value: The value; a store does not look into it.
            ttl: How long to keep it, in milliseconds.

        Returns:
            False if the id has a forward already, which stays. It may be the one of this very call, whose first reply
            was lost.
        """
        ...

    async def forward_replace(self, session_id: str, expected: bytes, value: bytes, ttl: int) -> bool:
        """Replace the forward of an id, if its value still is `expected`, byte for byte. False if it is not.

        Args:
            session_id: The id.
            expected: The value that was read.
            value: The new value.
            ttl: How long to keep it from now, in milliseconds.
        """
        ...

    async def forward_get(self, session_id: str) -> bytes | None:
        """Return the value of an id's forward; None if it has none."""
        ...


def has_forwards(store: object) -> TypeGuard[ForwardStore]:
    """Whether the store has the methods of `ForwardStore`: see `has_methods`."""
    return has_methods(store, ForwardStore)
