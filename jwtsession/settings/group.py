"""`SettingsGroup`: the base class of the settings of one feature."""

from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import ConfigDict, ValidationError

from .._tracebacks import scrub_traceback
from ._messages import Grouped, describe, refusal


class SecretHolder:
    """Base of immutable models that hold secrets.

    They can't be pickled: a pickle shows the secrets to everybody who reads it. The error of an assignment shows no
    value.
    """

    if not TYPE_CHECKING:  # a type checker would permit every assignment

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                return super().__setattr__(name, value)
            except ValidationError as error:
                kind = error.errors(include_input=False)[0]["type"]
                if not kind.startswith("frozen_"):  # a subclass that is not frozen validates: the value is hidden
                    raise
            # Raised outside of the handler: its error, which would be the context, shows the value.
            del value
            wrong = {"type": kind, "loc": (name,), "input": None}
            raise ValidationError.from_exception_data(type(self).__name__, [wrong], hide_input=True)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds secrets and can't be pickled: give each process its environment")


class SettingsGroup(SecretHolder, Grouped):
    """Base class of the settings of one feature. Immutable.

    A group is a field of `SessionSettings`. Each of its settings has its own environment variable, which begins with
    the group's name: `encryption.mode` is `JWTSESSION_ENCRYPTION_MODE`. To add a group, declare a subclass in a file of
    its own, and a field in `SessionSettings` and in `SettingsOptions`.

    Raises:
        ConfigurationError: A setting can't work. The message names the setting and never shows its value.
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
        # Raised outside of the handler: its error, which would be the context, contains the given values.
        raise refusal(wrong)

    # Without this mark, Pydantic calls the constructor for each mapping that it finds in other settings. With it,
    # Pydantic raises its own errors, which say where in the group something is wrong.
    __init__.__dict__["__pydantic_base_init__"] = True
