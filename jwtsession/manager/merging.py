"""`MergingSession`: begins a session with the data of the one that the request came with."""

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable
from typing import Generic

from .._types import C, S
from ..errors import AuthenticationError, SessionConflictError, SessionNotFoundError
from ..sessions import NewSession, Record
from ..tokens import VerifiedToken
from .issuing import IssuingSession

MUTATE_ATTEMPTS = 32
"""How often `mutate()` and a merge try before they give up, if other requests change the session in between each time.
"""

Merge = Callable[[S, S], S | Awaitable[S | None] | None]
"""Puts the data of an old session into a new one: `SessionManager.create(merge=...)`."""


async def pause(attempt: int) -> None:
    """Wait before the next attempt, so that requests which change one session do not all come back at once."""
    await asyncio.sleep(random.uniform(0, 0.001 * 2 ** min(attempt, 6)))


class MergingSession(IssuingSession[S, C], Generic[S, C]):
    """The session of one request, and how a login takes over its data."""

    __slots__ = ()

    async def _begin_merged(self, new: NewSession[S], merge: Merge[S]) -> Record[S]:
        """Store a new session with the data of the request's session, which ends. See `create`.

        Returns:
            What is stored: without a merge if another login was faster.
        """
        token, old = self._require_record()
        serializer, stored = self._repository.serializer, old.stored
        for attempt in range(MUTATE_ATTEMPTS):
            # `merge` gets instances of its own: if it fails half-way, nobody else must see the half.
            before = self._repository.decode(token.session_id, stored)
            fresh = serializer.detached(new.record.session, new.record.json)
            returned = merge(before.session, fresh)
            merged = await returned if inspect.isawaitable(returned) else returned
            data = fresh if merged is None else serializer.to_session(merged)
            own = data is fresh or data is before.session
            record = self._repository.encode(new.token.session_id, data, detached=not own)
            try:
                await self._lifecycle.begin_merged(new._replace(record=record), token, before)
                return record
            except SessionConflictError:
                await pause(attempt)
            except AuthenticationError:
                pass  # it is gone: perhaps to another id
            try:
                token, stored = await self._reloaded(token)
            except AuthenticationError:
                # Another login has taken the data, or somebody has ended the session: so there is nothing to merge.
                await self._lifecycle.begin(new, self._verified)
                return new.record
        raise SessionConflictError

    async def _reloaded(self, token: VerifiedToken) -> tuple[VerifiedToken, bytes]:
        """The request's session as it is now, also where `regenerate()` has moved it meanwhile.

        Returns:
            The token with the id that the session has, and what the store holds.
        """
        try:
            return token, (await self._repository.load(token, extend=False)).stored
        except SessionNotFoundError:
            living = await self._repository.forwards.find(token.session_id)
            if living is None or living.ended:
                raise
        token = token._replace(session_id=living.id)
        return token, (await self._repository.load(token, extend=False)).stored
