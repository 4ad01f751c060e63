"""`SettingsGroup`: the base class of the settings of one feature."""

from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from .._tracebacks import scrub_traceback
from ..errors import ConfigurationError
from ._messages import describe


class Unpicklable:
    """Of what holds secrets: a pickle shows them to whoever reads it."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds secrets and can't be pickled: give each process its environment")


class SettingsGroup(Unpicklable, BaseModel):
    """Base class of the settings of one feature. Immutable.

    A group is a field of `SessionSettings`, and each of its settings has a variable of its own in the environment, with
    the group's name in front: `encryption.mode` is `JWTSESSION_ENCRYPTION_MODE`. To add one, declare a subclass in a
    file of its own, and a field in `SessionSettings` and in `SettingsOptions`.

    Raises:
        ConfigurationError: A setting can't work. The message names it and never shows its value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @scrub_traceback
    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            wrong = describe(error, type(self))
        else:
            return
        # Outside of the handler: its error holds what was given.
        raise ConfigurationError(wrong)

    # Pydantic calls a constructor for each mapping that it finds in other settings, unless this says that there is no
    # need to. Its own errors tell where in the group something is wrong.
    __init__.__dict__["__pydantic_base_init__"] = True
