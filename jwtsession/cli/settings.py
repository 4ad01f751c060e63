"""`jwtsession settings`: all settings without secrets, and where each comes from."""

import argparse
from typing import Any

from pydantic import BaseModel, SecretStr

from .._from_settings import location_of
from ..settings import Key, SessionSettings, origins
from .answer import Answer, Table
from .output import HIDDEN
from .target import load


def run(arguments: argparse.Namespace, secrets: set[str]) -> Answer:
    """Show every setting by its name."""
    settings = load(arguments, secrets).settings
    found = []
    for name, origin in origins(settings).items():
        found.append({"name": name, "value": _shown(name, settings), "origin": origin})
    rows = [(str(each["name"]), str(each["origin"]), _text(each["value"])) for each in found]
    return Answer({"settings": found}, [Table(("setting", "from", "value"), rows)])


def _shown(name: str, settings: SessionSettings) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return location_of(settings) if name == "redis_url" else _without_secrets(value)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Key):
        return {"kid": value.kid, "secret": HIDDEN, "verify_only": value.verify_only}
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, BaseModel):
        return HIDDEN
    if isinstance(value, tuple):
        return [_without_secrets(each) for each in value]
    return value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, dict):
        return f"{value['kid']}{' (verify_only)' if value['verify_only'] else ''}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
