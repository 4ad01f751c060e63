"""`Key`: one of several keys."""

from typing import TYPE_CHECKING, NotRequired, TypedDict, Unpack

from pydantic import Field, SecretStr

from .group import SettingsGroup


class KeyOptions(TypedDict):
    """The arguments of `Key`. The secret may be a plain text."""

    kid: str
    secret: str | SecretStr
    verify_only: NotRequired[bool]


class Key(SettingsGroup):
    """One of several keys of the tokens (`SessionSettings.keys`): so keys can be replaced while tokens are in use.

    Raises:
        ConfigurationError: The name or the key has the wrong form. The message never shows the key.
    """

    kid: str = Field(pattern=r"^[A-Za-z0-9._~-]{1,128}$")
    """The key's name, which the header of each of its tokens contains (RFC 7515 section 4.1.4)."""
    secret: SecretStr
    """As `SessionSettings.secret`: an HMAC secret, or a private or public key as PEM or JWK."""
    verify_only: bool = False
    """Whether this key only verifies tokens and signs none: for a new key that not every worker knows yet."""

    if TYPE_CHECKING:

        def __init__(self, **values: Unpack[KeyOptions]) -> None: ...
