"""`KeyRing`: signs with one key and verifies with several. Only this module uses PyJWT, which does the cryptography."""

import contextlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jwt

from ..errors import ConfigurationError, InvalidArgumentError
from .jwk import KEY_TYPES, public_members, thumbprint

_HMAC = ("HS256", "HS384", "HS512")

# RFC 7518 sections 3.1 and 3.3, RFC 8037 section 3.1.
_RSA = "an RSA key of at least 2048 bits"
_NEEDS = {
    "ES256": "an EC key on P-256",
    "ES384": "an EC key on P-384",
    "ES512": "an EC key on P-521",
    "EdDSA": "an Ed25519 key",
}


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key, as the settings give it.

    Args:
        kid: The key's name in a token's header; None for the key of the setting `secret`, which has no name.
        material: An HMAC secret, or a private or public key as PEM or JWK.
        verify_only: Whether the key only verifies tokens, and does not sign.
    """

    kid: str | None
    material: str
    verify_only: bool = False

    def __repr__(self) -> str:
        return f"KeySpec(kid={self.kid!r})"


class KeyRing:
    """The keys of one algorithm. The first key that can sign is the one that signs. All keys verify.

    Args:
        keys: The keys.
        algorithm: The name of the algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).

    Raises:
        ConfigurationError: A key does not fit the algorithm, two keys have one name, or the algorithm needs the extra
            `crypto`.
    """

    def __init__(self, keys: Sequence[KeySpec], algorithm: str) -> None:
        self.algorithm = algorithm
        self._verifying: dict[str | None, Any] = {}
        self._signing: tuple[str | None, Any] | None = None
        self._published: list[dict[str, Any]] = []
        self._materials: list[bytes] = []
        self._private_halves: list[bytes] = []
        try:
            self._algorithm = jwt.get_algorithm_by_name(algorithm)
        except NotImplementedError:
            raise ConfigurationError(
                f"algorithm: {algorithm} needs the extra: pip install 'fastapi-jwtsession[crypto]'"
            ) from None
        for spec in keys:
            signing, verifying, kid = self._load(spec)
            is_signer = signing is not None and not spec.verify_only and self._signing is None
            # A key without a name also verifies tokens without a `kid`, which another program may have signed with it.
            for name in {spec.kid, kid}:
                if name in self._verifying:
                    raise ConfigurationError(f"keys: two keys have the name {name!r}")
                self._verifying[name] = verifying
            material = verifying if self.algorithm in _HMAC else thumbprint(self._published[-1]).encode()
            if is_signer:
                self._signing = (kid, signing)
            self._materials.insert(0 if is_signer else len(self._materials), material)
            if signing is not None:
                private = (
                    material if algorithm in _HMAC else self._algorithm.to_jwk(signing, as_dict=True)["d"].encode()
                )
                self._private_halves.insert(0 if is_signer else len(self._private_halves), private)
        self._only = next(iter(self._verifying.values())) if len(keys) == 1 else None

    def __repr__(self) -> str:
        return f"KeyRing({self.algorithm}, {len(self._verifying)} names)"

    @property
    def can_sign(self) -> bool:
        """Whether there is a key that signs. If not, this service only verifies tokens."""
        return self._signing is not None

    @property
    def signing_kid(self) -> str | None:
        """The name of the key that signs; None for an HMAC secret without a name, and if no key signs."""
        return None if self._signing is None else self._signing[0]

    def sign(self, payload: dict[str, Any], typ: str = "JWT") -> str:
        """Sign a payload and return the token.

        Args:
            payload: The claims.
            typ: What the token's header says that it is (RFC 7515 section 4.1.9).

        Raises:
            InvalidArgumentError: No key may sign: this service only verifies tokens.
        """
        if self._signing is None:
            raise InvalidArgumentError("no key can sign: this service only verifies tokens")
        kid, key = self._signing
        headers = {"typ": typ} if kid is None else {"typ": typ, "kid": kid}
        return jwt.encode(payload, key, algorithm=self.algorithm, headers=headers)

    def verify(self, kid: str | None, signed: bytes, signature: bytes) -> bool:
        """Whether the key that the header names made the signature. If there is only one key, its name is ignored."""
        key = self._only if self._only is not None else self._verifying.get(kid)
        return key is not None and bool(self._algorithm.verify(signed, key, signature))

    def knows(self, kid: str) -> bool:
        """Whether one of the keys has this name."""
        return kid in self._verifying

    def jwks(self) -> dict[str, Any]:
        """Return the public keys as a JWK set (RFC 7517 section 5). It is empty for HMAC, whose keys are secret."""
        return {"keys": [dict(jwk) for jwk in self._published]}

    def derived(self, purpose: bytes) -> list[bytes]:
        """Derive a key for another purpose from each key. The signing key's comes first: use that one to write.

        A key that is derived from an HMAC secret is secret. From an asymmetric key, it is derived from the public half,
        so that services that only verify get the same key. Everybody who knows the public key can derive it.

        Args:
            purpose: A text that is different for each purpose.
        """
        return [hmac.digest(material, purpose, "sha256") for material in self._materials]

    def derived_secrets(self, purpose: bytes) -> list[bytes]:
        """As `derived`, but each key is secret: it is derived from the private half. A public key has none.

        Args:
            purpose: A text that is different for each purpose.

        Returns:
            Keys in the order of `derived`; an empty list if the service has no private key.
        """
        return [hmac.digest(private, purpose, "sha256") for private in self._private_halves]

    def _load(self, spec: KeySpec) -> tuple[Any, Any, str | None]:
        """Return the signing key (None for a public key), the verifying key, and the name for a token's header."""
        # The exception is suppressed, so that neither the cause nor the traceback of our error contains the key.
        with contextlib.suppress(Exception):
            return self._parse(spec)
        setting = "secret" if spec.kid is None else f"keys: {spec.kid!r}"
        if self.algorithm in _HMAC:
            raise ConfigurationError(f"{setting}: {self.algorithm} needs a random text, not a PEM or JWK")
        raise ConfigurationError(
            f"{setting}: {self.algorithm} needs {_NEEDS.get(self.algorithm, _RSA)}, private or public,"
            " as PEM (neither encrypted nor a certificate) or as JWK (for signatures by this algorithm)"
        )

    def _parse(self, spec: KeySpec) -> tuple[Any, Any, str | None]:
        if self.algorithm in _HMAC:
            secret = self._algorithm.prepare_key(spec.material.encode())
            return secret, secret, spec.kid
        given: dict[str, Any] = {}
        material = spec.material.strip()
        if material.startswith("{"):
            given = json.loads(material)
            self._check_jwk(given)
            key = self._algorithm.prepare_key(self._algorithm.from_jwk(given))
        else:
            key = self._algorithm.prepare_key(material)
        if self._algorithm.check_key_length(key) or "Ed448" in type(key).__name__:
            raise ValueError
        public = key.public_key() if hasattr(key, "public_key") else key
        jwk = dict(self._algorithm.to_jwk(public, as_dict=True))
        jwk.pop("key_ops", None)
        kid = spec.kid or given.get("kid") or thumbprint(jwk)
        self._published.append(jwk | {"use": "sig", "alg": self.algorithm, "kid": kid})
        can_sign = key is not public and "sign" in given.get("key_ops", ("sign",))
        return (key if can_sign else None), public, kid

    def _check_jwk(self, jwk: Mapping[str, Any]) -> None:
        """Raise if the key is not for signatures by this algorithm (RFC 7517 sections 4.1 to 4.5)."""
        operations = jwk.get("key_ops", ["sign", "verify"])
        if jwk["kty"] != KEY_TYPES[self.algorithm[:2]] or jwk.get("use", "sig") != "sig":
            raise ValueError
        if jwk.get("alg", self.algorithm) != self.algorithm or not {"sign", "verify"} & set(operations):
            raise ValueError
        if not isinstance(jwk.get("kid", ""), str):
            raise ValueError


class PublicKey(NamedTuple):
    """A public key that came from outside, for one algorithm: see `PublicKeyReader`."""

    thumbprint: str
    """RFC 7638 section 3, with SHA-256."""
    algorithm: Any
    key: Any

    def verify(self, signed: bytes, signature: bytes) -> bool:
        """Whether the private half of the key made the signature."""
        return bool(self.algorithm.verify(signed, self.key, signature))


class PublicKeyReader:
    """Reads public keys that clients send as JWK (RFC 7517), for the algorithms that the settings name.

    Args:
        algorithms: Asymmetric algorithms.

    Raises:
        ConfigurationError: They need the extra `crypto`.
    """

    def __init__(self, algorithms: Sequence[str]) -> None:
        try:
            self._algorithms: dict[str, Any] = {name: jwt.get_algorithm_by_name(name) for name in algorithms}
        except NotImplementedError:
            raise ConfigurationError(
                "dpop.algorithms: needs the extra: pip install 'fastapi-jwtsession[crypto]'"
            ) from None
        self._verifying = dict[str, Any](self._algorithms)
        for name, algorithm in self._algorithms.items():
            if name.startswith("ES"):
                from .ecdsa import ECDSAVerifier  # not every installation has cryptography

                self._verifying[name] = ECDSAVerifier(algorithm.hash_alg())

    def read(self, jwk: object, algorithm: str) -> PublicKey:
        """Read a key. All members are checked before PyJWT sees it, because PyJWT also reads private and secret keys.

        Args:
            jwk: The key: see `public_members`.
            algorithm: One of the algorithms.

        Raises:
            ValueError: The value is no such key.
        """
        with contextlib.suppress(Exception):  # PyJWT and cryptography raise errors of many kinds
            public = public_members(jwk, algorithm)
            key = self._algorithms[algorithm].from_jwk(public)
            return PublicKey(thumbprint(public), self._verifying[algorithm], key)
        raise ValueError(f"no public key for {algorithm}")
