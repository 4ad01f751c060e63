"""Settings from the environment: one variable for each setting, and a warning for variables that are no setting."""

import functools
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError

from ..errors import ConfigurationError
from ._files import FILE_SETTINGS, SUFFIX, read_secret
from ._messages import Place, did_you_mean, places

if TYPE_CHECKING:  # it imports this module
    from .session_settings import SessionSettings

# The names that `jwt-redis-session` gave these settings.
ORIGINAL_NAMES = {"maxAge": "max_age", "requestKey": "request_key", "requestArg": "request_arg"}

logger = logging.getLogger("jwtsession")


class GroupedSource(PydanticBaseSettingsSource):
    """Puts the values of a source with flat names (the environment, a `.env`, a folder of secrets) into their groups.

    The source looks for `encryption_mode` as for any other setting. No name is split, so `max_age` is in no group.
    """

    def __init__(self, settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self.__name__ = type(source).__name__  # for pydantic-settings' own debug log
        source.settings_cls = _flat(settings_cls)
        self._source = source
        self._prefix = getattr(source, "env_prefix", "")

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """See `PydanticBaseSettingsSource`."""
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        """Return the source's values by the names of settings and groups.

        Raises:
            ConfigurationError: A file of secrets can't be read, or a setting is there twice.
        """
        flat = self._read()
        grouped: dict[str, Any] = {}
        for place in places(self.settings_cls):
            if len(place) == 2 and _name(place) in flat:
                grouped.setdefault(str(place[0]), {})[place[1]] = flat.pop(_name(place))
        return grouped | flat  # a value of a group's own name stays here, so Pydantic refuses it

    def _read(self) -> dict[str, Any]:
        """The source's values by flat names, with what the files hold that it names."""
        folders = getattr(self._source, "secrets_dir", None)
        for folder in [folders] if isinstance(folders, str | Path) else folders or ():
            if not Path(folder).expanduser().is_dir():
                raise ConfigurationError("_secrets_dir: there is no such folder")
        try:
            flat = self._source() if self._may_hold_any() else {}
        except (SettingsError, UnicodeDecodeError, OSError) as error:
            cause = error.__cause__ or error
            if not isinstance(cause, UnicodeDecodeError | OSError):
                raise
            wrong = f"a file can't be read ({cause.strerror})" if isinstance(cause, OSError) else "a file is no UTF-8"
        else:
            for name in FILE_SETTINGS:
                path = flat.pop(f"{name}{SUFFIX}", None)
                if path is not None:
                    self._from_file(flat, name, path)
            return flat
        # Raised outside of the handlers: their errors hold what is in the file.
        raise ConfigurationError(f"_secrets_dir: {wrong}")

    def _may_hold_any(self) -> bool:
        """Whether a variable has the prefix: to look for each setting takes most of the time of making the settings."""
        variables, prefix = getattr(self._source, "env_vars", None), self._prefix.lower()
        # A subclass may give the prefix to aliases alone, and refuse in a `.env` whatever is no setting.
        prefixed = getattr(self._source, "env_prefix_target", "variable") != "alias"
        filtered = getattr(self._source, "dotenv_filtering", "match_prefix") is not None
        if variables is None or _has_alias(self.settings_cls) or not prefixed or not filtered:
            return True
        return any(each.lower().startswith(prefix) for each in variables)

    def _from_file(self, flat: dict[str, Any], name: str, path: str) -> None:
        """Put into `flat` what a file holds for a setting, unless somebody has given the setting already."""
        variable = f"{self._prefix}{name}".upper()
        if name in flat:
            raise ConfigurationError(f"{variable} and {variable}{SUFFIX.upper()} are both set: keep one of them")
        group, _, inner = name.partition("_") if name == "encryption_keys" else (name, "", "")
        given = self.current_state.get(group)
        if given is None or (inner and isinstance(given, Mapping) and inner not in given):
            flat[name] = read_secret(name, path, f"{variable}{SUFFIX.upper()}")


class Variables:
    """The names of settings as environment variables.

    Args:
        settings_cls: The settings.
        prefix: The prefix of each variable.
        arguments: The values that were given as arguments, and not by the environment.
    """

    def __init__(self, settings_cls: type[BaseSettings], prefix: str, arguments: Mapping[str, Any]) -> None:
        self._groups = _groups(settings_cls)
        self._prefix = prefix
        self._arguments = arguments

    def gave(self, place: Place) -> bool:
        """Whether the environment gave the setting at this place, a setting of a group, or one that looks like it."""
        name = str(place[0]) if place else ""
        if name in self._arguments:
            given = self._arguments[name]
            return len(place) > 1 and isinstance(given, Mapping) and place[1] not in given
        return any(name == group or name.startswith(f"{group}_") for group in self._groups)

    def write(self, place: Place) -> str:
        """Return the variable of the setting at a place, followed by the place inside its value."""
        return ".".join([f"{self._prefix}{_name(place[:2])}".upper(), *map(str, place[2:])])


class Given:
    """Which settings were given as arguments, and the prefix of the variables that could give the others.

    Args:
        arguments: The arguments. Only their names are kept.
        prefix: The prefix.
    """

    def __init__(self, arguments: Mapping[str, Any], prefix: str) -> None:
        self.prefix = prefix
        self._names = {
            ORIGINAL_NAMES.get(name, name): {*value} if isinstance(value, Mapping) else None
            for name, value in arguments.items()
        }

    def has(self, place: Place) -> bool:
        """Whether an argument gave the setting at a place."""
        inner = self._names.get(str(place[0]))
        return place[0] in self._names and (len(place) == 1 or inner is None or place[1] in inner)


def origins(settings: "SessionSettings") -> dict[str, str]:
    """Where each setting comes from, by its name: `argument`, `environment`, `file` or `default`.

    The environment is that of now: call this in the process that made the settings.
    """
    variables, given = {name.upper() for name in os.environ}, settings._given
    found = {}
    for place in places(type(settings)):
        name = ".".join(map(str, place))
        holder: Any = settings if len(place) == 1 else getattr(settings, str(place[0]))
        is_variable = f"{given.prefix}{_name(place)}".upper() in variables
        if given.has(place):
            found[name] = "argument"
        elif place[-1] not in holder.model_fields_set:
            found[name] = "default"
        else:
            found[name] = "environment" if is_variable else "file"
    return found


def not_json(error: SettingsError, settings_cls: type[BaseSettings], prefix: str) -> str:
    """The message for a variable that must be JSON and is not: it names the variable and gives an example of a list."""
    for place, field in places(settings_cls).items():
        if f'"{_name(place)}"' in str(error):
            variable = f"{prefix}{_name(place)}".upper()
            name = variable if len(place) == 2 else place[0]
            if not field.examples:  # a subclass declares it
                return f"{name}: must be JSON in the environment: {variable}"
            return f"{name}: must be a list as JSON in the environment: {variable}='{json.dumps(field.examples[0])}'"
    return str(error)


def warn_of_unknown_variables(settings_cls: type[BaseSettings], prefix: str) -> None:
    """Log a warning for each variable that has the prefix but is no setting, and name the variable that it resembles.

    Such variables are refused in a `.env`, but not in the environment: other programs may set them there. Kubernetes
    does so for a service of this name.
    """
    known = [f"{prefix}{_name(place)}".upper() for place in places(settings_cls)]
    known += [f"{prefix}{name}{SUFFIX}".upper() for name in FILE_SETTINGS]
    delimiter = settings_cls.model_config.get("env_nested_delimiter")  # a subclass may set it
    nested = tuple(f"{each}{delimiter}".upper() for each in known if delimiter)
    for variable in os.environ if prefix else ():
        name = variable.upper()
        if name.startswith(prefix) and name not in known and not name.startswith(nested):
            meant = did_you_mean(variable, known)
            logger.warning("%s in the environment is no setting%s", variable, meant)


def _name(place: Place) -> str:
    """The name of a setting in the environment without the prefix."""
    return "_".join(map(str, place))


def _groups(settings_cls: type[BaseSettings]) -> set[str]:
    return {str(place[0]) for place in places(settings_cls) if len(place) == 2}


@functools.cache
def _has_alias(settings_cls: type[BaseSettings]) -> bool:
    """Whether a subclass has a setting of another name, which needs no prefix."""
    return any(field.validation_alias is not None for field in places(settings_cls).values())


@functools.cache
def _flat(settings_cls: type[BaseSettings]) -> type[BaseSettings]:
    """A class with the same settings, but without groups.

    A group's own name is there too. A source must not pass it over: the user who wrote it wants the feature.
    """
    fields: dict[str, Any] = {_name(place): (field.annotation, field) for place, field in places(settings_cls).items()}
    fields |= dict.fromkeys(_groups(settings_cls), (Any, None))
    fields |= {f"{name}{SUFFIX}": (str | None, None) for name in FILE_SETTINGS}
    return create_model(settings_cls.__name__, __base__=BaseSettings, **fields)
