"""`TokenChecks`: what a provider asks of a request's token, beside that it is genuine and that its session lives."""

from starlette.types import Scope

from ..sessions import LoadCheck
from ..tokens import VerifiedToken
from .proofs import ProofPolicy, RequestProof


class TokenChecks:
    """The checks of one provider: the proof of a bound token, and the rotation of any other.

    Args:
        proofs: What the provider asks of proofs; None if `dpop.mode` is `off`.
    """

    def __init__(self, proofs: ProofPolicy | None = None) -> None:
        self._proofs = proofs

    def proof_of(self, scope: Scope) -> RequestProof | None:
        """Return the proof of a request, which is not verified yet; None if the provider asks for none."""
        return None if self._proofs is None else RequestProof(self._proofs, scope)

    def begin(self, scope: Scope, verified: VerifiedToken, source: str, proof: RequestProof | None) -> LoadCheck | None:
        """Check what can be checked without the store.

        Args:
            scope: The request's ASGI scope.
            verified: The token.
            source: The place that has the token: a token source, `ticket`, `message`, or `introspection` if
                another service asks about the token (RFC 7662): it sends no proof, and this must change nothing.
            proof: The request's, from `proof_of`.

        Returns:
            What to ask the store while the session is loaded; None for nothing.

        Raises:
            AuthenticationError: The token must not be used by this request.
        """
        return None if proof is None else proof.check(verified, source)
