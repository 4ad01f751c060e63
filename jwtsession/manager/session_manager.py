"""`SessionManager`: the methods that change one request's session."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic

from .._tracebacks import scrub_traceback
from .._types import C, S
from ..errors import SessionConflictError
from ..sync import SyncSessionManager
from .acting import ActingSession
from .merging import MUTATE_ATTEMPTS, pause


class SessionManager(ActingSession[S, C], Generic[S, C]):
    """The session of one request, and the methods that change what is stored.

    The provider makes one manager for each request: `Depends(sessions.get_manager)` and `request.state.<request_key>`
    give it. Reading `session` needs no round trip to the store. `update`, `reload`, `touch` and `destroy` need one,
    `create` one or two, `regenerate` four, `refresh` two, `mutate` at least two. With `user_index`, `dpop` or
    `revoke_before` some need more.
    """

    __slots__ = ()

    @property
    def sync(self) -> "SyncSessionManager[S, C]":
        """The same methods for `def` endpoints and other threads: each call blocks until it is done."""
        return SyncSessionManager(self, self._loop)

    @scrub_traceback
    async def update(self, session: S | Mapping[str, Any] | None = None) -> S:
        """Store the changed session and restart its idle timeout.

        Args:
            session: The data that replaces the loaded data. None stores `manager.session` with its changes in place.

        Returns:
            `manager.session`: the same instance as before, which now holds the stored data.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed or has expired. It is not brought back.
            SessionConflictError: Another request changed it after this one loaded it. Nothing is overwritten.
            InvalidArgumentError: The session does not fit its model, or a change to an old instance would be lost.
            SessionTooLargeError: The session is larger than 65,536 bytes.
            ExpiredTokenError: The token has expired since it was verified.
            StoreUnavailableError: The store did not answer.
        """
        verified, old = self._require_record()
        data = self._given(session, old)
        new = self._repository.encode(verified.session_id, data, old, detached=data is not old.session)
        ttl = self._ttl(verified)
        with self._forgetting():
            await self._repository.update(verified.session_id, old, new, ttl)
        self._adopt(new, old, session)
        await self._lifecycle.note_use(verified)
        return old.session

    @scrub_traceback
    async def reload(self) -> S:
        """Load the session again into the same instance. Changes in place that were not stored are lost.

        Returns:
            `manager.session`.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed or has expired.
            InvalidTokenError: `revoke_before()` has ended the token since it was verified.
            SessionCorruptError: The stored value can't be read any more.
            StoreUnavailableError: The store did not answer.
        """
        verified, old = self._require_record()
        self._adopt(await self._load(verified), old)
        return old.session

    @scrub_traceback
    async def touch(self) -> None:
        """Restart the idle timeout, and change nothing else.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed or has expired.
            ExpiredTokenError: The token has expired since it was verified.
            StoreUnavailableError: The store did not answer.
        """
        verified, _ = self._require_record()
        ttl = self._ttl(verified)
        with self._forgetting():
            await self._repository.touch(verified.session_id, ttl)
        await self._lifecycle.note_use(verified)

    @scrub_traceback
    async def mutate(self, change: Callable[[S], S | Awaitable[S | None] | None]) -> S:
        """Load the session, apply a function to it and store the result. If it changed meanwhile, try again.

        Args:
            change: Changes the given session in place, or returns another one; may be a coroutine function. Called
                once for each attempt, each time with a newly loaded session.

        Returns:
            `manager.session`: the same instance as before, which now holds the result. If `mutate` fails, the instance
            stays as it was, with your changes in place that are not stored.

        Raises:
            SessionNotFoundError: There is no session, or it was destroyed or has expired.
            InvalidTokenError: `revoke_before()` has ended the token since it was verified.
            SessionCorruptError: The stored value can't be read any more.
            SessionConflictError: Other requests changed the session during each of 32 attempts.
            InvalidArgumentError: The changed session does not fit its model.
            SessionTooLargeError: The changed session is larger than 65,536 bytes.
            ExpiredTokenError: The token has expired since it was verified.
            StoreUnavailableError: The store did not answer. The change may have been stored, or not.
        """
        verified, shown = self._require_record()
        for attempt in range(MUTATE_ATTEMPTS):
            # `change` gets an instance of its own: if it fails half-way, a later update() must not store the half.
            old = await self._load(verified)
            returned = change(old.session)
            changed = await returned if inspect.isawaitable(returned) else returned
            data = old.session if changed is None else self._repository.serializer.to_session(changed)
            own = data is old.session or data is shown.session
            new = self._repository.encode(verified.session_id, data, old, detached=not own)
            ttl = self._ttl(verified)
            try:
                with self._forgetting():
                    await self._repository.update(verified.session_id, old, new, ttl, retry=False)
            except SessionConflictError:
                await pause(attempt)
                continue
            self._adopt(new, shown, changed)
            self._note_attempts(attempt + 1)
            await self._lifecycle.note_use(verified)
            return shown.session
        self._note_attempts(MUTATE_ATTEMPTS)
        raise SessionConflictError

    def _note_attempts(self, attempts: int) -> None:
        if self._components.telemetry is not None:
            self._components.telemetry.mutated(attempts)
