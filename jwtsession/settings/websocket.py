"""`WebSocketSettings`: the group `websocket`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, get_args

from pydantic import Field, field_validator

from .durations import Seconds
from .group import SettingsGroup

SocketSource = Literal["bearer", "header", "cookie", "protocol", "query"]


class WebSocketOptions(TypedDict, total=False):
    """The arguments of `WebSocketSettings`."""

    sources: Sequence[SocketSource]
    check_interval: int | timedelta
    close_code: int
    keeps_alive: bool


class WebSocketSettings(SettingsGroup):
    """The ways into a WebSocket, and the end of sockets and streams with their session: `SessionSettings.websocket`.

    Raises:
        ConfigurationError: A setting can't work.
    """

    sources: tuple[SocketSource, ...] = Field(
        default=("bearer", "header", "cookie", "protocol"), examples=[["bearer", "protocol"]]
    )
    """The places of a handshake that may have the token, in this order. `protocol` is
    `new WebSocket(url, ["jwtsession", "jwtsession.token." + token])`. Of the others those count that `token_sources`
    has too. A `query` counts only if you name it here, because many programs log URLs. A ticket is always accepted."""

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

    @field_validator("sources")
    @classmethod
    def _each_once(cls, value: tuple[SocketSource, ...]) -> tuple[SocketSource, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"must name one or more of {', '.join(get_args(SocketSource))}, each once")
        return value

    @field_validator("close_code")
    @classmethod
    def _permitted(cls, value: int) -> int:
        if value != 1008 and not 3000 <= value <= 4999:
            raise ValueError("must be 1008, or from 3000 to 4999")
        return value
