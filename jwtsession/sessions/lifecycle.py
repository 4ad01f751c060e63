"""`SessionLifecycle`: begins, moves and ends sessions, and keeps the users' index and the events in step with them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Generic, Literal, NamedTuple

from .._ids import hashed
from .._types import S
from ..errors import (
    InvalidArgumentError,
    SessionConflictError,
    SessionNotFoundError,
    StoreUnavailableError,
    TooManySessionsError,
)
from ..observability import AuditTrail, SessionEvent, client_address
from .index_entries import Login
from .repository import Record, SessionRepository
from .timeouts import SessionToken
from .user_index import UserIndex

NO_INDEX = "the sessions of a user are not known: set user_index=True"


class NewSession(NamedTuple, Generic[S]):
    """A session that is about to begin, or an old one that is about to move to this id."""

    token: SessionToken
    record: Record[S]
    login: Login
    host: str | None
    """The client's address as the server saw it, for events."""

    def __repr__(self) -> str:
        return "NewSession()"


class SessionLifecycle(Generic[S]):
    """What happens to sessions, whoever asks for it: a request's manager, or the provider outside a request.

    Args:
        repository: Stores the sessions.
        index: Of each user's sessions, where one is kept.
        audit: Is told what happens.
    """

    def __init__(self, repository: SessionRepository[S], index: UserIndex | None, audit: AuditTrail) -> None:
        self._repository = repository
        self._index = index
        self._audit = audit
        self._warned = False

    async def begin(self, new: NewSession[S], old: SessionToken | None) -> None:
        """Store a new session. The session that the request came with ends.

        Args:
            new: The session.
            old: Of the session that ends, if any.

        Raises:
            InvalidArgumentError: No user can have this `sub`.
            TooManySessionsError: It is one too many. Nothing is left of it.
            StoreUnavailableError: The store did not answer.
        """
        if new.token.sub is None:
            self._warn_of_missing_sub()
        old_id = None if old is None else old.session_id
        async with self._unless_given_up(new, old_id):
            await self._index_add(new)
            ended = await self._store_new(new, old_id)
            self.emit("created", new.token.session_id, host=new.host)
            self._emit_destroyed(ended or (), new.host)
            if old is not None:
                with self._after_success():
                    await self.end(old.session_id, old.sub, new.host)

    async def move(self, new: NewSession[S], old: SessionToken, record: Record[S]) -> None:
        """Store a session under a new id, and end the old id. Of several who move it one succeeds.

        Args:
            new: The session under its new id.
            old: Its old token.
            record: As it was loaded by the old id.

        Raises:
            InvalidArgumentError: No user can have this `sub`.
            SessionNotFoundError: It was destroyed, or somebody else moved it.
            SessionConflictError: Somebody else changed it. It stays as it is.
            TooManySessionsError: It becomes another user's, who has no room for it.
            StoreUnavailableError: The store did not answer; the session may have ended.
        """
        old_id, moved = old.session_id, new.token.sub == old.sub
        async with self._unless_given_up(new, old_id):
            await self._index_add(new)
            if not moved and self._index is not None and new.token.sub:
                await self._index.check_limit(
                    new.token.sub, new.token.session_id, old_id
                )  # before there is nothing to go back to
            try:
                await self._repository.take(old_id, record)
            except (SessionNotFoundError, SessionConflictError):
                await self._index_remove(new.token.sub, new.token.session_id)
                raise
            ended = await self._store_new(new, old_id, moved=moved)
            if ended is None:
                # All of the user's sessions were ended meanwhile: this one too, which had no id just then.
                await self._repository.delete(new.token.session_id)
                self._emit_destroyed([old_id], new.host)
                raise SessionNotFoundError
            self.emit("regenerated", old_id, hashed(new.token.session_id), host=new.host)
            self._emit_destroyed(ended, new.host)
            with self._after_success():
                await self._index_remove(old.sub, old_id)

    async def end(self, session_id: str, sub: str | None, host: str | None = None, wait_replicas: int = 0) -> bool:
        """End a session; False where it is gone already.

        Args:
            session_id: The session.
            sub: Its user, if that is known.
            host: The client's address as the server saw it, for the event.
            wait_replicas: How many replicas must have it too.

        Raises:
            StoreUnavailableError: The store did not answer, or too few replicas did.
        """
        ended = await self._repository.delete(session_id, wait_replicas)
        if ended:
            self._emit_destroyed([session_id], host)
        await self._index_remove(sub, session_id)
        return ended

    async def end_all(self, sub: str, except_id: str | None, host: str | None = None) -> int:
        """End a user's sessions but one; how many there were.

        Raises:
            InvalidArgumentError: There is no index, or no user can have this `sub`.
            StoreUnavailableError: The store did not answer. Its `ended` tells how many sessions have ended.
        """
        return await self.index.revoke_all(sub, except_id, lambda each: self._emit_destroyed([each], host))

    @property
    def has_index(self) -> bool:
        """Whether an index of each user's sessions is kept."""
        return self._index is not None

    @property
    def index(self) -> UserIndex:
        """The users' index.

        Raises:
            InvalidArgumentError: There is none.
        """
        if self._index is None:
            raise InvalidArgumentError(NO_INDEX)
        return self._index

    async def note_use(self, token: SessionToken) -> None:
        """Note in the user's index, once in each `touch_interval`, that the session was used."""
        if self._index is not None and token.sub and self._index.is_due(token.session_id):
            login = Login(token.auth_time or token.iat or self._repository.timeouts.now())
            await self._index.note_use(token.sub, token.session_id, login, self._repository.timeouts.ttl(token))

    def emit(
        self,
        name: Literal["created", "regenerated", "destroyed", "refused"],
        session_id: str | None,
        code: str | None = None,
        host: str | None = None,
    ) -> None:
        """Tell what happened. See `SessionEvent`."""
        session = None if session_id is None else hashed(session_id)
        self._audit.emit(SessionEvent(name, session, code, client_address(host)))

    def _emit_destroyed(self, session_ids: Iterable[str], host: str | None) -> None:
        for each in session_ids:
            self.emit("destroyed", each, host=host)

    async def _index_add(self, new: NewSession[S]) -> None:
        """Into the user's index, before the session is stored."""
        if self._index is not None and new.token.sub:
            ttl = self._repository.timeouts.ttl(new.token)
            await self._index.add(new.token.sub, new.token.session_id, new.login, ttl)

    async def _index_remove(self, sub: str | None, session_id: str) -> None:
        if self._index is not None and sub:
            await self._index.remove(sub, session_id)

    async def _store_new(self, new: NewSession[S], replaced: str | None, *, moved: bool = False) -> list[str] | None:
        """The sessions that were ended for it. None: it was `moved`, and somebody ended it meanwhile.

        Raises:
            TooManySessionsError: It is one too many of the user's. It is stored, and to be ended.
        """
        ttl = await self._repository.create(new.token, new.record)
        if self._index is None or not new.token.sub:
            return []
        # Confirmed: whoever ended all of the user's sessions meanwhile did not find this one. A login goes on all the
        # same, and is in the index; what is an old session under a new id does not escape.
        return await self._index.confirm(
            new.token.sub, new.token.session_id, new.login, ttl, moved=moved, replaced=replaced
        )

    @contextlib.asynccontextmanager
    async def _unless_given_up(self, new: NewSession[S], old_id: str | None) -> AsyncIterator[None]:
        """A login that is refused or fails, or whose client goes away, leaves no session: nobody gets its token.

        In a user's index it would count as one, and lock the user out.
        """
        try:
            try:
                yield
            except TooManySessionsError as error:
                # In this order: a crash in between leaves an entry without a session, never one without an entry.
                await self._repository.delete(new.token.session_id)
                await self._index_remove(new.token.sub, new.token.session_id)
                self.emit("refused", old_id, error.code, host=new.host)
                raise
        except (asyncio.CancelledError, StoreUnavailableError) as error:
            # Its entry stays until it is read: who has no session there does not count.
            if self._index is not None and new.token.sub and getattr(error, "code", "") != "session_id_taken":
                await self._repository.delete_soon(new.token.session_id)
            raise

    @contextlib.contextmanager
    def _after_success(self) -> Iterator[None]:
        """What follows a login that has succeeded: where the store does not answer just then, it has all the same."""
        try:
            yield
        except StoreUnavailableError:
            self._audit.log(
                logging.WARNING,
                "the store failed after a login had succeeded: the session before it may not have ended",
            )

    def _warn_of_missing_sub(self) -> None:
        """Once, where an index is kept that can't have this session."""
        if self._index is not None and not self._warned:
            self._warned = True
            self._audit.log(
                logging.WARNING,
                "user_index: a session was created without a `sub`, so that list_sessions, revoke_all and max_sessions "
                "don't know it: pass the user to create(), as Claims(sub=...)",
            )
