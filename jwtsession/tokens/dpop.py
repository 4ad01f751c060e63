"""Proofs of possession (DPoP, RFC 9449): a client shows with each request that it has the key of its token."""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from sys import getsizeof
from typing import Any, NamedTuple

from .. import _base64
from .._lru import ByteLRU
from ..errors import InvalidProofError, InvalidTokenError, ProofNonceError
from .checks import is_number
from .compact import REFUSED_HEADERS, decode, read_json, split
from .keys import PublicKey, PublicKeyReader
from .nonces import ProofNonces
from .urls import is_path, normal_path, normal_url

MAX_PROOF_BYTES = 4_096
"""A longer header is refused: it is parsed before anything about the client is known."""

_MAX_ID_CHARS = 256
_REFUSED = REFUSED_HEADERS - {"jwk"}

_CACHE_BYTES = 1_000_000
_KEY_BYTES = 1_500
"""Memory of a parsed key in bytes, with its place in the cache."""


class Proof(NamedTuple):
    """A good proof."""

    jkt: str
    """The thumbprint of the client's key (RFC 7638), to which its token is or will be bound (RFC 9449 section 6.1)."""
    name: str
    """A name for what may happen once: the key, the method, the URL and the `jti`, as a SHA-256 in hexadecimal."""

    def __repr__(self) -> str:
        return "Proof()"


def is_of_key(proof: Proof, jkt: str) -> bool:
    """Whether the client made the proof with the key that has this thumbprint, compared in constant time."""
    return hmac.compare_digest(proof.jkt.encode(), jkt.encode())


class ProofVerifier:
    """Verifies proofs. It asks nobody: the caller must compare the key with the token's, and use `Proof.name` once.

    A header that a proof of a good signature had is kept together with its key, by its exact text. So a client's next
    proof costs no parsing of its key.

    Args:
        algorithms: The signature algorithms that a proof may have. All are asymmetric.
        max_age: How many seconds after its `iat` a proof is good.
        leeway: By how many seconds its `iat` may lie in the future.
        public_url: The URL at which clients see the application, without a slash at its end.
        nonces: The nonces that a proof must have one of; None asks for none.
        clock: Returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: The algorithms need the extra `crypto`.
    """

    def __init__(
        self,
        *,
        algorithms: Sequence[str],
        max_age: float,
        leeway: float,
        public_url: str,
        nonces: ProofNonces | None,
        clock: Callable[[], float],
    ) -> None:
        self._algorithms = tuple(algorithms)
        self._keys = PublicKeyReader(algorithms)
        self._known: ByteLRU[str, PublicKey] = ByteLRU(_CACHE_BYTES, lambda header, _: getsizeof(header) + _KEY_BYTES)
        self._max_age = max_age
        self._leeway = leeway
        scheme, _, rest = public_url.partition("://")
        authority, slash, prefix = rest.partition("/")
        self._origin = (normal_url(f"{scheme}://{authority}") or "").removesuffix("/")
        self._prefix = slash + prefix
        self._nonces = nonces
        self._clock = clock

    def verify(self, headers: Sequence[bytes], method: str, path: str, token: str | None) -> Proof:
        """Verify the proof of a request: the checks of RFC 9449 section 4.3, before anybody is asked.

        The caller has to compare the key with the token's: see `is_of_key`.

        Args:
            headers: The values of all headers `DPoP` of the request.
            method: The request's method.
            path: The request's path below `public_url` as the client wrote it: percent-encoded, without the query.
            token: The access token that came with the proof; None if the proof asks for one, at a login.

        Raises:
            InvalidProofError: A check failed. `code` says which.
            ProofNonceError: The proof needs another nonce.
        """
        if not headers:
            raise InvalidProofError("proof_missing", self._algorithms)
        if len(headers) > 1 or len(headers[0]) > MAX_PROOF_BYTES:
            raise InvalidProofError("proof_malformed", self._algorithms)
        text = headers[0].decode("latin-1")
        header, _, rest = text.partition(".")
        payload, _, signature = rest.partition(".")
        known = self._known.get(header)
        fields: dict[str, Any] = {}
        try:
            if known is None:  # else the header has the right form, and `decode` refuses a wrong one of the rest
                split(text, MAX_PROOF_BYTES)
                fields = self._header(header)
            claims = read_json(decode(payload))
            signature_bytes = decode(signature)
        except InvalidTokenError:
            raise InvalidProofError("proof_malformed", self._algorithms) from None
        self._check_types(claims, token)
        key = known or self._key(fields)
        if not key.verify(headers[0][: -len(signature) - 1], signature_bytes):
            raise InvalidProofError("proof_signature", self._algorithms)
        if known is None:
            self._known.put(header, key)
        return self._proof(claims, key.thumbprint, method, path, token)

    def _header(self, header: str) -> dict[str, Any]:
        """Read the header of a proof. The strict reader's rules for a header hold, but for `jwk`."""
        fields = read_json(decode(header))
        if not _REFUSED.isdisjoint(fields) or not isinstance(fields.get("kid", ""), str):
            raise InvalidProofError("proof_header", self._algorithms)
        return fields

    def _check_types(self, claims: dict[str, Any], token: str | None) -> None:
        """Check that the claims that a proof must have are there (RFC 9449 section 4.2)."""
        for name in ("jti", "htm", "htu") if token is None else ("jti", "htm", "htu", "ath"):
            if not isinstance(claims.get(name), str):
                raise InvalidProofError("proof_claims", self._algorithms)
        if not is_number(claims.get("iat")) or not 0 < len(claims["jti"]) <= _MAX_ID_CHARS:
            raise InvalidProofError("proof_claims", self._algorithms)

    def _key(self, fields: dict[str, Any]) -> PublicKey:
        """The key in a header, after the checks of all that the header says."""
        if fields.get("typ") != "dpop+jwt":
            raise InvalidProofError("proof_type", self._algorithms)
        algorithm = fields.get("alg")
        if algorithm not in self._algorithms:
            raise InvalidProofError("proof_algorithm", self._algorithms)
        try:
            return self._keys.read(fields.get("jwk"), algorithm)
        except ValueError:
            raise InvalidProofError("proof_key", self._algorithms) from None

    def _proof(self, claims: dict[str, Any], jkt: str, method: str, path: str, token: str | None) -> Proof:
        """Compare what the client signed with the request, and make the proof's name."""
        if claims["htm"] != method:
            raise InvalidProofError("proof_method", self._algorithms)
        url = self._origin + normal_path(self._prefix + path)
        if not is_path(path) or (claims["htu"] != url and normal_url(claims["htu"]) != url):
            raise InvalidProofError("proof_url", self._algorithms)
        if self._nonces is not None and not self._nonces.accepts(claims.get("nonce")):
            raise ProofNonceError(self._algorithms, self._nonces.current())
        now = self._clock()
        if not now - self._max_age <= claims["iat"] <= now + self._leeway:
            raise InvalidProofError("proof_expired", self._algorithms)
        if token is not None and not hmac.compare_digest(claims["ath"].encode(), _hash(token).encode()):
            raise InvalidProofError("proof_token", self._algorithms)
        # The lengths keep the parts apart, whatever they contain. The thumbprint always has 43 characters.
        once = f"{jkt}{len(method)}:{method}{len(url)}:{url}{claims['jti']}"
        return Proof(jkt, hashlib.sha256(once.encode()).hexdigest())


def _hash(token: str) -> str:
    return _base64.encode(hashlib.sha256(token.encode()).digest())
