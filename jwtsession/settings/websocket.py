"""`WebSocketSettings`: the group `websocket`."""

from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict, Unpack

from pydantic import Field, field_validator

from .durations import Seconds
from .group import SettingsGroup


class WebSocketOptions(TypedDict, total=False):
    """The arguments of `WebSocketSettings`."""

    check_interval: int | timedelta
    close_code: int
    keeps_alive: bool


class WebSocketSettings(SettingsGroup):
    """WebSockets and streams end with their session: `SessionSettings.websocket`.

    Raises:
        ConfigurationError: A setting can't work.
    """

    check_interval: Seconds = Field(default=5, ge=1, le=3600)
    """How often a worker asks the store for the sessions of its open WebSockets and streams, in seconds. A session that
    another worker ended ends its sockets within this time; one that this worker ended, at once."""

    close_code: int = 1008
    """The closing code of a WebSocket whose session has ended: 1008 ("policy violation", RFC 6455 section 7.4.1), or a
    code of your own from 3000 to 4999."""

    keeps_alive: bool = True
    """Whether each message of the client counts as a use of the session. It then restarts the idle timeout, at most
    once in `touch_interval`. A message that the server sends never counts."""

    if TYPE_CHECKING:

        def __init__(self, **values: Unpack[WebSocketOptions]) -> None: ...

    @field_validator("close_code")
    @classmethod
    def _permitted(cls, value: int) -> int:
        if value != 1008 and not 3000 <= value <= 4999:
            raise ValueError("must be 1008, or from 3000 to 4999")
        return value
