"""`Possession`: what a manager knows of the key that its request's client has proved to have (DPoP, RFC 9449)."""

from typing import Any, Protocol


class Possession(Protocol):
    """The proof of one request."""

    def attach(self, scope: Any) -> None:
        """Find the answer in the request's scope."""
        ...

    def key_of_login(self, *, by_cookie: bool) -> str | None:
        """The thumbprint of the key to which a login's token is to be bound; None for a token that is not bound.

        This verifies the request's proof, unless it was verified with the request's token.

        Args:
            by_cookie: Whether the application has chosen the cookie. A browser can send no proof with it.

        Raises:
            InvalidProofError: The proof is wrong, or `dpop.mode` is `required` and there is none.
            ProofNonceError: The proof needs another nonce.
        """
        ...

    async def use(self) -> None:
        """Note that the proof was used, so that nobody can use it again. This request may: it is the same use.

        Raises:
            InvalidProofError: Another request has used it.
            StoreUnavailableError: The store did not answer.
        """
        ...
