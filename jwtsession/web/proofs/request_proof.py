"""`RequestProof`: checks the proof that comes with a bound token (DPoP, RFC 9449), and that of a login."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from ...errors import InvalidProofError, InvalidTokenError
from ...sessions import LoadCheck
from ...stores import ReplayStore
from ...tokens import Proof, ProofNonces, ProofVerifier, VerifiedToken, is_of_key
from ...transports import came_by_dpop, find_proofs
from ..outgoing import KEY, Outgoing
from .proof_answers import ProofAnswers
from .request_path import path_below_root

_USED = "jwtsession_proofs"
"""The name of a request's `_Used` in its scope."""


@dataclass(frozen=True, slots=True, eq=False)
class ProofPolicy:
    """What all requests of a provider share, if tokens may be bound to keys."""

    verifier: ProofVerifier
    algorithms: Sequence[str]
    required: bool
    """Whether every token must be bound."""
    nonces: ProofNonces | None
    store: ReplayStore | None
    """Remembers the proofs that were used; None to let them be used again."""
    place: str
    """A name of the place in which the store remembers them: two providers may share it."""
    window: int
    """How long to remember a proof, in milliseconds."""


class _Used:
    """The proofs that one request has used. It may use them again: it is the same request."""

    __slots__ = ("names", "values")

    def __init__(self, values: Sequence[bytes]) -> None:
        self.values = values
        self.names: set[tuple[str, str]] = set()

    @classmethod
    def of(cls, scope: Scope, values: Sequence[bytes]) -> "_Used":
        """What the request has used. A driver may use a scope again, so the headers must be the same objects."""
        used: _Used | None = scope.get(_USED)
        if used is None or not _are_same(used.values, values):
            used = scope[_USED] = cls(values)
        return used


class RequestProof:
    """The proof of one request: `Possession` for the manager, and `LoadCheck` for the load of a bound token's session.

    It does not refer to the request's scope: the scope refers to the manager, and so to this.

    Args:
        policy: The provider's.
        scope: The request's ASGI scope.
    """

    __slots__ = ("_answers", "_by_dpop", "_method", "_path", "_policy", "_proof", "_used", "_values", "permits")

    def __init__(self, policy: ProofPolicy, scope: Scope) -> None:
        headers = scope["headers"]
        self._policy = policy
        self._values = find_proofs(headers)
        self._by_dpop = came_by_dpop(headers)
        # A WebSocket begins with a GET (RFC 6455 section 4.1). Its scope has no method.
        self._method: str = scope.get("method", "GET")
        self._path = path_below_root(scope) if self._values else ""
        self._proof: Proof | None = None
        self.permits = True
        """Whether the request may use its token; False once a check has refused it."""
        self._used = _Used.of(scope, self._values)
        has_origin = any(name == b"origin" for name, _ in headers)
        self._answers = ProofAnswers(
            policy.algorithms, policy.nonces, required=policy.required, sent=bool(self._values), has_origin=has_origin
        )
        self.attach(scope)

    def attach(self, scope: Scope) -> None:
        """See `Possession.attach`."""
        outgoing: Outgoing | None = scope.get(KEY)
        if outgoing is not None:
            outgoing.completers += (self._answers,)

    def came_as(self, other: Any) -> bool:
        """Whether another `RequestProof` has the same proof and scheme: it is of the same request."""
        return (
            isinstance(other, RequestProof)
            and self._by_dpop == other._by_dpop
            and _are_same(self._values, other._values)
        )

    def check(self, verified: VerifiedToken, source: str) -> LoadCheck | None:
        """Check the proof of the request's token, as far as this can be done without the store.

        Args:
            verified: The token.
            source: The place that has the token: see `TokenChecks.begin`.

        Returns:
            What to ask the store; None for nothing.

        Raises:
            InvalidTokenError: A bound token came in another way than by the scheme `DPoP`, or another one by it; or
                tokens that are not bound are not accepted.
            InvalidProofError: The proof is wrong, or not of the token's key.
            ProofNonceError: The proof needs another nonce.
        """
        self.permits = False  # until all that follows is good
        check = self._checked(verified, source)
        self.permits = True
        return check

    def _checked(self, verified: VerifiedToken, source: str) -> LoadCheck | None:
        by_dpop = source == "bearer" and self._by_dpop
        if verified.jkt is None:
            if by_dpop or self._policy.required:
                raise InvalidTokenError("token_unbound")
            return None
        if source in ("ticket", "introspection"):
            # Who asked for the ticket has shown the key. And a service that asks about a token (RFC 7662) uses it not.
            return None
        if not by_dpop:
            raise InvalidTokenError("token_bound")
        proof = self._verify(verified.token)
        if not is_of_key(proof, verified.jkt):
            raise InvalidProofError("proof_key_mismatch", self._policy.algorithms)
        self._proof = proof
        return None if self._is_used() else self

    async def load(self, session_id: str, ttl: int | None) -> bytes | None:
        """See `LoadCheck.load`."""
        policy, proof = self._policy, self._proof
        assert policy.store is not None and proof is not None  # noqa: S101, PT018
        value, is_new = await policy.store.load_once(session_id, ttl, proof.name, policy.window)
        self._note(is_new)
        return value

    def key_of_login(self, *, by_cookie: bool) -> str | None:
        """See `Possession.key_of_login`."""
        if by_cookie:  # not with `required`: the settings refuse the cookie there
            return None
        if self._proof is None:
            if not self._values and not self._policy.required:
                return None
            self._proof = self._verify(None)
        return self._proof.jkt

    async def use(self) -> None:
        """See `Possession.use`."""
        policy, proof = self._policy, self._proof
        if proof is not None and policy.store is not None and not self._is_used():
            self._note(await policy.store.proof_add(proof.name, policy.window))

    def _verify(self, token: str | None) -> Proof:
        # White space around a header's value is no part of it (RFC 9110 section 5.5).
        proofs = [value.strip(b" \t") for value in self._values]
        return self._policy.verifier.verify(proofs, self._method, self._path, token)

    def _is_used(self) -> bool:
        """Whether the store need not be asked: this request has used the proof already, or nobody asks."""
        return self._policy.store is None or self._key in self._used.names

    def _note(self, is_new: bool) -> None:
        if not is_new:
            self.permits = False
            raise InvalidProofError("proof_replayed", self._policy.algorithms)
        self._used.names.add(self._key)

    @property
    def _key(self) -> tuple[str, str]:
        assert self._proof is not None  # noqa: S101
        return self._policy.place, self._proof.name


def _are_same(values: Sequence[bytes], others: Sequence[bytes]) -> bool:
    return len(values) == len(others) and all(map(lambda one, other: one is other, values, others))
