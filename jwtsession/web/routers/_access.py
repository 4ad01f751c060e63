"""`SessionAccess`: what the ready-made endpoints about sessions may do. They know no provider and no settings."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from fastapi import HTTPException
from starlette.types import Scope

from ..._ids import handle_of
from ...errors import ConfigurationError
from ...manager import SessionManager
from ...manager.logins import refuse_actor
from ...sessions import SessionInfo
from ..dependency import SessionDependency
from . import paging

Manager = SessionManager[Any, Any]


class ListSessions(Protocol):
    """`SessionProvider.list_sessions`."""

    def __call__(
        self, sub: str, *, current_id: str | None = None, limit: int | None = None
    ) -> Awaitable[list[SessionInfo]]:
        """See there."""
        ...


class RevokeHandle(Protocol):
    """`SessionProvider.revoke_handle`."""

    def __call__(self, handle: str, *, sub: str) -> Awaitable[bool]:
        """See there."""
        ...


class SetLabel(Protocol):
    """`SessionProvider.set_label`."""

    def __call__(self, handle: str, label: str | None, *, sub: str) -> Awaitable[bool]:
        """See there."""
        ...


@dataclass(frozen=True, slots=True)
class SessionAccess:
    """What the provider gives to the routers."""

    get_manager: SessionDependency[Manager]
    """`SessionProvider.get_manager`."""
    get_required_manager: SessionDependency[Manager]
    """`SessionProvider.get_required_manager`."""
    list_sessions: ListSessions
    revoke_handle: RevokeHandle
    revoke_all: Callable[[str], Awaitable[int]]
    revoke_before: Callable[[datetime | None], Awaitable[float]]
    set_label: SetLabel
    now: Callable[[], float]
    """Returns the time in seconds since the epoch."""
    check_origin: Callable[[Scope], None]
    """Raises `CSRFError` for a request that another site has made, if the request changes something."""

    async def sessions(self, manager: Manager, offset: int = 0) -> list[SessionInfo]:
        """The sessions of the manager's user, the one used last first: at most `paging.LISTED`. A visitor has none."""
        sub = user_of(manager)
        return await self.sessions_of(sub, manager, offset) if sub else []

    async def sessions_of(self, sub: str, manager: Manager, offset: int = 0) -> list[SessionInfo]:
        """The sessions of any user, for the manager that asks: at most `paging.LISTED`."""
        found = await self.list_sessions(sub, current_id=manager.id, limit=offset + paging.LISTED)
        return found[offset:]

    async def end(self, handle: str, manager: Manager) -> None:
        """End a session of the manager's user.

        Raises:
            HTTPException: 404: the user has no such session.
            ImpersonationError: It is another session than the manager's, and somebody acts for the user.
        """
        if manager.id is not None and handle == handle_of(manager.id):
            await manager.destroy()  # this also clears the cookie
            return
        refuse_actor(manager)
        sub = user_of(manager)
        if not (sub and await self.revoke_handle(handle, sub=sub)):
            raise not_found()

    async def end_others(self, manager: Manager, *, own_too: bool = False) -> int:
        """End the other sessions of the manager's user, and then the manager's own, if asked. Return how many ended.

        Raises:
            ImpersonationError: Somebody acts for the user.
        """
        ended = await manager.destroy_others() if user_of(manager) else 0
        if own_too:
            await manager.destroy()
        return ended + own_too

    async def name(self, handle: str, label: str | None, manager: Manager) -> None:
        """Give a session of the manager's user a label.

        Raises:
            HTTPException: 404: the user has no such session.
            ImpersonationError: Somebody acts for the user.
        """
        refuse_actor(manager)
        sub = user_of(manager)
        if not (sub and await self.set_label(handle, label, sub=sub)):
            raise not_found()


def user_of(manager: Manager) -> str | None:
    """The user of the manager's session; None for a visitor."""
    return None if manager.claims is None else manager.claims.sub


def not_found() -> HTTPException:
    """The 404 for every handle that names no session of the user: another user's, a wrong one, one that has ended.

    It is what a path without an endpoint answers.
    """
    return HTTPException(404)


def checked_prefix(method: str, prefix: object) -> str:
    """Return the beginning of the paths, as FastAPI takes it.

    Raises:
        ConfigurationError: It is none.
    """
    if not isinstance(prefix, str) or (prefix and not prefix.startswith("/")) or prefix.endswith("/"):
        raise ConfigurationError(f"{method}: prefix: must be empty, or begin with a slash and not end with one")
    return prefix
