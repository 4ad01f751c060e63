"""`EncryptionSettings`: the group `encryption`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from .. import _base64
from ._weak_secrets import weakness
from .group import SettingsGroup

EncryptionMode = Literal["read", "write", "require"]


class EncryptionOptions(TypedDict, total=False):
    """What `EncryptionSettings` takes by name: keys as plain texts too."""

    keys: Sequence[str | SecretStr]
    mode: EncryptionMode


class EncryptionSettings(SettingsGroup):
    """The encryption at rest (AES-256-GCM; extra `crypto`): `SessionSettings.encryption`. Without keys there is none.

    Sessions that are encrypted can't be shared with the Node original.

    Raises:
        ConfigurationError: A key has the wrong form, or there is a mode without keys. The message does not show a key.
    """

    keys: tuple[SecretStr, ...] = Field(default=(), examples=[["..."]])
    """The keys: 32 random bytes each, as base64url. The first encrypts, all decrypt.

    To replace a key, put the new one behind it in every worker, then in front of it in every worker, and remove the old
    one after `absolute_max_age`, when nothing is left that it encrypted.
    """

    mode: EncryptionMode = "require"
    """How far a deployment is: `read` can read encrypted sessions and still writes plain ones, `write` writes encrypted
    ones and still reads plain ones, `require` takes a plain one for corrupt.

    Sessions are encrypted when they are next written: go from `write` to `require` after `absolute_max_age`.
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
            # So few different bytes are no random ones but a placeholder; a text may be one.
            placeholder = len(set(decoded)) < 8 or (decoded.isascii() and weakness(decoded.decode()) is not None)
            if len(decoded) != 32 or placeholder:
                raise ValueError("each must be 32 random bytes as base64url")
        return value

    @field_validator("mode")  # of a mode that somebody has set: Pydantic does not validate the default
    @classmethod
    def _needs_keys(cls, value: EncryptionMode, info: ValidationInfo) -> EncryptionMode:
        if info.data.get("keys") == ():
            raise ValueError("needs keys of the encryption")
        return value
