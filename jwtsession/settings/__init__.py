"""The settings, from arguments or from the environment. They are checked when they are made."""

from ._messages import shown_name
from .cookie import CookieSettings, SameSite
from .durations import seconds
from .encryption import EncryptionMode, EncryptionSettings
from .group import SettingsGroup
from .keys import Key
from .options import CSRFMode, SettingsOptions
from .session_settings import SessionSettings
from .websocket import WebSocketSettings

__all__ = [
    "CSRFMode",
    "CookieSettings",
    "EncryptionMode",
    "EncryptionSettings",
    "Key",
    "SameSite",
    "SessionSettings",
    "SettingsGroup",
    "SettingsOptions",
    "WebSocketSettings",
    "seconds",
    "shown_name",
]
