"""`TokenChecks`: what a provider asks of a request's token, beside that it is genuine and that its session lives."""

from functools import partial
from typing import Any, get_args

from starlette.types import Scope

from ..manager import SessionManager
from ..manager.issuing import note_successor
from ..sessions import LoadCheck, Rotation, RotationCheck
from ..settings import TokenSource
from ..tokens import VerifiedToken
from .outgoing import KEY, Outgoing, hand_out
from .proofs.request_proof import ProofPolicy, RequestProof

_SOURCES = get_args(TokenSource)


class TokenChecks:
    """The checks of one provider: the proof of a bound token, and the rotation of any other.

    Args:
        proofs: What the provider asks of proofs; None if `dpop.mode` is `off`.
        rotation: The rotation of tokens; None if none is replaced.
    """

    def __init__(self, proofs: ProofPolicy | None = None, rotation: Rotation | None = None) -> None:
        self._proofs = proofs
        self._rotation = rotation

    def proof_of(self, scope: Scope) -> RequestProof | None:
        """Return the proof of a request, which is not verified yet; None if the provider asks for none."""
        return None if self._proofs is None else RequestProof(self._proofs, scope)

    def begin(self, scope: Scope, verified: VerifiedToken, source: str, proof: RequestProof | None) -> LoadCheck | None:
        """Check what can be checked without the store.

        Args:
            scope: The request's ASGI scope.
            verified: The token.
            source: The place that has the token: a token source, `ticket`, `message`, or `introspection` if
                another service asks about the token (RFC 7662): it sends no proof, and can take no new token.
            proof: The request's, from `proof_of`.

        Returns:
            What to ask the store while the session is loaded; None for nothing.

        Raises:
            AuthenticationError: The token must not be used by this request.
        """
        check = None if proof is None else proof.check(verified, source)
        if self._rotation is None or source == "ticket" or verified.jkt is not None:
            return check  # a ticket can be used once, and who has stolen a bound token can't use it
        since = waited(scope, self._rotation.now())
        return RotationCheck(self._rotation, verified, partial(_may_replace, scope, source), since)

    def end(self, check: LoadCheck, manager: SessionManager[Any, Any], scope: Scope) -> None:
        """Let the answer take to the client what the check, which has passed, has found for it.

        Args:
            check: From `begin`.
            manager: The request's manager.
            scope: The request's ASGI scope.
        """
        if isinstance(check, RotationCheck) and check.successor is not None:
            note_successor(manager, check.successor, check.issued, rotated=check.rotated)
            hand_out(manager, scope)


def waited(scope: Scope, now: float) -> float:
    """How many seconds ago a request arrived; 0 if nobody has noted that. A slow client's body may take minutes."""
    outgoing: Outgoing | None = scope.get(KEY)
    return 0 if outgoing is None or outgoing.arrived is None else max(0, now - outgoing.arrived)


def _may_replace(scope: Scope, source: str) -> bool:
    """Whether the request's answer can take a new token to the client, and the client surely gets it.

    A browser that loads a page before the user wants it says so (Fetch, `Sec-Purpose`), and may drop the answer.
    """
    is_answered = scope["type"] == "http" and source in _SOURCES  # not in a message, or in a gateway's question
    return is_answered and not any(
        name == b"sec-purpose" and value.strip().lower().startswith(b"prefetch") for name, value in scope["headers"]
    )
