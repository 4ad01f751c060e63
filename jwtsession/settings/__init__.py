"""The settings, from arguments or from the environment. They are checked when they are made."""

from ._messages import shown_name
from .durations import seconds
from .encryption import EncryptionMode, EncryptionSettings
from .group import SettingsGroup
from .keys import Key
from .options import SettingsOptions
from .session_settings import SessionSettings

__all__ = [
    "EncryptionMode",
    "EncryptionSettings",
    "Key",
    "SessionSettings",
    "SettingsGroup",
    "SettingsOptions",
    "seconds",
    "shown_name",
]
