"""`ProofAnswers`: tells clients, by headers of the answer, which proofs the provider accepts (DPoP, RFC 9449)."""

from collections.abc import Iterator, Sequence

from ...tokens import ProofNonces

_BEARER = b"Bearer "
_EXPOSED = b"WWW-Authenticate, DPoP-Nonce"


class ProofAnswers:
    """Completes the answer of one request.

    Each challenge for `Bearer` becomes one for `DPoP` (RFC 9449 section 7.1). If tokens need not be bound, both are on
    the answer, as two headers (RFC 9110 section 11.6.1). A client that sends proofs gets the nonce for its next proof
    (section 8.2), and scripts of other origins may read these headers.

    Args:
        algorithms: What a proof may be signed with.
        nonces: The provider's nonces; None if it asks for none.
        required: Whether every token must be bound.
        sent: Whether the request has a proof.
        has_origin: Whether the request may be a script's.
    """

    __slots__ = ("_algorithms", "_has_origin", "_nonces", "_required", "_sent")

    def __init__(
        self, algorithms: Sequence[str], nonces: ProofNonces | None, *, required: bool, sent: bool, has_origin: bool
    ) -> None:
        self._algorithms = algorithms
        self._nonces = nonces
        self._required = required
        self._sent = sent
        self._has_origin = has_origin

    def __call__(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return the headers of the answer, completed."""
        completed = [*self._challenged(headers)]
        names = {name.lower() for name, _ in completed}
        is_challenge = b"www-authenticate" in names
        if self._nonces is not None and (self._sent or is_challenge) and b"dpop-nonce" not in names:
            completed.append((b"dpop-nonce", self._nonces.current().encode()))
        exposing = (b"access-control-expose-headers", _EXPOSED)
        if self._has_origin and (self._sent or is_challenge) and exposing not in completed:
            completed.append(exposing)
        return completed

    def _challenged(self, headers: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        challenges = [value for name, value in headers if name.lower() == b"www-authenticate"]
        if any(value.startswith(b"DPoP ") for value in challenges):  # a refused proof, or another provider's
            yield from headers
            return
        for name, value in headers:
            is_bearer = name.lower() == b"www-authenticate" and value.startswith(_BEARER)
            if not is_bearer or not self._required:
                yield name, value
            if is_bearer:
                algorithms = " ".join(self._algorithms).encode()
                yield name, b'DPoP algs="%s", %s' % (algorithms, value.removeprefix(_BEARER))
