"""Settings from the environment: one variable for each setting, and a warning for variables that are no setting."""

import functools
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from pydantic import create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError

from ._messages import Place, did_you_mean, places

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

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """See `PydanticBaseSettingsSource`."""
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        """Return the source's values by the names of settings and groups."""
        flat = self._source()
        grouped: dict[str, Any] = {}
        for place in places(self.settings_cls):
            if len(place) == 2 and _name(place) in flat:
                grouped.setdefault(str(place[0]), {})[place[1]] = flat.pop(_name(place))
        return grouped | flat  # a value of a group's own name stays here, so Pydantic refuses it


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
def _flat(settings_cls: type[BaseSettings]) -> type[BaseSettings]:
    """A class with the same settings, but without groups.

    A group's own name is there too. A source must not pass it over: the user who wrote it wants the feature.
    """
    fields: dict[str, Any] = {_name(place): (field.annotation, field) for place, field in places(settings_cls).items()}
    fields |= dict.fromkeys(_groups(settings_cls), (Any, None))
    return create_model(settings_cls.__name__, __base__=BaseSettings, **fields)
