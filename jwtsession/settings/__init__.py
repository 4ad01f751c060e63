"""The settings, from arguments or from the environment. They are checked when they are made."""

from ._environment import origins
from ._messages import shown_name
from ._missing import settings_or_missing
from ._weak_secrets import check_secret
from .cookie import CookieSettings, SameSite
from .dpop import DPoPSettings, PublicKeyAlgorithm
from .durations import seconds
from .encryption import EncryptionSettings
from .group import SettingsGroup
from .keys import Key
from .options import CSRFMode, ReuseAction, SettingsOptions, TokenSource
from .rotation import RotationSettings
from .session_settings import SessionSettings
from .websocket import WebSocketSettings

__all__ = [
    "CSRFMode",
    "CookieSettings",
    "DPoPSettings",
    "EncryptionSettings",
    "Key",
    "PublicKeyAlgorithm",
    "ReuseAction",
    "RotationSettings",
    "SameSite",
    "SessionSettings",
    "SettingsGroup",
    "SettingsOptions",
    "TokenSource",
    "WebSocketSettings",
    "check_secret",
    "origins",
    "seconds",
    "settings_or_missing",
    "shown_name",
]
