"""`SessionEndings`: ends sessions, and emits the events of all of them."""

from collections.abc import Sequence
from typing import Generic

from .._types import S
from ..errors import InvalidArgumentError
from ..observability import AuditTrail, EventReason
from .clients import Clients
from .index.entries import Login
from .index.user_index import UserIndex
from .repository import SessionRepository
from .uses import Uses
from .watch.session_watch import SessionWatch

NO_INDEX = "the sessions of a user are not known: set user_index=True"


class SessionEndings(Generic[S]):
    """Ends sessions for a request's manager, and for the provider outside a request.

    Args:
        repository: Stores the sessions.
        index: The index of each user's sessions; None if the setting `user_index` is off.
        audit: Gets the events.
        uses: Counts the uses of sessions.
        watch: Knows the open sockets and streams, which end with their session.
        clients: Describes the clients of logins.
    """

    def __init__(
        self,
        repository: SessionRepository[S],
        index: UserIndex | None,
        audit: AuditTrail,
        uses: Uses,
        watch: SessionWatch,
        clients: Clients,
    ) -> None:
        self._repository = repository
        self._forwards = repository.forwards
        self._index = index
        self._audit = audit
        self.clients = clients
        """Describes the clients of logins."""
        self.emit = audit.emit
        """See `AuditTrail.emit`."""
        self.watch = watch
        """Knows the open sockets and streams."""
        self.extend = uses.extend
        """See `Uses.extend`."""
        self.note_use = uses.note
        """See `Uses.note`."""
        uses.on_evicted = self._tell_evicted

    async def end(
        self,
        session_id: str,
        sub: str | None,
        reason: EventReason,
        host: str | None = None,
        *,
        actor: str | None = None,
        wait_replicas: int = 0,
    ) -> bool:
        """End a session. If it has moved to another id, end it there.

        Args:
            session_id: The session.
            sub: The session's user; None if nobody knows.
            reason: Why it ends, for the event.
            host: The client's address as the server saw it, for the event.
            actor: Who acts for the user, for the event.
            wait_replicas: How many replicas must confirm the end.

        Returns:
            False if the session was already gone.

        Raises:
            StoreUnavailableError: The store did not answer, or too few replicas confirmed.
        """
        last_id, last_sub, ended = await self._forwards.end(session_id, sub, wait_replicas)
        if ended:
            self._tell_ended([last_id], last_sub or sub, reason, host, actor)
        self.watch.ended([session_id, last_id])
        await self._index_remove(last_sub, last_id)
        if last_id != session_id:
            await self._index_remove(sub, session_id)
        return ended

    async def end_all(self, sub: str, except_id: str | None, reason: EventReason, host: str | None = None) -> int:
        """End a user's sessions, except one. Return how many ended.

        Args:
            sub: The user.
            except_id: The session that goes on; None for none.
            reason: Why they end, for the events.
            host: The client's address as the server saw it, for the events.

        Raises:
            InvalidArgumentError: There is no index, or no user can have this `sub`.
            StoreUnavailableError: The store did not answer. Its `ended` counts the sessions that have ended.
        """

        def tell(session_id: str, login: Login) -> None:
            self._tell_ended([session_id], login.acts_for or sub, reason, host, login.actor)

        return await self.index.revoke_all(sub, except_id, tell)

    @property
    def has_index(self) -> bool:
        """Whether an index of each user's sessions is kept."""
        return self._index is not None

    @property
    def index(self) -> UserIndex:
        """The index of each user's sessions.

        Raises:
            InvalidArgumentError: The setting `user_index` is off.
        """
        if self._index is None:
            raise InvalidArgumentError(NO_INDEX)
        return self._index

    def _tell_ended(
        self, session_ids: Sequence[str], sub: str | None, reason: EventReason, host: object, actor: str | None = None
    ) -> None:
        """Emit the events of sessions that have just ended, and close their sockets."""
        for each in session_ids:
            self.emit("destroyed", each, sub=sub, actor=actor, reason=reason, host=host)
        self.watch.ended(session_ids)

    def _tell_evicted(self, session_id: str, sub: str | None, host: object) -> None:
        self._tell_ended([session_id], sub, "evicted", host)

    async def _index_remove(self, sub: str | None, session_id: str) -> None:
        if self._index is not None and sub:
            await self._index.remove(sub, session_id)
