"""`OffRequest`: what a provider does outside of FastAPI's requests, with a session's id, a user or a token."""

from datetime import datetime
from typing import Generic

from .._tracebacks import scrub_traceback
from .._types import C, S
from ..manager.session_manager import SessionManager
from ..sessions import SessionAdmin, SessionInfo
from ..web.authenticate import Authenticator
from ..web.lifespan import Lifespan


class OffRequest(Generic[S, C]):
    """The part of `SessionProvider` that needs no request.

    Args:
        lifespan: Refuses calls before the start.
        admin: Reads and ends sessions.
        messages: Makes the managers of tokens that came in a message.
    """

    def __init__(self, lifespan: Lifespan, admin: SessionAdmin[S], messages: Authenticator[S, C]) -> None:
        self._lifespan = lifespan
        self._admin = admin
        self._messages = messages

    @scrub_traceback
    async def authenticate(self, token: object) -> SessionManager[S, C]:
        """Return the manager of a token that came in a message: the first one of a WebSocket, GraphQL, Socket.IO, gRPC.

        This is a use of the session. Events have no client address, and `create()` returns the token, never a cookie.

        Args:
            token: What the client sent as its token. Whatever is no token is refused.

        Raises:
            AuthenticationError: The token is missing or not valid, or its session is gone.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer.
        """
        self._lifespan.require()
        return await self._messages.authenticate_token(token)

    async def ping(self) -> bool:
        """Whether the store answers. Never raises. Before the start and after the end: False, and the log says why."""
        return await self._lifespan.ping()

    @scrub_traceback
    async def get(self, session_id: str) -> S | None:
        """Return a session by its id, outside a request; None if it is gone. This does not restart its idle timeout.

        Args:
            session_id: The `jti` of the session's token.

        Raises:
            InvalidArgumentError: The id is not a `str`.
            SessionCorruptError: The stored value can't be read.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer.
        """
        self._lifespan.require()
        return await self._admin.get(session_id)

    @scrub_traceback
    async def revoke(self, session_id: str, *, sub: str | None = None, wait_replicas: int = 0) -> bool:
        """End a session by its id: from now on no server accepts its token.

        The id may be one that the session had before a `regenerate()`: this ends the session where it is now.

        Args:
            session_id: The `jti` of the session's token.
            sub: End the session only if it is this user's (the claim `sub`). Without it this method ends any session,
                so don't pass an id that a client has chosen.
            wait_replicas: How many replicas must confirm the end, so that a failover can't bring the session back.

        Returns:
            Whether a session ended: False if it is already gone, or if it is not the user's.

        Raises:
            InvalidArgumentError: The id or `sub` is not a `str`, or `sub` is given and the setting `user_index` is off.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer, or too few replicas confirmed. The session may still exist.
        """
        self._lifespan.require()
        return await self._admin.revoke(session_id, sub=sub, wait_replicas=wait_replicas)

    @scrub_traceback
    async def revoke_handle(self, handle: str, *, sub: str, wait_replicas: int = 0) -> bool:
        """End one of a user's sessions by its handle, which a client may have chosen: it finds no other user's session.

        Args:
            handle: The session's `SessionInfo.handle`.
            sub: The user, as in the claim `sub`.
            wait_replicas: How many replicas must confirm the end, so that a failover can't bring the session back.

        Returns:
            Whether a session ended: False if the user has no such session.

        Raises:
            InvalidArgumentError: The setting `user_index` is off, `sub` is not a non-empty `str`, or the handle is no
                `str`.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer, or too few replicas confirmed. The session may still exist.
        """
        self._lifespan.require()
        return await self._admin.revoke_handle(handle, sub=sub, wait_replicas=wait_replicas)

    @scrub_traceback
    async def set_label(self, handle: str, label: str | None, *, sub: str) -> bool:
        """Give one of a user's sessions a name of the user's own: `SessionInfo.label`. It outlives `regenerate()`.

        Args:
            handle: The session's `SessionInfo.handle`.
            label: At most 64 characters. None, or an empty text, removes the name.
            sub: The user, as in the claim `sub`.

        Returns:
            False if the user has no such session.

        Raises:
            InvalidArgumentError: The setting `user_index` is off, `sub` is not a non-empty `str`, the handle is no
                `str`, or the label is too long, or has a control character.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer. The label may be the old or the new one.
        """
        self._lifespan.require()
        return await self._admin.set_label(handle, label, sub=sub)

    @scrub_traceback
    async def list_sessions(
        self, sub: str, *, current_id: str | None = None, limit: int | None = None
    ) -> list[SessionInfo]:
        """Return a user's sessions, the one used last first. This reads page by page, about 50 sessions at a time.

        Args:
            sub: The user, as in the claim `sub`.
            current_id: The id of the session that asks, `manager.id`: its `SessionInfo.current` is True.
            limit: At most so many sessions: those used last, and always the one that asks. None: all, which are 1,000
                at most, or `max_sessions` if that is more.

        Raises:
            InvalidArgumentError: The setting `user_index` is off, `sub` is not a non-empty `str`, or `limit` is not a
                positive `int`.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer.
        """
        self._lifespan.require()
        return await self._admin.list_sessions(sub, current_id, limit)

    @scrub_traceback
    async def revoke_all(self, sub: str, except_id: str | None = None) -> int:
        """End all sessions of a user, page by page: log the user out everywhere. Return how many ended.

        Args:
            sub: The user, as in the claim `sub`.
            except_id: The id of a session that goes on.

        Raises:
            InvalidArgumentError: The setting `user_index` is off, `sub` is not a non-empty `str`, or `except_id` is
                not a `str`.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer. Its `ended` counts those ended; call again for the rest.
        """
        self._lifespan.require()
        return await self._admin.revoke_all(sub, except_id)

    @scrub_traceback
    async def revoke_before(self, time: datetime | float | None = None) -> float:
        """Log out everybody: each token that was issued up to a time is refused from now on, without a change of keys.

        Other workers know of it within a second, and open sockets and streams end at their next check. A later call
        can only move the time forward. New logins work at once; a login in the very second of the time is refused too,
        because `iat` has whole seconds.

        Needs the setting `revoke_before`, in each worker and service that verifies the tokens.

        Args:
            time: A `datetime` with a time zone, seconds since the epoch, or None for now. With a time in the past, a
                token that has replaced an older one since then, by `regenerate()` or rotation, stays good.

        Returns:
            The time that counts now, in seconds since the epoch: later than `time` if an earlier call has set it so.

        Raises:
            InvalidArgumentError: The setting `revoke_before` is off, the time is in the future, or it is no time.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer. Call again: it does no harm.
        """
        self._lifespan.require()
        return await self._admin.revoke_before(time)
