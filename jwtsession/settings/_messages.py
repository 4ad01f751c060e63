"""Messages that say which setting is wrong and why. They show the setting's name, never its value."""

import difflib
import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ..errors import ConfigurationError

if TYPE_CHECKING:  # it imports this module
    from ._environment import Variables

Place = tuple[str | int, ...]
"""The path to a setting: `("max_age",)`, `("encryption", "mode")`, `("keys", 0, "kid")`."""


class Grouped(BaseModel):
    """Base of `SettingsGroup`, which imports this module. Any other model is the value of one setting."""


def places(model: type[BaseModel]) -> dict[Place, FieldInfo]:
    """All settings by their place. A group itself is left out; its settings are there."""
    found: dict[Place, FieldInfo] = {}
    for name, field in model.model_fields.items():
        group = field.annotation
        if inspect.isclass(group) and issubclass(group, Grouped):
            found |= {(name, *place): inner for place, inner in places(group).items()}
        else:
            found[name,] = field
    return found


def describe(error: ValidationError, model: type[BaseModel], variables: "Variables | None" = None) -> list[str]:
    """Say which settings of a model are wrong and why, without their values.

    Args:
        error: Pydantic's error.
        model: The class of the settings.
        variables: The names of settings in the environment; None if no setting may come from there.
    """
    found: list[str] = []
    settings = places(model)
    for item in error.errors(include_url=False, include_input=False):
        several = getattr(item.get("ctx", {}).get("error"), "errors", None)
        if several is not None:  # `SeveralSettingsError`
            found += map(str, several)
            continue
        place = item["loc"]
        write = _dotted
        if variables is not None and item["type"] != "invalid_key" and variables.gave(place):  # names there are texts
            write = variables.write
        name = write(_shown(place, model))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"there is no such setting{did_you_mean(write(place), map(write, _beside(place, model)))}"
        elif item["type"] == "tuple_type":
            message = "must be a list"
        elif item["type"] == "model_type" and len(place) == 1 and place not in settings:
            message = "must be a mapping of settings; in the environment each of them has a variable of its own"
        elif item["type"] == "seconds" and place in settings and type(None) in get_args(settings[place].annotation):
            message += "; to switch it off, give None (null in the environment)"
        found.append(f"{name}: {message}" if place else message)
    return found


def refusal(wrong: Sequence[str], kind: type[ConfigurationError] = ConfigurationError) -> ConfigurationError:
    """Make the error that says all that is wrong."""
    error = kind("; ".join(wrong))
    error.problems = tuple(wrong)
    return error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that suggests the known name most like `name`; empty if no known name is like it."""
    spelt = {each.lower(): each for each in known}
    return "".join(
        f": did you mean {spelt[each]}?" for each in difflib.get_close_matches(name.lower(), spelt, n=1, cutoff=0.85)
    )


def shown_name(name: str) -> str:
    """A name that the user gave, for a message; `*` if it does not look like a name: it may be a secret by mistake."""
    return name if name.isidentifier() and len(name) <= 32 else "*"


def _shown(place: Place, model: type[BaseModel]) -> Place:
    """A place for a message: names of settings, and names that look like one."""
    return tuple(
        part if isinstance(part, int) or place[:end] in _beside(place[:end], model) else shown_name(part)
        for end, part in enumerate(place, 1)
    )


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))


def _beside(place: Place, model: type[BaseModel]) -> list[Place]:
    """The places of the settings that the user may have meant."""
    if len(place) == 1:
        return [*places(model), *((name,) for name in model.model_fields)]
    for part in place[:-1]:
        field = model.model_fields.get(str(part))  # none for an index
        inner = () if field is None else (field.annotation, *get_args(field.annotation))
        model = next((each for each in inner if inspect.isclass(each) and issubclass(each, BaseModel)), model)
    return [(*place[:-1], name) for name in model.model_fields]
