"""`RotationSettings`: the group `rotation`."""

from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from pydantic import Field, ValidationInfo, field_validator

from .durations import Seconds
from .group import SettingsGroup

RotationMode = Literal["silent", "explicit"]


class RotationOptions(TypedDict, total=False):
    """The arguments of `RotationSettings`."""

    after: int | timedelta | None
    grace: int | timedelta
    mode: RotationMode


class RotationSettings(SettingsGroup):
    """The replacement of a token while its session is in use: `SessionSettings.rotation`. The session's id stays.

    Raises:
        ConfigurationError: A setting can't work.
    """

    after: Seconds | None = Field(default=None, ge=1)
    """The age of a token in seconds from which it is replaced; 900 is a good value. `None` replaces none. A client that
    goes on with the old token is not logged out, as long as nobody uses the new one."""

    grace: Seconds = Field(default=30, ge=0, le=300)
    """How many seconds a replaced token stays good after the first use of the new one: requests that are under way end
    well. Later, the old token is a reuse: see `on_reuse`."""

    mode: RotationMode = "silent"
    """`silent` puts the new token on the answer of any request, in the cookie or in the header `Session-Token`.
    `explicit` replaces a token only if the client asks for it: `refresh_router`, or `SessionManager.refresh()`. It
    needs `after`, which switches rotation on, and whose number does not count then."""

    if TYPE_CHECKING:

        def __init__(self, **values: Unpack[RotationOptions]) -> None: ...

    @field_validator("grace", "mode")  # runs only for values that were given
    @classmethod
    def _needs_after(cls, value: object, info: ValidationInfo) -> object:
        if info.data.get("after", 1) is None:
            raise ValueError("needs rotation.after")
        return value
