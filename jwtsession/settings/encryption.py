"""`EncryptionSettings`: the group `encryption`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from .. import _base64
from ._weak_secrets import weakness
from .group import SettingsGroup

EncryptionMode = Literal["read", "write", "require"]


class EncryptionOptions(TypedDict, total=False):
    """The arguments of `EncryptionSettings`. Keys may be plain texts."""

    keys: Sequence[str | SecretStr]
    mode: EncryptionMode


class EncryptionSettings(SettingsGroup):
    """Encryption at rest (AES-256-GCM; extra `crypto`): `SessionSettings.encryption`. Without keys there is none.

    The Node original can't read encrypted sessions.

    Raises:
        ConfigurationError: A key has the wrong form, or `mode` is set without keys. The message never shows a key.
    """

    keys: tuple[SecretStr, ...] = Field(default=(), examples=[["..."]])
    """The keys: 32 random bytes each, as base64url. The first key encrypts; all keys decrypt.

    To replace a key: add the new one behind it in every worker, then move the new one in front of it in every worker.
    Remove the old key after `absolute_max_age`: by then it has encrypted nothing that is left.
    """

    mode: EncryptionMode = "require"
    """The step of a deployment that introduces encryption. `read` reads encrypted sessions but writes plain ones.
    `write` writes encrypted ones but still reads plain ones. `require` refuses a plain one as corrupt.

    A session is encrypted when it is next written: change from `write` to `require` after `absolute_max_age`.
    """

    if TYPE_CHECKING:

        def __init__(self, **values: Unpack[EncryptionOptions]) -> None: ...

    @field_validator("keys")
    @classmethod
    def _32_bytes_each(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            text = key.get_secret_value()
            try:
                decoded = _base64.decode_pasted(text)
            except ValueError:
                decoded = b""
            # Random bytes have more different values than a placeholder. A text may be a placeholder too.
            placeholder = len(set(decoded)) < 8 or (decoded.isascii() and weakness(decoded.decode()) is not None)
            if len(decoded) != 32 or placeholder:
                raise ValueError("each must be 32 random bytes as base64url")
        return value

    @field_validator("mode")  # runs only for a mode that was given: Pydantic does not validate the default
    @classmethod
    def _needs_keys(cls, value: EncryptionMode, info: ValidationInfo) -> EncryptionMode:
        if info.data.get("keys") == ():
            raise ValueError("needs encryption.keys")
        return value
