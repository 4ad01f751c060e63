"""`RedisProofs`: the proofs that were used, each in a key of its own that expires."""

import secrets

from ._exchange import Read
from .executor import Executor


class RedisProofs:
    """The methods of `ReplayStore` for Redis.

    Each call writes a random value. A try that finds the key taken reads it: with this call's own value, an earlier
    try of this call has written it, and its reply was lost. The client has only this one proof for its request, so it
    must not be refused as a replay of itself.

    Args:
        prefix: Prefix of the proofs' keys.
        executor: Runs the commands.
    """

    def __init__(self, prefix: str, executor: Executor) -> None:
        self._prefix = prefix
        self._executor = executor

    async def load_once(self, load: Read, proof: str, window: int) -> tuple[bytes | None, bool]:
        """See `ReplayStore.load_once`: one round trip; in a cluster to two nodes at the same time.

        Args:
            load: The command that loads the session.
            proof: The proof's name.
            window: How long to remember it, in milliseconds.
        """
        command, own = self._note(proof, window)
        value, noted = await self._executor.read_together(load, command)
        return value, noted is not None or await self._is_own(proof, own)

    async def add(self, proof: str, window: int) -> bool:
        """See `ReplayStore.proof_add`: one command."""
        command, own = self._note(proof, window)
        return await self._executor.call(*command) is not None or await self._is_own(proof, own)

    def _note(self, proof: str, window: int) -> tuple[Read, str]:
        own = secrets.token_hex(8)
        return ("SET", self._prefix + proof, own, "NX", "PX", window), own

    async def _is_own(self, proof: str, own: str) -> bool:
        found: bytes | None = await self._executor.call("GET", self._prefix + proof)
        return found == own.encode()
