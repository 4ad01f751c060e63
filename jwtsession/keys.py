"""`KeyRing`: signs with one key, verifies with several. Only this file knows PyJWT, which does the cryptography."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from .errors import ConfigurationError, InvalidArgumentError

_HMAC = ("HS256", "HS384", "HS512")

# RFC 7517 section 4.1: the key type that each family of algorithms needs.
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key as it was configured.

    Args:
        kid: The key's name in a token's header; None for the one key without a name.
        material: An HMAC secret, or a private or public key as PEM or JWK.
        verify_only: Accept its tokens, but sign none with it.
    """

    kid: str | None
    material: str
    verify_only: bool = False

    def __repr__(self) -> str:
        return f"KeySpec(kid={self.kid!r})"


class KeyRing:
    """The keys of one algorithm. The first that can sign signs; all verify.

    Raises:
        ConfigurationError: A key does not fit the algorithm, or two have one name.
    """

    def __init__(self, keys: Sequence[KeySpec], algorithm: str) -> None:
        self.algorithm = algorithm
        try:
            self._algorithm = jwt.get_algorithm_by_name(algorithm)
        except NotImplementedError:
            raise ConfigurationError(
                f"algorithm: {algorithm} needs the extra: pip install 'jwtsession[crypto]'"
            ) from None
        self._verifying: dict[str | None, Any] = {}
        self._signing: tuple[str | None, Any] | None = None
        for spec in keys:
            if spec.kid in self._verifying:
                raise ConfigurationError(f"keys: {spec.kid!r} stands there twice")
            key, can_sign = self._load(spec)
            self._verifying[spec.kid] = key.public_key() if can_sign and algorithm not in _HMAC else key
            if can_sign and not spec.verify_only and self._signing is None:
                self._signing = (spec.kid, key)
        self._only = next(iter(self._verifying.values())) if len(self._verifying) == 1 else None

    def __repr__(self) -> str:
        return f"KeyRing({self.algorithm}, {len(self._verifying)} keys)"

    def sign(self, payload: dict[str, Any]) -> str:
        """The payload as a signed token.

        Raises:
            InvalidArgumentError: There is no key that may sign: this service only verifies.
        """
        if self._signing is None:
            raise InvalidArgumentError("no key can sign: this service only verifies tokens")
        kid, key = self._signing
        return jwt.encode(payload, key, algorithm=self.algorithm, headers=None if kid is None else {"kid": kid})

    def verify(self, kid: str | None, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is that of the key which the header names; with one key its name does not matter."""
        key = self._only if self._only is not None else self._verifying.get(kid)
        return key is not None and bool(self._algorithm.verify(signed, key, signature))

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK set (RFC 7517 section 5). Empty for HMAC, whose keys are secret."""
        found: list[dict[str, Any]] = []
        for kid, key in self._verifying.items() if self.algorithm not in _HMAC else ():
            jwk = dict(self._algorithm.to_jwk(key, as_dict=True))
            jwk.pop("key_ops", None)
            found.append(jwk | {"use": "sig", "alg": self.algorithm} | ({} if kid is None else {"kid": kid}))
        return {"keys": found}

    def _load(self, spec: KeySpec) -> tuple[Any, bool]:
        """The key, and whether it can sign."""
        name = "secret" if spec.kid is None else f"keys: {spec.kid!r}"
        try:
            if self.algorithm in _HMAC:
                return self._algorithm.prepare_key(spec.material.encode()), True
            if spec.material.lstrip().startswith("{"):
                self._check_jwk(json.loads(spec.material))
                key = self._algorithm.prepare_key(self._algorithm.from_jwk(spec.material))
            else:
                key = self._algorithm.prepare_key(spec.material)
            weakness = self._algorithm.check_key_length(key)
        except Exception as error:
            # Without cause and text: both may hold the key.
            raise ConfigurationError(f"{name}: not a key for {self.algorithm} ({type(error).__name__})") from None
        if weakness or "Ed448" in type(key).__name__:
            raise ConfigurationError(f"{name}: too short a key, or of the wrong kind, for {self.algorithm}")
        return key, hasattr(key, "public_key")

    def _check_jwk(self, jwk: dict[str, Any]) -> None:
        """RFC 7517 sections 4.1 to 4.4: the key is for signatures by this algorithm."""
        operations = jwk.get("key_ops", ["sign", "verify"])
        if jwk["kty"] != _KEY_TYPES[self.algorithm[:2]] or jwk.get("use", "sig") != "sig":
            raise ValueError
        if jwk.get("alg", self.algorithm) != self.algorithm or not {"sign", "verify"} & set(operations):
            raise ValueError
