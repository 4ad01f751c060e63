"""`SessionAdmin`: reads and ends sessions by their id or their user, outside a request."""

import logging
from datetime import datetime
from typing import Generic

from .._ids import is_session_id
from .._types import S
from ..errors import InvalidArgumentError
from ..observability import AuditTrail
from ..stores import SessionStore
from .cutoff import shown
from .index.entries import SessionInfo, check_label, check_sub
from .lifecycle import SessionLifecycle
from .repository import SessionRepository


class SessionAdmin(Generic[S]):
    """Reads and ends sessions. `SessionProvider` has the same methods and documents them.

    Args:
        store: `get` reads from it directly, because this is no use of the session.
        repository: Decodes the stored bytes.
        lifecycle: Ends sessions.
    """

    def __init__(self, store: SessionStore, repository: SessionRepository[S], lifecycle: SessionLifecycle[S]) -> None:
        self._store = store
        self._repository = repository
        self._lifecycle = lifecycle

    async def get(self, session_id: str) -> S | None:
        """See `SessionProvider.get`."""
        value = await self._store.load(session_id) if _can_be_id(session_id) else None
        return None if value is None else self._repository.decode(session_id, value).session

    async def revoke(self, session_id: str, *, sub: str | None = None, wait_replicas: int = 0) -> bool:
        """See `SessionProvider.revoke`."""
        index = None if sub is None else self._lifecycle.index
        if not _can_be_id(session_id):
            return False
        actor = None
        if index is not None:
            login = await index.login(check_sub(sub), session_id)
            if login is None:
                moved = await self._repository.forwards.find(session_id)  # since the caller has listed it
                login = None if moved is None else await index.login(check_sub(sub), moved.id)
            if login is None:
                return False
            actor = login.actor
        return await self._lifecycle.end(session_id, sub, "revoked", actor=actor, wait_replicas=wait_replicas)

    async def revoke_handle(self, handle: str, *, sub: str, wait_replicas: int = 0) -> bool:
        """See `SessionProvider.revoke_handle`."""
        found = await self._lifecycle.index.find(sub, handle)
        if found is None:
            return False
        session_id, actor = found
        return await self._lifecycle.end(session_id, sub, "revoked", actor=actor, wait_replicas=wait_replicas)

    async def set_label(self, handle: str, label: str | None, *, sub: str) -> bool:
        """See `SessionProvider.set_label`."""
        label = check_label(label)
        found = await self._lifecycle.index.find(sub, handle)
        return found is not None and await self._lifecycle.index.set_label(sub, found[0], label)

    async def list_sessions(
        self, sub: str, current_id: str | None = None, limit: int | None = None
    ) -> list[SessionInfo]:
        """See `SessionProvider.list_sessions`."""
        return await self._lifecycle.index.sessions(sub, current_id, limit)

    async def revoke_all(self, sub: str, except_id: str | None = None) -> int:
        """See `SessionProvider.revoke_all`."""
        if except_id is not None:
            _can_be_id(except_id)
        return await self._lifecycle.end_all(sub, except_id, "revoked")

    async def revoke_before(self, time: datetime | float | None) -> float:
        """See `SessionProvider.revoke_before`."""
        if self._repository.cutoff is None:
            raise InvalidArgumentError("revoke_before() needs the setting revoke_before=True, in each worker")
        counts = await self._repository.cutoff.set(time)
        AuditTrail.log(logging.WARNING, "revoke_before: every token issued up to %s is refused", shown(counts))
        self._lifecycle.emit("revoked_before", code=shown(counts))
        return counts


def _can_be_id(session_id: object) -> bool:
    """Whether the value has the form of a session's id.

    Raises:
        InvalidArgumentError: The value is not a `str`.
    """
    if not isinstance(session_id, str):
        raise InvalidArgumentError(f"a session's id is a text, not {type(session_id).__name__}")
    return is_session_id(session_id)
