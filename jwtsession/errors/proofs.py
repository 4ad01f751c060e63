"""The errors of proofs of possession (DPoP, RFC 9449): 401."""

from collections.abc import Sequence
from typing import Any

from .authentication import AuthenticationError
from .base import HTTPError


class InvalidProofError(AuthenticationError):
    """401: the request's proof of possession is missing or wrong (DPoP, RFC 9449). `code` says which check failed.

    Args:
        code: The code. With `proof_key_mismatch` the challenge says that the token is the problem: it belongs to
            another key than the proof's (RFC 9449 figure 16).
        algorithms: What a proof may be signed with: the challenge names them (RFC 9449 section 7.1).
    """

    code = "invalid_proof"

    def __init__(self, code: str | None = None, algorithms: Sequence[str] = ()) -> None:
        self.algorithms = tuple(algorithms)
        super().__init__(code)

    def __reduce__(self) -> tuple[type[HTTPError], tuple[Any, ...]]:
        return type(self), (self.code, self.algorithms)

    def _headers(self) -> dict[str, str]:
        error = "invalid_token" if self.code == "proof_key_mismatch" else "invalid_dpop_proof"
        return super()._headers() | self._challenge(error)

    def _challenge(self, error: str) -> dict[str, str]:
        algorithms = f', algs="{" ".join(self.algorithms)}"' if self.algorithms else ""
        return {"WWW-Authenticate": f'DPoP error="{error}"{algorithms}', "Vary": "Authorization, DPoP"}


class ProofNonceError(InvalidProofError):
    """401: the proof has no nonce of this service, or an old one (RFC 9449 section 9). The client tries once more.

    Args:
        algorithms: What a proof may be signed with.
        nonce: The nonce that the next proof needs: the header `DPoP-Nonce` has it.
    """

    code = "use_dpop_nonce"

    def __init__(self, algorithms: Sequence[str] = (), nonce: str = "") -> None:
        self.nonce = nonce
        super().__init__(None, algorithms)

    def __reduce__(self) -> tuple[type[HTTPError], tuple[Any, ...]]:
        return type(self), (self.algorithms, self.nonce)

    def _headers(self) -> dict[str, str]:
        nonce = {"DPoP-Nonce": self.nonce} if self.nonce else {}
        return super()._headers() | self._challenge("use_dpop_nonce") | nonce
