"""`SessionWatch`: tells the open sockets and streams of this worker that their session has ended."""

import asyncio
import contextlib
import contextvars
import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from ...errors import AuthenticationError, StoreUnavailableError
from ...stores import SessionStore, reports_changes
from .._answered import answered
from ..cutoff import Cutoff
from ..timeouts import SessionToken
from ..uses import Uses
from ._lives import Lives
from .watched import Ending, Moved, Watched

logger = logging.getLogger("jwtsession")

OUTAGE_SECONDS = 30.0
"""How long a store may fail to answer before the sockets are closed: nobody knows any more whether a session lives."""

_RETRY_SECONDS = 5.0
"""When a store that failed is asked again, at the latest."""

_BATCH = 500
"""How many sessions the watch asks for in one round trip."""

_TRY_AGAIN_LATER = 1013
"""The closing code in an outage (RFC 6455 section 7.4.1, IANA's registry): the client may come back with its token."""


class SessionWatch:
    """Watches the sessions of open sockets and streams: one for each provider and worker.

    The verbs of this worker call `ended` and `moving`. For all others a task asks the store, every `check_interval`,
    and at once if the store reports a change. The task runs while anything is watched.

    Args:
        store: Has the sessions.
        uses: Counts the uses of sessions.
        check_interval: Seconds between two questions to the store.
        close_code: The closing code of a WebSocket whose session has ended.
        keeps_alive: Whether messages of a client count as uses.
        clock: Returns the time in seconds since the epoch.
        timer: Returns the time in seconds. It must not run backwards.
        cutoff: Refuses old tokens of all users; None if the setting `revoke_before` is off.
    """

    def __init__(
        self,
        store: SessionStore,
        uses: Uses,
        *,
        check_interval: float,
        close_code: int,
        keeps_alive: bool,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.monotonic,
        cutoff: Cutoff | None = None,
    ) -> None:
        self._lives = Lives(store, cutoff)
        self._reports = store if reports_changes(store) else None
        self._uses = uses
        self._check_interval = check_interval
        self._over = Ending(close_code, "Session ended")
        self._unknown = Ending(_TRY_AGAIN_LATER, "Session store unavailable")
        self._keeps_alive = keeps_alive
        self._clock = clock
        self._timer = timer
        self._watched: dict[str, set[Watched]] = {}
        self._moving: dict[str, int] = {}
        self._changed: set[str] = set()
        self._used: set[Watched] = set()
        self._due = 0.0
        self._failing_since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @property
    def count(self) -> int:
        """How many sockets and streams are watched."""
        return sum(map(len, self._watched.values()))

    def add(
        self, token: SessionToken, owner: object, tell: Callable[[Ending], object], moved: Moved = lambda _: None
    ) -> Watched:
        """Watch a session for an open socket or stream.

        The store is asked at once, since the session may have ended after the socket's request has loaded it.

        Args:
            token: The session's token.
            owner: The manager of the socket's own request. If it moves its session, or replaces it, the socket stays.
            tell: Called once if the session ends, in the event loop that is running now.
            moved: Called with the new token if the session moves to a new id.
        """
        watched = Watched(self, token, owner, tell, moved)
        self._watched.setdefault(token.session_id, set()).add(watched)
        if self._task is None or self._task.done() or self._task.get_loop().is_closed():
            self._wake, self._due, self._failing_since = asyncio.Event(), self._next_due(), None
            # An empty context, because the task outlives the request that is the first to need it.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
        self._look_soon([token.session_id])
        return watched

    def remove(self, watched: Watched) -> None:
        """Watch no longer. `Watched.close` calls this."""
        self._used.discard(watched)
        of_session = self._watched.get(watched.token.session_id)
        if of_session is not None:
            of_session.discard(watched)
            if not of_session:
                del self._watched[watched.token.session_id]
        if not self._watched:
            self._wake_up()  # the task ends

    async def close(self) -> None:
        """Stop. The provider ends: what is still open is closed by the server, which ends too."""
        task, self._task = self._task, None
        for watched in [each for of_session in self._watched.values() for each in of_session]:
            watched.close()
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])

    def note_used(self, watched: Watched) -> None:
        """Let the task count a use, if one is due. `Watched.used` calls this."""
        if self._keeps_alive and watched not in self._used and self._uses.is_due(watched.token):
            self._used.add(watched)
            self._wake_up()

    def ended(self, session_ids: Iterable[str]) -> None:
        """Tell the sockets of sessions that have ended."""
        for each in session_ids:
            for watched in self._watched.pop(each, ()):
                watched.tell(self._over)

    @contextlib.contextmanager
    def moving(self, old_id: str, new: SessionToken, owner: object, *, all_follow: bool) -> Iterator[None]:
        """Keep sockets open while their session moves to a new id. If the move fails, the store is asked at once.

        Args:
            old_id: The id that ends.
            new: The token of the new id.
            owner: The manager that moves it. Its own socket follows.
            all_follow: Whether the other sockets follow too: not if the session becomes another user's. Somebody who
                planted the old id in a browser must not keep what the login there is about to permit.
        """
        self._moving[old_id] = self._moving.get(old_id, 0) + 1
        try:
            yield
        except BaseException:
            self._look_soon([old_id])
            raise
        else:
            self.follow(old_id, new, None if all_follow else owner)
            self.ended([old_id])
        finally:
            self._moving[old_id] -= 1
            if not self._moving[old_id]:
                del self._moving[old_id]

    def follow(self, old_id: str, new: SessionToken, owner: object) -> None:
        """Let sockets go on under a new session.

        Args:
            old_id: The session that they were opened with.
            new: The token of the new session.
            owner: The manager whose own socket follows; None lets all follow.
        """
        for watched in [each for each in self._watched.get(old_id, ()) if owner is None or each.owner is owner]:
            self._watched[old_id].discard(watched)
            watched.move(new)
            self._watched.setdefault(new.session_id, set()).add(watched)
        if old_id in self._watched and not self._watched[old_id]:
            del self._watched[old_id]

    async def look(self) -> None:
        """Ask the store for all watched sessions, and tell those that have ended. Never raises."""
        self._due = min(self._next_due(), self._timer() + self._end_expired())
        if await self._ask([*self._watched]):
            self._failing_since = None

    async def _run(self) -> None:
        if self._reports is not None:
            self._reports.listeners.add(self._reported)
        try:
            while self._watched:
                self._wake.clear()
                changed, self._changed = self._changed, set()
                await self._extend_used()
                if self._timer() >= self._due:
                    await self.look()
                elif changed:
                    await self._ask([each for each in changed if each in self._watched])
                await self._rest()
        finally:
            if self._reports is not None:
                self._reports.listeners.discard(self._reported)
            if self._task is asyncio.current_task():
                self._task = None
                self._changed.clear()

    async def _rest(self) -> None:
        """Wait until it is time for the next look, or something is to be done at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._due - self._timer())):
                await self._wake.wait()

    def _end_expired(self) -> float:
        """Tell the sockets whose token has expired. Return in how many seconds the next one expires."""
        now, soonest = self._clock(), math.inf
        for session_id, of_session in [*self._watched.items()]:
            exp = next((each.token.exp for each in of_session), None)
            if exp is not None and exp <= now:
                self.ended([session_id])
            elif exp is not None:
                soonest = min(soonest, exp - now)
        return soonest

    async def _ask(self, session_ids: Sequence[str]) -> bool:
        """Ask the store for sessions, and tell the sockets of those that are gone. False if the store failed."""
        began = self._timer()
        try:
            await answered(self._ask_in_batches(session_ids))
        except Exception as error:  # also whatever a store of the application's own raises
            self._failed(error, began)
            return False
        return True

    async def _ask_in_batches(self, session_ids: Sequence[str]) -> None:
        for start in range(0, len(session_ids), _BATCH):
            await self._ask_for_batch(session_ids[start : start + _BATCH])

    async def _ask_for_batch(self, batch: Sequence[str]) -> None:
        gone = await self._lives.gone(batch, self._watched)
        self.ended([each for each in gone if each not in self._moving])

    async def _extend_used(self) -> None:
        """Count the uses of sessions by messages. What fails is tried again with the next look."""
        for watched in [*self._used]:
            began = self._timer()
            try:
                await answered(self._uses.extend(watched.token))
            except AuthenticationError:
                self._look_soon([watched.token.session_id])
            except Exception as error:
                self._failed(error, began)
                return
            self._used.discard(watched)
            if self._used and self._timer() >= self._due:
                self._wake.set()  # many uses and a slow store must not delay the look: the others come after it
                return

    def _failed(self, error: Exception, began: float) -> None:
        """The store did not answer: the sockets stay open, but not for long."""
        self._due = min(self._due, self._timer() + _RETRY_SECONDS)
        if self._failing_since is None:
            self._failing_since = began
            if not isinstance(error, StoreUnavailableError):  # the store itself logs that one
                logger.error("the sessions of open sockets are not known: the store failed: %s", type(error).__name__)
        elif self._timer() - self._failing_since > OUTAGE_SECONDS:
            logger.error("%d open sockets are closed: the store has not answered for too long", self.count)
            unknown, self._watched = self._watched, {}
            for watched in [each for of_session in unknown.values() for each in of_session]:
                watched.tell(self._unknown)

    def _reported(self, session_ids: Sequence[str] | None) -> None:
        """The store reports changes. None: any session may have changed."""
        if session_ids is None:
            self._due = 0.0
            self._wake_up()
        else:
            self._look_soon(session_ids)

    def _look_soon(self, session_ids: Sequence[str]) -> None:
        watched = [each for each in session_ids if each in self._watched]
        if watched:
            self._changed.update(watched)
            self._wake_up()

    def _next_due(self) -> float:
        # Workers that started together must not all ask at the same moment.
        return self._timer() + self._check_interval * random.uniform(0.75, 1.0)

    def _wake_up(self) -> None:
        task = self._task
        if task is None:
            return
        loop = task.get_loop()
        with contextlib.suppress(RuntimeError):  # no loop runs in this thread, or the task's loop is closed
            if asyncio.get_running_loop() is loop:
                self._wake.set()
                return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._wake.set)
