"""`Key`: one of several keys."""

from typing import TYPE_CHECKING, NotRequired, TypedDict, Unpack

from pydantic import Field, SecretStr

from .group import SettingsGroup


class KeyOptions(TypedDict):
    """What `Key` takes by name: a secret as a plain text too."""

    kid: str
    secret: str | SecretStr
    verify_only: NotRequired[bool]


class Key(SettingsGroup):
    """One of several keys, so that keys can be replaced while tokens are in use (`SessionSettings.keys`).

    Raises:
        ConfigurationError: The name or the key has the wrong form. The message does not show the key.
    """

    kid: str = Field(pattern=r"^[A-Za-z0-9._~-]{1,128}$")
    """The key's name, which stands in the header of its tokens (RFC 7515 section 4.1.4)."""
    secret: SecretStr
    """As `SessionSettings.secret`: an HMAC secret, or a private or public key as PEM or JWK."""
    verify_only: bool = False
    """Accept tokens of this key, but sign none with it: for a new key that not every worker knows yet."""

    if TYPE_CHECKING:

        def __init__(self, **values: Unpack[KeyOptions]) -> None: ...
