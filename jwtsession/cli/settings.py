"""`jwtsession settings`: all settings without secrets, and where each comes from."""

import argparse
from typing import Any

from pydantic import BaseModel, SecretStr

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
    return _without_secrets(name, value)


def _without_secrets(name: str, value: Any) -> Any:
    if name == "redis_url":
        from ..stores.redis.connect import Connections

        url = value.get_secret_value()
        return url if url.startswith("embedded:") else Connections(url, None).location
    if isinstance(value, Key):
        return {"kid": value.kid, "secret": HIDDEN, "verify_only": value.verify_only}
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, BaseModel):
        return HIDDEN
    if isinstance(value, tuple):
        return [_without_secrets("", each) for each in value]
    return value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, dict):
        return f"{value['kid']}{' (verify_only)' if value['verify_only'] else ''}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
