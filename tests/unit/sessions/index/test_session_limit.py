"""`SessionLimit`: logins of a user who has many sessions."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from starlette.requests import Request

from jwtsession import Claims, MemorySessionStore, Session, SessionManager, SessionProvider, StoreUnavailableError
from jwtsession.sessions.index.pages import PAGE
from jwtsession.stores import Entry
from tests.conftest import SECRET, Clock, started

NUMBER = 4 * PAGE


def provider(store: Any, clock: Clock, **options: Any) -> SessionProvider[Session, Claims]:
    return started(SessionProvider(store=store, clock=clock, secret=SECRET, user_index=True, **options))


async def log_in(sessions: SessionProvider[Session, Claims]) -> SessionManager[Session, Claims]:
    manager = await sessions.get_manager(Request({"type": "http", "method": "POST", "headers": []}))
    await manager.create(Session(), Claims(sub="ann"))
    return manager


class Evictions(logging.Handler):
    """Counts the sessions that end beyond the limit, by the event loop's turn."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.of_turn: Counter[int] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.of_turn[self.turn] += getattr(record, "jwtsession_reason", None) == "evicted"

    async def count(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)


@pytest.fixture
def evictions(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, "jwtsession")
    handler, logger = Evictions(), logging.getLogger("jwtsession")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


async def test_a_login_that_ends_many_sessions_lets_others_in_between(clock: Clock, evictions: Evictions) -> None:
    """Where a limit is new, a login ends hundreds: no more than a page in one turn of the event loop."""
    store = MemorySessionStore(clock)
    before = provider(store, clock)
    for _ in range(NUMBER):
        await log_in(before)
    others = asyncio.create_task(evictions.count())
    await log_in(provider(store, clock, max_sessions=5, too_many_sessions="evict"))
    others.cancel()
    assert evictions.of_turn.total() == NUMBER - 4
    assert max(evictions.of_turn.values()) <= PAGE


class FailsLater(MemorySessionStore):
    """Ends one page of sessions, and then no more."""

    pages = 0

    async def destroy_all(self, session_ids: Sequence[str]) -> list[bool]:
        self.pages += 1
        if self.pages > 1:
            raise StoreUnavailableError
        return await super().destroy_all(session_ids)


async def test_what_has_ended_is_told_where_the_store_fails_after_it(clock: Clock, evictions: Evictions) -> None:
    """The login fails, and the log has an event for each session that it has ended until then."""
    store = FailsLater(clock)
    before = provider(store, clock)
    for _ in range(NUMBER):
        await log_in(before)
    with pytest.raises(StoreUnavailableError):
        await log_in(provider(store, clock, max_sessions=5, too_many_sessions="evict"))
    assert evictions.of_turn.total() == PAGE
    assert len(await before.list_sessions("ann")) == NUMBER - PAGE


class KeepsEntries(MemorySessionStore):
    """Ends sessions, and then fails before it removes their entries."""

    fails = False

    async def index_prune(self, user: str, entries: Mapping[str, Entry]) -> None:
        if self.fails:
            raise StoreUnavailableError
        await super().index_prune(user, entries)


async def test_what_has_ended_is_told_where_its_entries_stay(clock: Clock, evictions: Evictions) -> None:
    """The store fails within a page: each session that has ended has one event, and the next login repeats none."""
    store = KeepsEntries(clock)
    before = provider(store, clock)
    for _ in range(10):
        await log_in(before)
    limited = provider(store, clock, max_sessions=5, too_many_sessions="evict")
    store.fails = True
    with pytest.raises(StoreUnavailableError):
        await log_in(limited)
    store.fails = False
    assert evictions.of_turn.total() == 6
    await log_in(limited)
    assert len(await limited.list_sessions("ann")) == 5
    assert evictions.of_turn.total() == 6


async def test_all_that_revoke_all_has_ended_is_told_and_counted_where_the_entries_stay(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The store fails within a page: the error counts the sessions that have ended, and each has one event."""
    caplog.set_level(logging.INFO, "jwtsession")
    store = KeepsEntries(clock)
    sessions = provider(store, clock)
    for _ in range(3):
        await log_in(sessions)
    store.fails = True
    with pytest.raises(StoreUnavailableError) as failed:
        await sessions.revoke_all("ann")
    store.fails = False
    assert failed.value.ended == 3
    assert await sessions.revoke_all("ann") == 0
    reasons = [getattr(record, "jwtsession_reason", None) for record in caplog.records]
    assert reasons.count("revoked") == 3


async def test_a_use_that_ends_other_sessions_tells_of_them(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Sessions from before the index come into it as they are used: what ends beyond the limit has an event, once."""
    caplog.set_level(logging.INFO, "jwtsession")
    store = MemorySessionStore(clock)
    before = started(SessionProvider(store=store, clock=clock, secret=SECRET))
    after = provider(store, clock, max_sessions=2, too_many_sessions="evict")
    for made in [await log_in(before) for _ in range(4)]:
        headers = [(b"authorization", f"Bearer {made.token}".encode())]
        await after.get_manager(Request({"type": "http", "method": "GET", "headers": headers}))
    assert len(await after.list_sessions("ann")) == 2
    reasons = [getattr(record, "jwtsession_reason", None) for record in caplog.records]
    assert reasons.count("evicted") == 2
