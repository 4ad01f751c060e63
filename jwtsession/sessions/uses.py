"""`Uses`: counts the uses of sessions. A use restarts the idle timeout, and the user's index knows of it."""

from collections.abc import Callable
from typing import Any

from .clients import Clients, RawHeaders
from .index.entries import Login
from .index.user_index import UserIndex
from .repository import SessionRepository
from .timeouts import SessionToken


class Uses:
    """Counts the uses of a provider's sessions, each at most once in `touch_interval`.

    Args:
        repository: Has the idle timeouts.
        index: The index of each user's sessions; None if there is none.
        clients: Compares the clients of uses with those of the logins.
    """

    def __init__(self, repository: SessionRepository[Any], index: UserIndex | None, clients: Clients) -> None:
        self._repository = repository
        self._index = index
        self._clients = clients
        self.on_evicted: Callable[[str, str | None, object], object] = lambda *_: None
        """Called for each session that ends because a use brings another one into its user's index: with its id, its
        user, and the address of the client that used the other one."""

    def is_due(self, token: SessionToken) -> bool:
        """Whether a use of the session has to be counted now. This does no I/O."""
        rotation = self._repository.rotation
        return (
            self._repository.timeouts.is_due(token)
            or (rotation is not None and rotation.is_due(token))
            or (self._index is not None and bool(token.sub) and self._index.is_due(token.session_id))
        )

    async def extend(self, token: SessionToken) -> None:
        """Count a use: restart the idle timeout if that is due, and note it in the user's index.

        Raises:
            SessionNotFoundError: The session is gone.
            StoreUnavailableError: The store did not answer.
        """
        timeouts = self._repository.timeouts
        ttl = timeouts.ttl(token)
        if ttl > 0 and timeouts.is_due(token):
            await self._repository.touch(token.session_id, ttl)
        await self.note(token)

    async def note(self, token: SessionToken, host: object = None, headers: RawHeaders = ()) -> None:
        """Note that the session was used, in the user's index and for the generation of its token, where that is due.

        Args:
            token: The session's token.
            host: The client's address as the server saw it; None if nobody knows.
            headers: The request's headers.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        if self._repository.rotation is not None:
            await self._repository.rotation.extend(token)
        if self._index is not None and token.sub and self._index.is_due(token.session_id):
            login = Login(token.auth_time or token.iat or self._repository.timeouts.now(), actor=token.actor)
            ttl = self._repository.timeouts.ttl(token)
            known = await self._index.note_use(
                token.sub, token.session_id, login, ttl, lambda each: self.on_evicted(each, token.sub, host)
            )
            if known is not None and host is not None:
                self._clients.compare(token, known, host, headers)
