"""Blocking calls for `def` endpoints and other threads: each call runs on the application's event loop."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._tracebacks import scrub_traceback
from ._types import C, S, Transport
from .models import Ticket, Token
from .sessions import SessionInfo

if TYPE_CHECKING:  # both import this module
    from .manager import SessionManager
    from .provider import SessionProvider

T = TypeVar("T")


class SyncSessionManager(Generic[S, C]):
    """`SessionManager.sync`: the manager's methods as blocking calls, which run on the application's event loop.

    Use it in `def` endpoints and other threads. Each method raises what the asynchronous one raises. On the event
    loop's own thread a blocking call would wait for itself, so there it raises `RuntimeError`.
    """

    def __init__(self, manager: "SessionManager[S, C]", loop: asyncio.AbstractEventLoop) -> None:
        self._manager = manager
        self._loop = loop

    def __repr__(self) -> str:
        return f"Sync{self._manager!r}"

    @scrub_traceback
    def create(
        self,
        session: S | Mapping[str, Any],
        claims: C | None = None,
        *,
        merge: Callable[[S, S], S | None] | None = None,
        max_age: int | timedelta | None = None,
        transport: Transport | None = None,
        persistent: bool | None = None,
        allow_cross_site: bool = False,
    ) -> Token:
        """See `SessionManager.create`. `merge` runs on the event loop, so it must not block."""
        options: dict[str, Any] = {"merge": merge, "max_age": max_age, "transport": transport, "persistent": persistent}
        return self._run(self._manager.create, session, claims, allow_cross_site=allow_cross_site, **options)

    @scrub_traceback
    def update(self, session: S | Mapping[str, Any] | None = None) -> S:
        """See `SessionManager.update`."""
        return self._run(self._manager.update, session)

    @scrub_traceback
    def reload(self) -> S:
        """See `SessionManager.reload`."""
        return self._run(self._manager.reload)

    @scrub_traceback
    def touch(self) -> None:
        """See `SessionManager.touch`."""
        self._run(self._manager.touch)

    @scrub_traceback
    def destroy(self, *, wait_replicas: int = 0) -> None:
        """See `SessionManager.destroy`."""
        self._run(self._manager.destroy, wait_replicas=wait_replicas)

    @scrub_traceback
    def destroy_others(self) -> int:
        """See `SessionManager.destroy_others`."""
        return self._run(self._manager.destroy_others)

    @scrub_traceback
    def regenerate(
        self,
        session: S | Mapping[str, Any] | None = None,
        claims: C | None = None,
        *,
        max_age: int | timedelta | None = None,
    ) -> Token:
        """See `SessionManager.regenerate`."""
        return self._run(self._manager.regenerate, session, claims, max_age=max_age)

    @scrub_traceback
    def step_up(
        self,
        *,
        acr: str | None = None,
        amr: Sequence[str] = (),
        session: S | Mapping[str, Any] | None = None,
        claims: C | None = None,
    ) -> Token:
        """See `SessionManager.step_up`."""
        return self._run(self._manager.step_up, acr=acr, amr=amr, session=session, claims=claims)

    @scrub_traceback
    def impersonate(
        self,
        sub: str,
        session: S | Mapping[str, Any],
        claims: C | None = None,
        *,
        seconds: int | timedelta = 3600,
        transport: Transport | None = None,
    ) -> Token:
        """See `SessionManager.impersonate`."""
        return self._run(self._manager.impersonate, sub, session, claims, seconds=seconds, transport=transport)

    @scrub_traceback
    def mutate(self, change: Callable[[S], S | None]) -> S:
        """See `SessionManager.mutate`. `change` runs on the event loop, so it must not block."""
        return self._run(self._manager.mutate, change)

    @scrub_traceback
    def ticket(self) -> Ticket:
        """See `SessionManager.ticket`."""
        return self._run(self._manager.ticket)

    @scrub_traceback
    def refresh(self) -> Token:
        """See `SessionManager.refresh`."""
        return self._run(self._manager.refresh)

    def _run(self, verb: Callable[..., Coroutine[Any, Any, T]], *args: Any, **options: Any) -> T:
        return _run(self._loop, verb, *args, **options)


class SyncSessionProvider(Generic[S]):
    """`SessionProvider.sync`: the provider's methods for use outside a request, as blocking calls.

    Use it in `def` endpoints and other threads, between the provider's start and its end. Each method raises what the
    asynchronous one raises. On the thread of the event loop that started the provider a blocking call would wait for
    itself, so there it raises `RuntimeError`.
    """

    def __init__(self, provider: "SessionProvider[S, Any]", loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._provider = provider
        self._loop = loop

    def __repr__(self) -> str:
        return f"Sync{self._provider!r}"

    @scrub_traceback
    def get(self, session_id: str) -> S | None:
        """See `SessionProvider.get`."""
        return self._run(self._provider.get, session_id)

    @scrub_traceback
    def revoke(self, session_id: str, *, sub: str | None = None, wait_replicas: int = 0) -> bool:
        """See `SessionProvider.revoke`."""
        return self._run(self._provider.revoke, session_id, sub=sub, wait_replicas=wait_replicas)

    @scrub_traceback
    def revoke_handle(self, handle: str, *, sub: str, wait_replicas: int = 0) -> bool:
        """See `SessionProvider.revoke_handle`."""
        return self._run(self._provider.revoke_handle, handle, sub=sub, wait_replicas=wait_replicas)

    @scrub_traceback
    def set_label(self, handle: str, label: str | None, *, sub: str) -> bool:
        """See `SessionProvider.set_label`."""
        return self._run(self._provider.set_label, handle, label, sub=sub)

    @scrub_traceback
    def list_sessions(self, sub: str, *, current_id: str | None = None, limit: int | None = None) -> list[SessionInfo]:
        """See `SessionProvider.list_sessions`."""
        return self._run(self._provider.list_sessions, sub, current_id=current_id, limit=limit)

    @scrub_traceback
    def revoke_all(self, sub: str, except_id: str | None = None) -> int:
        """See `SessionProvider.revoke_all`."""
        return self._run(self._provider.revoke_all, sub, except_id)

    @scrub_traceback
    def revoke_before(self, time: datetime | float | None = None) -> float:
        """See `SessionProvider.revoke_before`."""
        return self._run(self._provider.revoke_before, time)

    def _run(self, verb: Callable[..., Coroutine[Any, Any, T]], *args: Any, **options: Any) -> T:
        return _run(self._loop(), verb, *args, **options)


def _run(loop: asyncio.AbstractEventLoop, verb: Callable[..., Coroutine[Any, Any, T]], *args: Any, **options: Any) -> T:
    if asyncio._get_running_loop() is loop:
        raise RuntimeError(f"sync.{verb.__name__}() would wait for itself here: await {verb.__name__}() without sync")
    coroutine = verb(*args, **options)
    try:
        running = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:  # the application has ended
        coroutine.close()
        raise
    return running.result()
