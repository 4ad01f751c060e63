"""Encryption at rest: a stored value opens only under its own key in the store (AES-256-GCM, NIST SP 800-38D)."""

import hashlib
import os
from collections.abc import Sequence
from typing import Any, Protocol

from .. import _base64
from ..errors import ConfigurationError, SessionCorruptError

# Marks a sealed value: no JSON starts with this byte. After it come the key's name, the nonce, and the ciphertext with
# its tag (RFC 5116 section 5.1).
_MARK = b"\x01"
_NAME_BYTES = 4
_NONCE_BYTES = 12


def is_sealed(stored: bytes) -> bool:
    """Whether the bytes in the store are encrypted, and not JSON."""
    return stored.startswith(_MARK)


class Sealer(Protocol):
    """Turns a session's JSON into the bytes in the store, and back."""

    def seal(self, session_id: str, value: bytes) -> bytes:
        """Return the bytes to store for this JSON."""
        ...

    def open(self, session_id: str, stored: bytes) -> bytes:
        """Return the JSON that was sealed.

        Raises:
            SessionCorruptError: No known key sealed these bytes for this session.
        """
        ...


class PlaintextSealer:
    """No encryption: the store holds the JSON itself."""

    def seal(self, session_id: str, value: bytes) -> bytes:
        """Return the value unchanged."""
        return value

    def open(self, session_id: str, stored: bytes) -> bytes:
        """Return the value unchanged."""
        return stored


class AESGCMSealer:
    """AES-256-GCM with a random nonce for each write, and the session's key in the store as associated data.

    A value does not open if somebody changed it, cut it, or moved it to another session's key. One encryption key is
    safe for 2^32 writes (NIST SP 800-38D section 8.3).

    Args:
        keys: Encryption keys of 32 bytes each, as base64url. The first one seals; all of them open.
        keyspace: The prefix of the sessions' keys in the store.
        mode: See `EncryptionSettings.mode`.

    Raises:
        ConfigurationError: The package `cryptography` is not installed.
    """

    def __init__(self, keys: Sequence[str], keyspace: str, mode: str) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise ConfigurationError(
                "encryption.keys: need the extra: pip install 'fastapi-jwtsession[crypto]'"
            ) from None
        self._invalid: type[Exception] = InvalidTag
        self._ciphers: dict[bytes, Any] = {}
        for text in keys:
            key = _base64.decode_pasted(text)
            self._ciphers[hashlib.sha256(b"jwtsession key name" + key).digest()[:_NAME_BYTES]] = AESGCM(key)
        self._newest = next(iter(self._ciphers))
        self._keyspace = keyspace
        self._seals = mode != "read"
        self._takes_plain = mode != "require"

    def __repr__(self) -> str:
        return f"AESGCMSealer({len(self._ciphers)} keys)"

    def seal(self, session_id: str, value: bytes) -> bytes:
        """See `Sealer`."""
        if not self._seals:
            return value
        nonce = os.urandom(_NONCE_BYTES)
        sealed: bytes = self._ciphers[self._newest].encrypt(nonce, value, self._bound_to(session_id))
        return _MARK + self._newest + nonce + sealed

    def open(self, session_id: str, stored: bytes) -> bytes:
        """See `Sealer`."""
        if not is_sealed(stored):
            if self._takes_plain:
                return stored
            raise SessionCorruptError("session_not_encrypted")
        name, rest = stored[1 : 1 + _NAME_BYTES], stored[1 + _NAME_BYTES :]
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise SessionCorruptError("session_key_unknown")
        try:
            opened: bytes = cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], self._bound_to(session_id))
        except (self._invalid, ValueError):
            raise SessionCorruptError("session_tampered") from None
        return opened

    def _bound_to(self, session_id: str) -> bytes:
        return (self._keyspace + session_id).encode()
