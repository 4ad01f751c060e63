"""The settings: every knob, from arguments or from the environment, checked when they are made."""

from .durations import seconds
from .keys import Key
from .options import SettingsOptions
from .session_settings import SessionSettings

__all__ = ["Key", "SessionSettings", "SettingsOptions", "seconds"]
