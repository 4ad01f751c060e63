"""The sessions of one user: listed, limited and ended together, on every kind of store."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis
from starlette.requests import Request

from jwtsession import (
    Claims,
    InvalidArgumentError,
    MemorySessionStore,
    RedisSessionStore,
    Session,
    SessionManager,
    SessionProvider,
    SessionStore,
    TooManySessionsError,
)
from tests import servers
from tests.conftest import SECRET, Clock, started

Manager = SessionManager[Session, Claims]


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def store(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[SessionStore]:
    if request.param == "memory":
        yield MemorySessionStore(clock=clock)
        return
    server: servers.Server = request.getfixturevalue(f"{request.param}_server")
    server.command("FLUSHALL")
    scheme = "redis+cluster" if request.param == "cluster" else "redis"
    made = RedisSessionStore(f"{scheme}://127.0.0.1:{server.port}")
    yield made
    await made.close()


def provider(store: SessionStore, clock: Clock, **options: Any) -> SessionProvider[Session, Claims]:
    options = {"user_index": True, "absolute_max_age": 30 * 86_400} | options
    return started(SessionProvider(store=store, clock=clock, secret=SECRET, **options))


async def manager(
    sessions: SessionProvider[Session, Claims], token: str | None = None, agent: str = "browser"
) -> Manager:
    """The manager of a request, as an endpoint gets it."""
    headers = [(b"user-agent", agent.encode())]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    scope = {"type": "http", "method": "GET", "headers": headers, "query_string": b"", "client": ("10.1.2.3", 1)}
    return await sessions.get_manager(Request(scope))


async def log_in(sessions: SessionProvider[Session, Claims], sub: str = "ann", agent: str = "browser") -> Manager:
    made = await manager(sessions, agent=agent)
    await made.create(Session(name=sub), Claims(sub=sub))
    return made


async def test_a_users_sessions_are_listed(store: SessionStore, clock: Clock) -> None:
    """Each with its id and times, the one used last first, and nobody else's."""
    sessions = provider(store, clock)
    first = await log_in(sessions)
    clock.tick(100)
    second = await log_in(sessions)
    await log_in(sessions, "bob")
    listed = await sessions.list_sessions("ann")
    assert [info.id for info in listed] == [second.id, first.id]
    assert [info.created for info in listed] == [clock(), clock() - 100]
    assert all(info.client is None and info.user_agent is None for info in listed)
    clock.tick(100)
    await manager(sessions, first.token)
    listed = await sessions.list_sessions("ann")
    assert [info.id for info in listed] == [first.id, second.id]
    assert [info.last_seen for info in listed] == [clock(), clock() - 100]
    assert listed[0].expires == pytest.approx(clock() + 86_400, abs=2)
    assert await sessions.list_sessions("nobody") == []


async def test_address_and_agent_are_kept_where_the_caller_wants_it(store: SessionStore, clock: Clock) -> None:
    """capture_client keeps what the login came from."""
    sessions = provider(store, clock, capture_client=True)
    await log_in(sessions, agent="curl/8")
    (info,) = await sessions.list_sessions("ann")
    assert (info.client, info.user_agent) == ("10.1.2.3", "curl/8")


async def test_a_destroyed_session_is_not_listed(store: SessionStore, clock: Clock) -> None:
    """After destroy and after revoke the session leaves the list; what has no session is pruned as it is read."""
    sessions = provider(store, clock)
    first, second = await log_in(sessions), await log_in(sessions)
    assert first.id is not None
    assert second.id is not None
    await second.destroy()
    assert await sessions.revoke(first.id)
    clock.tick(60)
    assert await sessions.list_sessions("ann") == []
    assert not await sessions.list_sessions("ann")


async def test_revoke_all_ends_every_session_of_the_user(store: SessionStore, clock: Clock) -> None:
    """All but the one that is named are gone at once, other users' go on."""
    sessions = provider(store, clock)
    mine = [await log_in(sessions) for _ in range(5)]
    bob = await log_in(sessions, "bob")
    tokens = [each.token for each in mine]
    assert await sessions.revoke_all("ann", except_id=mine[0].id) == 4
    alive = [(await manager(sessions, token)).session is not None for token in tokens]
    assert alive == [True, False, False, False, False]
    assert (await manager(sessions, bob.token)).session is not None
    assert await sessions.revoke_all("ann") == 1
    assert await sessions.revoke_all("ann") == 0
    assert await sessions.list_sessions("ann") == []


async def test_destroy_others_keeps_the_callers_session(store: SessionStore, clock: Clock) -> None:
    """After a change of password the other devices are logged out, this one is not."""
    sessions = provider(store, clock)
    here, there = await log_in(sessions), await log_in(sessions)
    token = there.token
    assert await here.destroy_others() == 1
    assert (await manager(sessions, token)).session is None
    assert (await manager(sessions, here.token)).session is not None


async def test_regenerate_moves_the_entry(store: SessionStore, clock: Clock) -> None:
    """The new id is listed, the old one is not; a visitor's session is listed once it has a user."""
    sessions = provider(store, clock)
    visitor = await manager(sessions)
    await visitor.create(Session(cart=["tea"]))
    assert await sessions.list_sessions("ann") == []
    await visitor.regenerate(claims=Claims(sub="ann"))
    assert [info.id for info in await sessions.list_sessions("ann")] == [visitor.id]
    await visitor.regenerate()
    assert [info.id for info in await sessions.list_sessions("ann")] == [visitor.id]
    await visitor.regenerate(claims=Claims(sub="bob"))
    assert await sessions.list_sessions("ann") == []
    assert [info.id for info in await sessions.list_sessions("bob")] == [visitor.id]


async def test_a_limit_refuses_or_evicts(store: SessionStore, clock: Clock) -> None:
    """The login beyond the limit is refused and leaves nothing, or ends the oldest session."""
    refusing = provider(store, clock, max_sessions=2)
    first = await log_in(refusing)
    clock.tick(1)
    await log_in(refusing)
    clock.tick(1)
    with pytest.raises(TooManySessionsError):
        await log_in(refusing)
    assert len(await refusing.list_sessions("ann")) == 2
    again = await manager(refusing, first.token)
    await again.create(Session(), Claims(sub="ann"))  # replaces the session that it came with
    await again.regenerate()
    assert len(await refusing.list_sessions("ann")) == 2
    evicting = provider(store, clock, max_sessions=2, too_many_sessions="evict")
    clock.tick(1)
    newest = await log_in(evicting)
    listed = {info.id for info in await evicting.list_sessions("ann")}
    assert len(listed) == 2
    assert {newest.id, again.id} == listed


async def test_logins_at_the_same_time_respect_the_limit(store: SessionStore, clock: Clock) -> None:
    """Of ten logins at once no more than the limit get in, and at least one does."""
    sessions = provider(store, clock, max_sessions=3)
    results = await asyncio.gather(*(log_in(sessions) for _ in range(10)), return_exceptions=True)
    admitted = [each for each in results if isinstance(each, SessionManager)]
    assert all(isinstance(each, (SessionManager, TooManySessionsError)) for each in results)
    assert 1 <= len(admitted) <= 3
    assert len(await sessions.list_sessions("ann")) == len(admitted)


class RevokesBeforeCreate:
    """A store in which somebody ends all sessions between a login's entry and its session."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self.sessions: SessionProvider[Session, Claims] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
        assert self.sessions is not None
        await self.sessions.revoke_all("ann")
        return await self._store.create(session_id, value, ttl)


async def test_a_revoke_all_during_a_login_leaves_no_unlisted_session(store: SessionStore, clock: Clock) -> None:
    """A session that is written after revoke_all took its entry away is in the index all the same."""
    racing = RevokesBeforeCreate(store)
    sessions = racing.sessions = provider(racing, clock)  # type: ignore[arg-type]
    made = await log_in(sessions)
    assert [info.id for info in await sessions.list_sessions("ann")] == [made.id]
    assert await sessions.revoke_all("ann") == 1
    assert (await manager(sessions, made.token)).session is None


async def test_a_session_from_before_the_index_is_listed_once_it_is_used(store: SessionStore, clock: Clock) -> None:
    """An application that turns the index on finds its old sessions as they come."""
    before = provider(store, clock, user_index=False)
    old = await log_in(before)
    after = provider(store, clock)
    assert await after.list_sessions("ann") == []
    await manager(after, old.token)
    (info,) = await after.list_sessions("ann")
    assert info.id == old.id


async def test_nothing_of_the_index_stands_in_the_session(valkey: servers.Server, clock: Clock) -> None:
    """The stored JSON is the session's data; the index is one key of its own, with no user's name in it."""
    store = RedisSessionStore(valkey.url)
    made = await log_in(provider(store, clock, capture_client=True))
    await store.close()
    assert valkey.command("GET", f"sess:{made.id}") == b'$14\r\n{"name":"ann"}\r\n'
    keys = valkey.command("KEYS", "*").decode()
    assert keys.count("sess:user:") == 1
    assert "ann" not in keys


@pytest.mark.parametrize(("number", "listing", "ending"), [(1_000, 2, 3), (10_000, 11, 21)])
async def test_many_sessions_in_a_few_round_trips(
    valkey: servers.Server, clock: Clock, number: int, listing: int, ending: int
) -> None:
    """Listing 1,000 sessions of one user takes two round trips, ending them three; of 10,000 it is 11 and 21."""
    store = RedisSessionStore(valkey.url)
    sessions = provider(store, clock)
    trips = 0
    original = store._within_deadline

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal trips
        trips += 1
        return await original(*args, **options)

    await log_in(sessions)
    key = hashlib.sha256(b"ann").hexdigest()
    (login,) = [entry.data for entry in (await store.entries(key)).values()]
    others = [f"{each:0>43}" for each in range(number - 1)]
    await asyncio.gather(*(store.enter(key, each, login, clock(), 3_600_000) for each in others[:10]))
    with Redis(port=valkey.port) as redis, redis.pipeline(transaction=False) as pipeline:
        for order, each in enumerate(others[10:], start=100):
            fields = {each: b"%d %b" % (order, login), f"{each}:seen": repr(clock())}
            pipeline.hset(f"sess:user:{key}", mapping=fields)
        for each in others:
            pipeline.set(f"sess:{each}", b"{}", px=3_600_000)
        pipeline.execute()
    await store.prune("nobody", await store.entries(key))  # the server has the script from now on
    store._within_deadline = counted  # type: ignore[method-assign]
    assert len(await sessions.list_sessions("ann")) == number
    assert trips == listing
    trips = 0
    assert await sessions.revoke_all("ann") == number
    assert trips == ending
    assert await sessions.list_sessions("ann") == []
    await store.close()


async def test_without_an_index_the_verbs_say_what_is_missing(clock: Clock) -> None:
    """list_sessions, revoke_all and destroy_others name the setting."""
    sessions = provider(MemorySessionStore(clock=clock), clock, user_index=False)
    made = await log_in(sessions)
    for call in (sessions.list_sessions("ann"), sessions.revoke_all("ann"), made.destroy_others()):
        with pytest.raises(InvalidArgumentError, match="user_index"):
            await call
