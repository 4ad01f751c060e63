"""`SessionLifecycle`: begins, moves and ends sessions, updates the users' index, and emits the events."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Generic

from .._ids import handle_of
from .._types import S
from ..errors import (
    AuthenticationError,
    SessionConflictError,
    SessionNotFoundError,
    StoreUnavailableError,
    TooManySessionsError,
)
from ..observability import EventReason
from .endings import SessionEndings
from .index.entries import Login
from .new_session import NewSession
from .repository import Record
from .timeouts import SessionToken


class SessionLifecycle(SessionEndings[S], Generic[S]):
    """Begins, moves and ends sessions for a request's manager, and for the provider outside a request.

    The arguments are those of `SessionEndings`.
    """

    _warned = False

    async def begin(self, new: NewSession[S], old: SessionToken | None) -> None:
        """Store a new session, and end the session that the request came with.

        Args:
            new: The new session.
            old: The token of the session that ends; None if the request came without one.

        Raises:
            InvalidArgumentError: No user can have this `sub`.
            TooManySessionsError: The user has too many sessions. Nothing of the new session is left.
            StoreUnavailableError: The store did not answer.
        """
        if new.token.sub is None:
            self._warn_of_missing_sub()
        old_id = None if old is None else old.session_id
        async with self._unless_given_up(new, old_id):
            await self._index_add(new)
            await self._save_new(new, old_id)
            self._tell_created(new)
            if old is not None:
                if new.owner is not None:
                    self.watch.follow(old.session_id, new.token, new.owner)
                with self._after_success():
                    await self.end(old.session_id, old.sub, "replaced", new.host, actor=old.actor)

    async def begin_merged(self, new: NewSession[S], old: SessionToken, record: Record[S]) -> None:
        """Store a new session that has the data of the old one, and take the old one away. One of several callers can.

        The new session is there before the old one goes, so that a crash in between loses no data.

        Args:
            new: The new session.
            old: The token of the old session, or one with its id.
            record: The old session as it went into the new one.

        Raises:
            InvalidArgumentError: No user can have this `sub`.
            AuthenticationError: The old session is gone. Nothing of the new session is left.
            SessionConflictError: Another request changed the old session. Nothing of the new session is left.
            TooManySessionsError: The user has too many sessions. Nothing of the new session is left.
            StoreUnavailableError: The store did not answer. The old session goes on. If it fails only when the old one
                shall go, the log tells of the failure, and that may live on.
        """
        if new.token.sub is None:
            self._warn_of_missing_sub()
        async with self._unless_given_up(new, old.session_id):
            await self._index_add(new)
            await self._save_new(new, old.session_id)
        # From here on nobody may remove the new session, unless it is known that the old one's data is not in it alone.
        try:
            taken = await self._take(old.session_id, record)
        except (AuthenticationError, SessionConflictError):
            async with self._unless_given_up(new, old.session_id):
                await self._remove(new)
            raise
        self._tell_created(new)
        if new.owner is not None:
            self.watch.follow(old.session_id, new.token, new.owner)
        if taken:
            self._tell_ended([old.session_id], old.sub, "replaced", new.host, old.actor)
            with self._after_success():
                await self._index_remove(old.sub, old.session_id)

    async def move(self, new: NewSession[S], old: SessionToken, record: Record[S]) -> None:
        """Store a session under a new id, and end the old id. If several requests move one session, one succeeds.

        Args:
            new: The session under its new id.
            old: The token of the old id.
            record: The session as it was loaded by the old id.

        Raises:
            InvalidArgumentError: No user can have this `sub`.
            InvalidTokenError: The old token was issued up to the time of `revoke_before()`.
            SessionNotFoundError: The session was destroyed, or another request moved it.
            SessionConflictError: Another request changed the session. It stays as it is.
            TooManySessionsError: The session becomes another user's, who has too many sessions already.
            StoreUnavailableError: The store did not answer. The session may have ended.
        """
        await self._repository.confirm(old)
        old_id, moved = old.session_id, new.token.sub == old.sub
        if moved and self._index is not None and old.sub:
            # The session goes on: so does what is known of its login, and its label.
            new = new._replace(login=await self._index.login(old.sub, old_id) or new.login)
        async with self._unless_given_up(new, old_id):
            await self._index_add(new)
            if not moved and self._index is not None and new.token.sub:
                # Now: after `take` there is no old session to go back to.
                await self._index.check_limit(new.token.sub, new.token.session_id, old_id)
            link = self._forwards.link(old, new.token)
            with self.watch.moving(old_id, new.token, new.owner, all_follow=moved):
                forwarded = await self._forwards.add(old_id, link)
                try:
                    await self._repository.take(old_id, record)
                except (SessionNotFoundError, SessionConflictError):
                    await self._index_remove(new.token.sub, new.token.session_id)
                    raise
                if not forwarded:
                    await self._forwards.claim(old_id, link)
                goes_on = await self._save_new(new, old_id, moved=moved)
                if not goes_on or await self._forwards.is_ended(old_id):
                    # Somebody ended this session by its old id, or all sessions of the user, while it was between its
                    # two ids: it ends as well.
                    await self._remove(new)
                    self._tell_ended([old_id], new.token.sub, "revoked", new.host, new.token.actor)
                    raise SessionNotFoundError
            code = handle_of(new.token.session_id)
            sub, actor = new.token.sub, new.token.actor
            self.emit("regenerated", old_id, sub=sub, actor=actor, code=code, reason=new.reason, host=new.host)
            with self._after_success():
                await self._index_remove(old.sub, old_id)

    async def _index_add(self, new: NewSession[S]) -> None:
        """Add the session to the user's index, and to that of who acts for the user, before the session is stored."""
        if self._index is not None and new.token.sub:
            ttl = self._repository.timeouts.ttl(new.token)
            await self._index.add(new.token.sub, new.token.session_id, new.login, ttl)
            if new.token.actor:
                await self._index.add(new.token.actor, new.token.session_id, _of_actor(new), ttl)

    async def _take(self, session_id: str, record: Record[S]) -> bool:
        """Take a session away whose data is in a new one. Return False if nobody knows whether it has gone.

        Raises:
            AuthenticationError: It was gone already.
            SessionConflictError: Another request changed it. It stays.
        """
        try:
            await self._repository.take(session_id, record)
        except StoreUnavailableError:
            try:
                await self._repository.take(session_id, record)
            except SessionNotFoundError:
                # By the first try, whose answer was lost, or by another login: rather the data twice than never.
                return True
            except StoreUnavailableError:
                self._log_old()
                return False
        return True

    async def _remove(self, new: NewSession[S]) -> None:
        """Remove a new session whose token nobody gets."""
        # Session first: a crash in between leaves an entry without a session, never a session without an entry.
        await self._repository.delete(new.token.session_id)
        await self._index_remove(new.token.sub, new.token.session_id)

    async def _save_new(self, new: NewSession[S], replaced: str | None, *, moved: bool = False) -> bool:
        """Store the session, confirm it in the user's index, and end the sessions that must make room for it.

        Returns:
            False if it was `moved` and somebody ended it meanwhile.

        Raises:
            TooManySessionsError: The user has too many sessions. This one is stored, and the caller must end it.
        """
        ttl = await self._repository.create(new.token, new.record)
        if self._index is None or not new.token.sub:
            return True

        def tell_evicted(session_id: str) -> None:
            self._tell_evicted(session_id, new.token.sub, new.host)

        # Somebody may have ended all of the user's sessions meanwhile, and did not find this one. A new login goes on
        # all the same. An old session under a new id does not: `confirm` returns False for it.
        confirm = functools.partial(self._index.confirm, moved=moved, on_ended=tell_evicted)
        arguments = new.token.sub, new.token.session_id, new.login, ttl
        if new.token.actor:
            own = new.token.actor, new.token.session_id, _of_actor(new), ttl
            if not await confirm(*own):
                return False
        try:
            return await confirm(*arguments, replaced=replaced)
        except TooManySessionsError:
            living = None if replaced is None else await self._forwards.find(replaced)
            if living is None:
                raise
            # The request came with an old token, whose session ends when this one starts: it has another id now.
            return await confirm(*arguments, replaced=living.id)

    @contextlib.asynccontextmanager
    async def _unless_given_up(self, new: NewSession[S], old_id: str | None) -> AsyncIterator[None]:
        """Remove the new session if its login is refused or fails, or if its client goes away.

        Nobody gets the token of such a session. In the user's index it would count, and could lock the user out.
        """
        try:
            try:
                yield
            except TooManySessionsError as error:
                await self._remove(new)
                self.emit("refused", old_id, sub=new.token.sub, actor=new.token.actor, code=error.code, host=new.host)
                raise
        except (asyncio.CancelledError, StoreUnavailableError) as error:
            # The entry stays until somebody reads it: an entry without a session does not count.
            counts = self._index is not None and new.token.sub and getattr(error, "code", "") != "session_id_taken"
            if counts or isinstance(error, asyncio.CancelledError):
                await self._repository.delete_soon(new.token.session_id)
            raise

    @contextlib.contextmanager
    def _after_success(self) -> Iterator[None]:
        """Log a failure of the store, and do not raise it, because the login has already succeeded."""
        try:
            yield
        except StoreUnavailableError:
            self._log_old()

    def _log_old(self) -> None:
        self._audit.log(
            logging.WARNING,
            "the store failed after a login had succeeded: the user's session from before may not have ended",
        )

    def _tell_created(self, new: NewSession[S]) -> None:
        """Emit the event of a login."""
        token = new.token
        reason: EventReason = "login" if token.actor is None else "impersonation"
        self.emit("created", token.session_id, sub=token.sub, actor=token.actor, reason=reason, host=new.host)

    def _warn_of_missing_sub(self) -> None:
        """Log once that the index can't hold sessions without a `sub`."""
        if self._index is not None and not self._warned:
            self._warned = True
            self._audit.log(
                logging.WARNING,
                "user_index: a session was created without a `sub`, so that list_sessions, revoke_all and max_sessions "
                "don't know it: if it is not a visitor's, pass the user to create(), as Claims(sub=...)",
            )


def _of_actor(new: NewSession[S]) -> Login:
    """The data of the login, for the index of who acts for the user."""
    return replace(new.login, acts_for=new.token.sub)
