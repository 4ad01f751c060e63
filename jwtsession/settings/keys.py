"""`Key`: one of several keys, checked as the settings are."""

import difflib
from collections.abc import Iterable, Mapping
from typing import NoReturn, NotRequired, TypedDict, Unpack, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from .._tracebacks import scrub_traceback
from ..errors import ConfigurationError


class Unpicklable:
    """Of what holds secrets: a pickle shows them to whoever reads it."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds secrets and can't be pickled: give each process its environment")


class KeyOptions(TypedDict):
    """What `Key` takes by name: a secret as a plain text too."""

    kid: str
    secret: str | SecretStr
    verify_only: NotRequired[bool]


class Key(Unpicklable, BaseModel):
    """One of several keys, so that keys can be replaced while tokens are in use (`SessionSettings.keys`).

    Raises:
        ConfigurationError: The name or the key has the wrong form. The message does not show the key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kid: str = Field(pattern=r"^[A-Za-z0-9._~-]{1,128}$")
    """The key's name, which stands in the header of its tokens (RFC 7515 section 4.1.4)."""
    secret: SecretStr
    """As `SessionSettings.secret`: an HMAC secret, or a private or public key as PEM or JWK."""
    verify_only: bool = False
    """Accept tokens of this key, but sign none with it: for a new key that not every worker knows yet."""

    @scrub_traceback
    def __init__(self, **values: Unpack[KeyOptions]) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            wrong = describe(error, type(self).model_fields)
        else:
            return
        raise ConfigurationError(wrong)


def describe(error: ValidationError, known: Mapping[str, FieldInfo]) -> str:
    """What is wrong with which setting, without a word of its value."""
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"there is no such setting{did_you_mean(name.lower(), known)}"
        elif item["type"] == "tuple_type":
            message = "must be a list"
        elif item["type"] == "seconds" and type(None) in get_args(known[name].annotation):
            message += "; for none None, which is null in the environment"
        found.append(f"{name}: {message}" if name else message)
    return "; ".join(found)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The name that was meant, as the end of a sentence; nothing where there is none like it."""
    return "".join(f": did you mean {each}?" for each in difflib.get_close_matches(name, known, n=1, cutoff=0.85))
