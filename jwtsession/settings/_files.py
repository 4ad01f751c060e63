"""Secrets from files: `JWTSESSION_SECRET_FILE` names the file that holds the setting `secret`."""

import json
import stat
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

FILE_SETTINGS = ("secret", "keys", "redis_url", "user_index_key", "encryption_keys")
"""The settings that a file may hold, by their flat names: those that are secret."""
SUFFIX = "_file"
"""The end of the name of a variable that names a file."""

_LISTS = ("keys", "encryption_keys")
_MAX_BYTES = 65_536


def read_secret(setting: str, path: str, variable: str) -> Any:
    """Return what a file holds for a setting, without line ends at its end; a list is JSON there.

    Args:
        setting: The setting's flat name.
        path: The file.
        variable: The variable that names the file, for messages. These never show what is in the file.

    Raises:
        ConfigurationError: There is no such file, or it can't be the setting's value.
    """
    if not path:
        raise ConfigurationError(f"{variable}: names no file")
    text, wrong = _read(Path(path))
    if wrong:
        raise ConfigurationError(f"{variable}: {wrong}")
    if setting not in _LISTS:
        return text
    value = _parsed(text)
    if value is None:
        raise ConfigurationError(f"{variable}: the file must hold a list as JSON")
    return value


# Both return what is wrong, and raise nothing: an error of theirs would hold what is in the file.
def _read(path: Path) -> tuple[str, str]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "", "is no file"  # a named pipe would be waited for, and a device may never end
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return "", "there is no such file"
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return "", f"the file can't be read ({reason})"
    if len(content) > _MAX_BYTES:
        return "", f"the file is larger than {_MAX_BYTES} bytes"
    try:
        text = content.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return "", "the file is no UTF-8"
    return (text, "") if text.strip() else ("", "the file is empty")


def _parsed(text: str) -> list[Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None
