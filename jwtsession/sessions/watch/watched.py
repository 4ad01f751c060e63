"""`Watched`: an open socket or stream, and the session that it belongs to."""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..timeouts import SessionToken

if TYPE_CHECKING:
    from .session_watch import SessionWatch


Moved = Callable[[SessionToken], object]
"""Called with a session's new token."""


class Ending(NamedTuple):
    """Why a socket or a stream ends."""

    code: int
    """The closing code of a WebSocket (RFC 6455 section 7.4)."""
    reason: str
    """Why, for the client."""


class Watched:
    """An open socket or stream, and the session that it belongs to. Made by `SessionWatch.add`.

    Args:
        watch: The watch.
        token: The session's token.
        owner: The manager of the socket's own request.
        tell: Called once if the session ends.
        moved: Called with the new token if the session moves to a new id.
    """

    __slots__ = ("_loop", "_moved", "_tell", "_watch", "owner", "token")

    def __init__(
        self,
        watch: "SessionWatch",
        token: SessionToken,
        owner: object,
        tell: Callable[[Ending], object],
        moved: Moved,
    ) -> None:
        self._moved: Moved | None = moved
        self.token = token
        """The session's token: the new one after a `regenerate()` in this worker."""
        self.owner = owner
        """The manager of the socket's own request; None after the end."""
        self._watch: SessionWatch | None = watch
        self._tell: Callable[[Ending], object] | None = tell
        self._loop = asyncio.get_running_loop()

    def used(self) -> None:
        """Count a use of the session soon, if that is due. This does no I/O, and never fails."""
        if self._watch is not None:
            self._watch.note_used(self)

    def close(self) -> None:
        """Watch no longer: the socket is closed. Does nothing if it was called before."""
        watch, self._watch, self._tell, self._moved, self.owner = self._watch, None, None, None, None
        if watch is not None:
            watch.remove(self)

    def move(self, token: SessionToken) -> None:
        """Go on under the session's new token."""
        self.token = token
        if self._moved is not None:
            self._moved(token)

    def tell(self, ending: Ending) -> None:
        """Tell of the end, in the socket's own event loop, a moment later: a message that is there already is read."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the socket with it
            self._loop.call_soon_threadsafe(self._told, ending, context=contextvars.Context())

    def _told(self, ending: Ending) -> None:
        tell = self._tell  # None: the socket has closed meanwhile
        self.close()
        if tell is not None:
            tell(ending)
