"""`LoadedSettings`: takes settings from arguments and the environment, and says which of them is wrong."""

from typing import ClassVar, Unpack

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError

from ..errors import ConfigurationError
from ._environment import Given, GroupedSource, Variables, not_json, warn_of_unknown_variables
from ._messages import describe, refusal
from ._requirements import kind_of
from .group import SecretHolder
from .options import SettingsOptions


class LoadedSettings(SecretHolder, BaseSettings):
    """Base of the settings: how they are loaded."""

    _given: ClassVar[Given] = Given({}, "")

    def __init__(self, **values: Unpack[SettingsOptions]) -> None:
        prefix = self._prefix(values.get("_env_prefix"))
        try:
            super().__init__(**values)
        except ValidationError as error:
            wrong = describe(error, type(self), Variables(type(self), prefix, values))
            kind = kind_of(error)
        except SettingsError as error:
            wrong, kind = [not_json(error, type(self), prefix)], ConfigurationError
        else:
            object.__setattr__(self, "_given", Given(values, prefix))  # the settings are frozen
            warn_of_unknown_variables(type(self), prefix)
            return
        # Raised outside of the handlers: their errors, which would be its context, contain the given values.
        raise refusal(wrong, kind)

    @classmethod
    def _prefix(cls, given: str | None) -> str:
        return (cls.model_config.get("env_prefix", "") if given is None else given).upper()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The places where pydantic-settings looks for a value. The first place that has a value counts."""
        by_name = (env_settings, dotenv_settings, file_secret_settings)
        return (init_settings, *(GroupedSource(settings_cls, source) for source in by_name))
