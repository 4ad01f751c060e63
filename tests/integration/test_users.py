"""The sessions of one user: listed, limited and ended together, on every kind of store."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from pydantic import TypeAdapter
from redis import Redis
from starlette.requests import Request

from jwtsession import (
    Claims,
    InvalidArgumentError,
    MemorySessionStore,
    RedisSessionStore,
    Session,
    SessionEvent,
    SessionInfo,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
    SessionStore,
    StoreUnavailableError,
    TooManySessionsError,
)
from jwtsession.sessions.index import pages, session_limit, user_index
from tests import keymaterial, servers
from tests.conftest import SECRET, Clock, started

pytestmark = [pytest.mark.caches("near", "tokens"), pytest.mark.portable, pytest.mark.usefixtures("patient")]

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
    options = {"user_index": True, "absolute_max_age": 30 * 86_400, "secret": SECRET} | options
    return started(SessionProvider(store=store, clock=clock, **options))


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
    clock.advance(100)
    second = await log_in(sessions)
    await log_in(sessions, "bob")
    listed = await sessions.list_sessions("ann")
    assert [info.id for info in listed] == [second.id, first.id]
    assert [info.created for info in listed] == [clock(), clock() - 100]
    assert all(info.client is None and info.user_agent is None for info in listed)
    clock.advance(100)
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
    clock.advance(60)
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
    clock.advance(1)
    await log_in(refusing)
    clock.advance(1)
    with pytest.raises(TooManySessionsError):
        await log_in(refusing)
    assert len(await refusing.list_sessions("ann")) == 2
    again = await manager(refusing, first.token)
    await again.create(Session(), Claims(sub="ann"))  # replaces the session that it came with
    await again.regenerate()
    assert len(await refusing.list_sessions("ann")) == 2
    evicting = provider(store, clock, max_sessions=2, too_many_sessions="evict")
    clock.advance(1)
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


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("from_old_token", [False, True], ids=["fresh", "from one old token"])
async def test_logins_at_the_same_time_evict_all_but_the_newest(
    store: SessionStore, clock: Clock, limit: int, from_old_token: bool
) -> None:
    """Of eight logins at once as many live afterwards as the limit allows, never fewer, and they are listed."""
    sessions = provider(store, clock, max_sessions=limit, too_many_sessions="evict")
    for number in range(15):
        user = f"ann-{number}"
        before = [await log_in(sessions, user) for _ in range(limit)]
        made = [await manager(sessions, before[-1].token if from_old_token else None) for _ in range(8)]
        await asyncio.gather(*(each.create(Session(name=user), Claims(sub=user)) for each in made))
        alive = {each.id for each in made if await sessions.get(each.id or "") is not None}
        assert len(alive) == limit, number
        assert {info.id for info in await sessions.list_sessions(user)} == alive


async def test_who_makes_room_late_ends_nothing_newer(store: SessionStore, clock: Clock) -> None:
    """Of two logins at once the one confirmed last lives, whichever is first to look for what is one too many."""

    class Waiting:
        """Each login has confirmed before any looks."""

        def __init__(self) -> None:
            self.confirmed = asyncio.Barrier(2)

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def index_add(self, user: str, session_id: str, *args: Any, **options: Any) -> Any:
            added = await store.index_add(user, session_id, *args, **options)
            if options.get("confirmed", True):
                order.append(session_id)
                await self.confirmed.wait()
            return added

    order: list[str] = []
    waiting: Any = Waiting()
    sessions = provider(waiting, clock, max_sessions=1, too_many_sessions="evict")
    await log_in(provider(store, clock))
    await asyncio.gather(log_in(sessions), log_in(sessions))
    assert [info.id for info in await sessions.list_sessions("ann")] == [order[-1]]


async def test_logins_at_once_beyond_the_pages_that_are_read_end_no_more_than_those_too_many(
    store: SessionStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a user has more sessions than a login reads, eight at once end eight: the limit's number is left."""
    monkeypatch.setattr(session_limit, "CEILING", 30)
    for module in (pages, session_limit):
        monkeypatch.setattr(module, "PAGE", 10)
    sessions = provider(store, clock)
    before = [await log_in(sessions) for _ in range(30)]
    made = await asyncio.gather(*(log_in(sessions) for _ in range(8)))
    listed = {info.id for info in await sessions.list_sessions("ann")}
    assert listed == {each.id for each in [*before[8:], *made]}


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
    """The stored JSON is the session's data; the index has two keys of its own, with no user's name in them."""
    store = RedisSessionStore(valkey.url)
    made = await log_in(provider(store, clock, capture_client=True), "annabelle")  # no random id has it by chance
    await store.close()
    assert valkey.command("GET", f"sess:{made.id}") == b'$20\r\n{"name":"annabelle"}\r\n'
    keys = valkey.command("KEYS", "*").decode()
    assert keys.count("sess:user:") == 2
    assert "annabelle" not in keys


def fill(server: servers.Server, name: str, number: int, clock: Clock) -> None:
    """Sessions of a user, as logins make them."""
    with Redis(port=server.port) as redis, redis.pipeline(transaction=False) as pipeline:
        for order in range(1, number + 1):
            session_id = f"{order:0>43}"
            pipeline.set(f"sess:{session_id}", b"{}", px=3_600_000)
            pipeline.zadd(f"sess:user:{{{name}}}", {session_id: order})
            known = {session_id: b'{"created":1.5}', f"{session_id}:seen": repr(clock())}
            pipeline.hset(f"sess:user:{{{name}}}:known", mapping=known)
        pipeline.hset(f"sess:user:{{{name}}}:known", ":entered", number)
        pipeline.execute()


async def name_of(sessions: SessionProvider[Session, Claims], sub: str = "ann") -> str:
    """The user's name in the store: the first that is asked for, before those of other keys."""
    with patch.object(sessions.store, "index_get", AsyncMock(return_value=None)) as asked:
        assert not await sessions.revoke("0" * 43, sub=sub)
    name: str = asked.call_args_list[0].args[0]
    return name


async def test_many_sessions_are_read_and_ended_page_by_page(valkey: servers.Server, clock: Clock) -> None:
    """No reply holds more than a page, whatever the index holds: two round trips list a page, three end it."""
    store = RedisSessionStore(valkey.url)
    sessions = provider(store, clock)
    number, scans = 10 * pages.PAGE, 11  # the last one is empty
    fill(valkey, await name_of(sessions), number, clock)
    valkey.command("CONFIG", "RESETSTAT")
    listed = await sessions.list_sessions("ann")
    assert len(listed) == number
    stats = valkey.ask("INFO", "commandstats")
    assert stats["cmdstat_pttl"]["calls"] == number
    assert stats["cmdstat_zrangebyscore"]["calls"] == scans
    assert await sessions.revoke_all("ann") == number
    stats = valkey.ask("INFO", "commandstats")
    assert stats["cmdstat_del"]["calls"] == number
    assert "cmdstat_hgetall" not in stats
    assert await sessions.list_sessions("ann") == []
    await store.close()


async def test_a_list_is_bounded(valkey: servers.Server, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more sessions than a user can have come those that were used last, and all of them can be ended."""
    monkeypatch.setattr(session_limit, "CEILING", pages.PAGE // 2)
    store = RedisSessionStore(valkey.url)
    sessions = provider(store, clock)
    fill(valkey, await name_of(sessions), 3 * pages.PAGE, clock)
    clock.advance(1)
    made = await log_in(sessions)
    listed = await sessions.list_sessions("ann")
    assert len(listed) == pages.PAGE // 2
    assert listed[0].id == made.id
    assert await sessions.revoke_all("ann") > pages.PAGE
    assert await sessions.list_sessions("ann") == []
    assert valkey.ask("DBSIZE") == 1  # that which is known of a user outlives its last session: the order goes on
    await store.close()


async def test_beyond_the_ceiling_the_oldest_end(
    store: SessionStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without max_sessions a user has a bounded number of sessions; who logs in beyond it ends the oldest."""
    monkeypatch.setattr(session_limit, "CEILING", 5)
    sessions = provider(store, clock)
    made = [await log_in(sessions) for _ in range(8)]
    assert {info.id for info in await sessions.list_sessions("ann")} == {each.id for each in made[3:]}
    alive = [(await manager(sessions, each.token)).session is not None for each in made]
    assert alive == [False] * 3 + [True] * 5


async def test_what_has_ended_leaves_as_others_enter(store: SessionStore, clock: Clock) -> None:
    """However many sessions were ended by their ids: nobody has to list them for their entries to leave."""
    sessions = provider(store, clock)
    for _ in range(120):
        made = await log_in(sessions)
        assert made.id is not None
        await sessions.revoke(made.id)
    page, *_ = await store.index_page(await name_of(sessions), 0, 1000)
    assert len(page) <= 3
    living = [await log_in(sessions) for _ in range(user_index.SAMPLE)]
    for _ in range(150):
        made = await log_in(sessions)
        assert made.id is not None
        await sessions.revoke(made.id)
    page, *_ = await store.index_page(await name_of(sessions), 0, 1000)
    assert {each.id for each in living} <= page.keys()
    assert len(page) < 2 * len(living)


async def test_what_clients_say_of_themselves_is_cut(store: SessionStore, clock: Clock) -> None:
    """An address and a user agent without end or with control characters can't fill the index or a log."""
    sessions = provider(store, clock, capture_client=True)
    await log_in(sessions, agent="\x1b[31m" + "é" * 1_000_000)
    (info,) = await sessions.list_sessions("ann")
    assert info.user_agent is not None
    assert info.user_agent.startswith("[31mÃ")  # as latin-1, which headers are
    assert len(info.user_agent.encode()) <= 256
    assert info.user_agent.isprintable()
    page, *_ = await store.index_page(await name_of(sessions), 0, 10)
    assert all(len(entry.data) < 700 for entry in page.values())


async def test_a_page_that_fails_loses_no_page_before_it(store: SessionStore, clock: Clock) -> None:
    """What was ended has ended and is counted by the error, an event tells each; to repeat it ends the rest."""
    events: list[SessionEvent] = []

    class Failing:
        def __init__(self) -> None:
            self.left = 2

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def destroy_all(self, session_ids: Any) -> list[bool]:
            self.left -= 1
            if self.left < 0:
                raise StoreUnavailableError
            return await store.destroy_all(session_ids)

    failing: Any = Failing()
    number = 2 * pages.PAGE + 5
    async with provider(failing, clock, on_event=events.append) as sessions:
        for _ in range(number):
            await log_in(sessions)
        with pytest.raises(StoreUnavailableError) as caught:
            await sessions.revoke_all("ann")
        assert caught.value.ended == 2 * pages.PAGE
        assert len(await sessions.list_sessions("ann")) == 5
        failing.left = 10
        assert await sessions.revoke_all("ann") == 5
    assert [event.name for event in events].count("destroyed") == number


async def test_a_device_that_was_revoked_makes_room_at_once(store: SessionStore, clock: Clock) -> None:
    """With room for one session the login that follows its end is no login too many, however it has ended."""
    sessions = provider(store, clock, max_sessions=1)
    for _ in range(3):
        made = await log_in(sessions)
        assert made.id is not None
        assert await sessions.revoke(made.id)
    made = await log_in(sessions)
    await made.destroy()
    await log_in(sessions)
    with pytest.raises(TooManySessionsError):
        await log_in(sessions)


class Hanging:
    """A store in which one step, of those that change something, never comes back: done, or not done."""

    def __init__(self, store: SessionStore, step: int, done: bool) -> None:
        self._store = store
        self._left = step
        self._done = done
        self.hangs = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        made = getattr(self._store, name)
        if name not in ("create", "compare_and_delete", "destroy", "destroy_all") and not name.startswith("index_"):
            return made

        async def step(*args: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left != 0:
                return await made(*args, **options)
            if self._done:
                await made(*args, **options)
            self.hangs.set()
            return await asyncio.Event().wait()

        return step


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("verb", ["create", "create with an old token", "sign in"])
async def test_a_login_that_is_given_up_locks_nobody_out(
    store: SessionStore, clock: Clock, verb: str, done: bool
) -> None:
    """Whatever step a client does not wait for: its user, who may have one session, can log in at once."""
    for step in range(1, 20):
        hanging = Hanging(store, step, done)
        whole = provider(store, clock, max_sessions=1)
        stuck = provider(hanging, clock, max_sessions=1)  # type: ignore[arg-type]
        user = f"ann-{step}"
        visitor = await manager(whole)
        if verb != "create":
            await visitor.create(Session(), Claims())
        leaving = await manager(stuck, visitor.token)
        signed_in = leaving.regenerate if verb == "sign in" else leaving.create
        login = asyncio.ensure_future(signed_in(Session(), Claims(sub=user)))
        stopped = asyncio.ensure_future(hanging.hangs.wait())
        await asyncio.wait([login, stopped], return_when=asyncio.FIRST_COMPLETED)
        if login.done():
            stopped.cancel()
            break
        login.cancel()
        await asyncio.wait([login])
        await log_in(whole, user)
        assert len(await whole.list_sessions(user)) == 1, step
    assert 2 < step < 19


class Failing:
    """A store in which one step, of those that change something, is a 503: done, or not done. Then it goes on."""

    def __init__(self, store: SessionStore, step: int, done: bool) -> None:
        self._store = store
        self.left = step
        self._done = done

    def __getattr__(self, name: str) -> Any:
        made = getattr(self._store, name)
        if name not in ("create", "compare_and_delete", "destroy", "destroy_all") and not name.startswith("index_"):
            return made

        async def step(*args: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left != 0:
                return await made(*args, **options)
            if self._done:
                await made(*args, **options)
            raise StoreUnavailableError

        return step


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("verb", ["create", "create with an old token", "sign in"])
async def test_a_login_that_fails_locks_nobody_out(store: SessionStore, clock: Clock, verb: str, done: bool) -> None:
    """Whatever step the store fails at: who was told 503 can log in at once, and who was not has a session."""
    answers = []
    for step in range(1, 20):
        failing: Any = Failing(store, step, done)
        whole, faulty = provider(store, clock, max_sessions=1), provider(failing, clock, max_sessions=1)
        user = f"ann-{step}"
        visitor = await manager(whole)
        if verb != "create":
            await visitor.create(Session(), Claims())
        made = await manager(faulty, visitor.token)
        signed_in = made.regenerate if verb == "sign in" else made.create
        try:
            await signed_in(Session(), Claims(sub=user))
        except StoreUnavailableError:
            answers.append(503)
            made = await log_in(whole, user)
        else:
            answers.append(200)
        assert [info.id for info in await whole.list_sessions(user)] == [made.id], step
        assert await whole.get(made.id or "") is not None
        if failing.left > 0:
            break
    assert answers[:2] == [503, 503]
    assert 2 < step < 19


async def test_a_login_succeeds_where_the_session_before_it_cant_be_ended(
    store: SessionStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The new session is there and its token is answered; the log tells that the one before may live on."""

    class Undying:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
            raise StoreUnavailableError

    undying: Any = Undying()
    sessions = provider(undying, clock, max_sessions=1)
    old = await log_in(sessions)
    again = await manager(sessions, old.token)
    token = await again.create(Session(name="again"), Claims(sub="ann"))
    assert (await manager(sessions, token.access_token)).session == Session(name="again")
    assert "the user's session from before may not have ended" in caplog.text


async def test_logins_at_once_from_one_old_token_leave_no_entry_without_a_session(
    store: SessionStore, clock: Clock
) -> None:
    """Each login was proven and has its session; the old one has ended, and its entry does not come back."""

    class Late:
        """Between a load and the note of it others log in."""

        def __init__(self) -> None:
            self.others: list[Manager] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def load(self, *args: Any, **options: Any) -> Any:
            value = await store.load(*args, **options)
            while self.others:
                await self.others.pop().create(Session(), Claims(sub="ann"))
            return value

    late: Any = Late()
    sessions, slow = provider(store, clock, touch_interval=0), provider(late, clock, touch_interval=0)
    old = await log_in(sessions)
    first, second = await manager(sessions, old.token), await manager(sessions, old.token)
    late.others = [first, second]
    third = await manager(slow, old.token)
    await third.create(Session(), Claims(sub="ann"))
    ids = {first.id, second.id, third.id}
    page, *_ = await store.index_page(await name_of(sessions), 0, 10)
    assert {info.id for info in await sessions.list_sessions("ann")} == {*page} == ids


async def test_a_note_that_cant_be_written_fails_no_verb(store: SessionStore, clock: Clock) -> None:
    """A read, an update and a touch are done all the same; only a login needs its place in the index."""

    class Forgetful:
        notes = True

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def index_add(self, *args: Any, **options: Any) -> Any:
            if not self.notes:
                raise StoreUnavailableError
            return await store.index_add(*args, **options)

    forgetful: Any = Forgetful()
    sessions = provider(forgetful, clock, touch_interval=0)
    made = await log_in(sessions)
    forgetful.notes = False
    read = await manager(sessions, made.token)
    assert read.session is not None
    await read.update(Session(name="bob"))
    await read.touch()
    await read.mutate(lambda session: None)
    with pytest.raises(StoreUnavailableError):
        await log_in(sessions)


async def test_a_full_server_still_answers_reads(engine: servers.Server, clock: Clock) -> None:
    """With user_index too, also where the session has no entry yet; a login and an update are a 503."""
    before = provider(RedisSessionStore(engine.url), clock, user_index=False)
    unlisted = await log_in(before)
    sessions = provider(RedisSessionStore(engine.url), clock, touch_interval=0)
    listed = await log_in(sessions)
    engine.command("CONFIG", "SET", "maxmemory", "1")
    try:
        clock.advance(1)
        for token in (unlisted.token, listed.token):
            assert (await manager(sessions, token)).session is not None
        with pytest.raises(StoreUnavailableError):
            await log_in(sessions)
        with pytest.raises(StoreUnavailableError):
            await listed.update(Session(name="a longer name than before"))
    finally:
        engine.command("CONFIG", "SET", "maxmemory", "0")
    (info,) = await sessions.list_sessions("ann")
    assert info.last_seen == clock()  # such a note takes the place of another, and fits
    for each in (before, sessions):
        await each.store.close()


# --- names -----------------------------------------------------------------------------------------------------------


def write_as_before(server: servers.Server, sub: str, session_id: str, clock: Clock) -> None:
    """An entry, as workers of the version before wrote it."""
    key = f"sess:user:{hashlib.sha256(sub.encode()).hexdigest()}"
    login = f'{{"created":{clock() - 100},"client":"10.9.8.7","user_agent":"old"}}'
    fields = (":entered", "1", session_id, f"1 {login}", f"{session_id}:seen", repr(clock()))
    server.command("HSET", key, *fields)
    server.command("PEXPIRE", key, "3600000")


async def test_entries_of_an_older_version_are_found(valkey: servers.Server, clock: Clock) -> None:
    """What workers of the version before enter during a deployment is listed, counted and ended."""
    store = RedisSessionStore(valkey.url)
    before = provider(store, clock, user_index=False)
    sessions = provider(store, clock, max_sessions=1)
    old = await log_in(before)
    assert old.id is not None
    write_as_before(valkey, "ann", old.id, clock)
    (info,) = await sessions.list_sessions("ann")
    assert (info.id, info.created, info.client, info.user_agent) == (old.id, clock() - 100, "10.9.8.7", "old")
    with pytest.raises(TooManySessionsError):
        await log_in(sessions)
    await manager(sessions, old.token)  # noted in the new format: in both now
    (info,) = await sessions.list_sessions("ann")
    assert (info.created, info.client) == (clock() - 100, "10.9.8.7")
    assert not await sessions.revoke(old.id, sub="bob")
    assert await sessions.revoke_all("ann", except_id=old.id) == 0
    assert await sessions.revoke_all("ann") == 1
    assert (await manager(sessions, old.token)).session is None
    assert await sessions.revoke_all("ann") == 0
    again = await log_in(before)
    assert again.id is not None
    write_as_before(valkey, "ann", again.id, clock)
    evicting = provider(store, clock, max_sessions=1, too_many_sessions="evict")
    made = await log_in(evicting)
    assert [info.id for info in await sessions.list_sessions("ann")] == [made.id]
    write_as_before(valkey, "ann", again.id, clock)
    assert not await sessions.revoke(again.id, sub="ann")  # the user's, and gone
    await store.close()


OLD_KEY = {"kid": "old", "secret": "xK4vT9qLr2ZsW7nBf0HdYj5MpCgAe8Ru1-oi_3Qt"}
OWN_KEY = "nD3rY8uKc5VxQe1Zt7HwSa0PjLg4BmFo-6Ii_2X9"
NEW_KEY = {"kid": "new", "secret": "b7Gm2Xw9TzKqPa4LsVd0RfYhJc8NeUo5-Ti_1C6k"}


async def test_entries_are_found_while_keys_are_replaced(store: SessionStore, clock: Clock) -> None:
    """Whichever key signs, workers with both find, count and end the sessions of each other."""

    def with_keys(*keys: dict[str, Any], **options: Any) -> SessionProvider[Session, Claims]:
        options = {"user_index": True, "keys": keys} | options
        return started(SessionProvider(store=store, clock=clock, **options))

    before = with_keys(OLD_KEY, NEW_KEY | {"verify_only": True})
    after = with_keys(NEW_KEY, OLD_KEY, max_sessions=2)
    assert await name_of(before) != await name_of(after)
    first, second = await log_in(before), await log_in(after)
    for sessions in (before, after):
        assert {info.id for info in await sessions.list_sessions("ann")} == {first.id, second.id}
    with pytest.raises(TooManySessionsError):
        await log_in(after)
    assert await after.revoke_all("ann") == 2
    assert await before.list_sessions("ann") == []


async def test_a_key_of_the_index_outlives_those_of_the_tokens(store: SessionStore, clock: Clock) -> None:
    """With user_index_key the names stay while all other keys change, and what stood under the old names is found."""
    plain = provider(store, clock)
    old = await log_in(plain)
    with_own = provider(store, clock, user_index_key=OWN_KEY)
    assert [info.id for info in await with_own.list_sessions("ann")] == [old.id]
    other = started(SessionProvider(store=store, clock=clock, user_index=True, user_index_key=OWN_KEY, keys=[NEW_KEY]))
    assert await name_of(with_own) == await name_of(other) != await name_of(plain)


async def test_services_that_only_verify_know_the_names(clock: Clock) -> None:
    """A public key gives the same names as its private one, with and without a key of the index."""
    private, public = keymaterial.private_and_public("ES256", "pem")
    for options in ({}, {"user_index_key": OWN_KEY}):
        names = {
            await name_of(provider(MemorySessionStore(), clock, secret=key, algorithm="ES256", **options))
            for key in (private, public)
        }
        assert len(names) == 1


async def test_a_name_is_not_to_be_guessed(valkey: servers.Server, clock: Clock) -> None:
    """Who reads the server and knows a user's name, an e-mail address say, does not find the user's index."""
    store = RedisSessionStore(valkey.url)
    await log_in(provider(store, clock), "ann@example.com")
    await store.close()
    keys = valkey.command("KEYS", "*").decode()
    assert hashlib.sha256(b"ann@example.com").hexdigest() not in keys


# --- arguments -------------------------------------------------------------------------------------------------------


async def test_a_session_is_ended_where_it_is_that_users(store: SessionStore, clock: Clock) -> None:
    """With a sub revoke ends no other user's session, and leaves no entry behind."""
    sessions = provider(store, clock)
    ann, bob = await log_in(sessions), await log_in(sessions, "bob")
    assert ann.id is not None
    assert bob.id is not None
    assert not await sessions.revoke(bob.id, sub="ann")
    assert (await manager(sessions, bob.token)).session is not None
    assert await sessions.revoke(ann.id, sub="ann")
    assert not await sessions.revoke(ann.id, sub="ann")
    assert (await manager(sessions, ann.token)).session is None
    assert await store.index_page(await name_of(sessions), 0, 10) == ({}, 0, 0)
    without = provider(store, clock, user_index=False)
    with pytest.raises(InvalidArgumentError, match="user_index"):
        await without.revoke(bob.id, sub="bob")


@pytest.mark.parametrize("sub", ["\ud800", "", 5, None, b"ann", ["ann"]])
async def test_what_no_user_can_be_is_an_invalid_argument(clock: Clock, sub: Any) -> None:
    """A sub that no token can carry is the application's mistake, told as such; it matches nobody."""
    sessions = provider(MemorySessionStore(clock=clock), clock)
    made = await log_in(sessions)
    assert made.id is not None
    calls = [sessions.list_sessions(sub), sessions.revoke_all(sub)]
    calls += [] if sub is None else [sessions.revoke(made.id, sub=sub)]
    for call in calls:
        with pytest.raises(InvalidArgumentError, match="sub"):
            await call
    assert len(await sessions.list_sessions("ann")) == 1


@pytest.mark.parametrize("session_id", [5, None, b"an-id", ["an-id"]])
async def test_what_no_id_can_be_is_an_invalid_argument(clock: Clock, session_id: Any) -> None:
    """An id of another type is the application's mistake; a text that is no id is a session that is gone."""
    sessions = provider(MemorySessionStore(clock=clock), clock)
    for call in (sessions.get(session_id), sessions.revoke(session_id), sessions.revoke(session_id, sub="ann")):
        with pytest.raises(InvalidArgumentError, match="id"):
            await call
    if session_id is not None:
        with pytest.raises(InvalidArgumentError, match="id"):
            await sessions.revoke_all("ann", except_id=session_id)
    for text in ("", "\ud800", "x" * 1_000_000):
        assert await sessions.get(text) is None
        assert not await sessions.revoke(text)
        assert not await sessions.revoke(text, sub="ann")
        assert await sessions.revoke_all("ann", except_id=text) == 0


async def test_a_very_long_sub_is_a_user_like_any_other(store: SessionStore, clock: Clock) -> None:
    """Whatever its length, its name in the store has one length."""
    sessions = provider(store, clock)
    made = await log_in(sessions, "x" * 4000)
    assert [info.id for info in await sessions.list_sessions("x" * 4000)] == [made.id]
    assert await sessions.list_sessions("x" * 1_000_000) == []


async def test_without_an_index_the_verbs_say_what_is_missing(clock: Clock) -> None:
    """list_sessions, revoke_all and destroy_others name the setting."""
    sessions = provider(MemorySessionStore(clock=clock), clock, user_index=False)
    made = await log_in(sessions)
    for call in (sessions.list_sessions("ann"), sessions.revoke_all("ann"), made.destroy_others()):
        with pytest.raises(InvalidArgumentError, match="user_index"):
            await call


# --- a server that evicts --------------------------------------------------------------------------------------------


async def logged_at_start(url: str, caplog: pytest.LogCaptureFixture, **options: Any) -> list[tuple[str, str]]:
    """What the log says of a policy when an application starts, with the level."""
    caplog.clear()
    sessions = SessionProvider(redis_url=url, secret=SECRET, **({"user_index": True} | options))
    with caplog.at_level("INFO", logger="jwtsession"):
        async with sessions:
            assert await sessions.ping()
    return [(each.levelname, each.getMessage()) for each in caplog.records if "maxmemory" in each.getMessage()]


async def test_a_policy_that_evicts_is_told_at_the_start(
    engine: servers.Server, caplog: pytest.LogCaptureFixture
) -> None:
    """With an index a server's real policy stands in the log as an error, with the remedy; else nothing does."""
    assert await logged_at_start(engine.url, caplog) == []
    engine.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        for limit, level in (("0", "WARNING"), ("100mb", "ERROR")):
            engine.command("CONFIG", "SET", "maxmemory", limit)
            ((told, message),) = await logged_at_start(engine.url, caplog)
            assert told == level
            assert "allkeys-lru" in message
            assert "Set maxmemory-policy to noeviction" in message
        assert await logged_at_start(engine.url, caplog, user_index=False) == []
        engine.command("ACL", "SETUSER", "app", "reset", "on", ">password", "~sess:*", "-@all", "+ping")
        ((told, message),) = await logged_at_start(engine.url.replace("//", "//app:password@"), caplog)
        assert told == "INFO"
        assert "+info" in message
        engine.command("ACL", "SETUSER", "app", "+info")
        ((told, _),) = await logged_at_start(engine.url.replace("//", "//app:password@"), caplog)
        assert told == "ERROR"
    finally:
        engine.command("CONFIG", "SET", "maxmemory", "0")
        engine.command("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_each_primary_of_a_cluster_is_asked(
    cluster_server: servers.Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The policy of one of its servers is told, with the server's name."""
    cluster_server.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    try:
        ((told, message),) = await logged_at_start(f"redis+cluster://127.0.0.1:{cluster_server.port}", caplog)
        assert told == "WARNING"
        assert f"127.0.0.1:{cluster_server.port}" in message
    finally:
        cluster_server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_a_session_has_a_handle_and_knows_who_asks(store: SessionStore, clock: Clock) -> None:
    """The handle is not the id, stays the same, and one session of the list is the one that asks."""
    sessions = provider(store, clock)
    first, second = await log_in(sessions), await log_in(sessions)
    listed = {info.id: info for info in await sessions.list_sessions("ann", current_id=second.id)}
    assert [listed[each.id or ""].current for each in (first, second)] == [False, True]
    handles = {info.handle for info in listed.values()}
    assert len(handles) == 2
    assert all(len(each) == 22 and each not in f"{first.id} {second.id}" for each in handles)
    assert handles == {info.handle for info in await sessions.list_sessions("ann")}


async def test_an_answer_of_sessions_has_no_id(clock: Clock) -> None:
    """An application that returns `SessionInfo` gives clients the handle, and the JSON schema says the same."""
    sessions = provider(MemorySessionStore(clock), clock)
    await log_in(sessions)
    adapter = TypeAdapter(list[SessionInfo])
    (shown,) = adapter.dump_python(await sessions.list_sessions("ann"))
    assert set(shown) == {
        "created", "last_seen", "expires", "client", "user_agent", "label", "actor", "current", "handle",
    }  # fmt: skip
    assert set(adapter.json_schema(mode="serialization")["$defs"]["SessionInfo"]["properties"]) == set(shown)


async def test_a_handle_ends_only_a_session_of_that_user(store: SessionStore, clock: Clock) -> None:
    """Another user's handle, one of an ended session and any text find nothing; each other one ends once."""
    sessions = provider(store, clock)
    ann, bob = await log_in(sessions), await log_in(sessions, "bob")
    (info,) = await sessions.list_sessions("ann")
    for handle in ("", "x" * 22, "x" * 10_000, "\x00", "\ud800", ann.id or "", ann.token or ""):
        assert not await sessions.revoke_handle(handle, sub="ann")
    assert not await sessions.revoke_handle(info.handle, sub="bob")
    assert await sessions.get(ann.id or "") is not None
    ended = await asyncio.gather(*[sessions.revoke_handle(info.handle, sub="ann") for _ in range(5)])
    assert sorted(ended) == [False] * 4 + [True]
    assert not await sessions.revoke_handle(info.handle, sub="ann")
    assert await sessions.get(bob.id or "") is not None
    for wrong in (None, 1, b"x"):
        with pytest.raises(InvalidArgumentError, match="handle"):
            await sessions.revoke_handle(wrong, sub="ann")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="sub"):
        await sessions.revoke_handle(info.handle, sub="")


async def test_a_label_is_the_users_own(store: SessionStore, clock: Clock) -> None:
    """It outlives uses and `regenerate()`, an empty one removes it, and no other user can set it."""
    sessions = provider(store, clock, capture_client=True, touch_interval=0)
    login = await log_in(sessions, agent="curl/8")
    (info,) = await sessions.list_sessions("ann")
    assert info.label is None
    assert not await sessions.set_label(info.handle, "mine", sub="bob")
    assert await sessions.set_label(info.handle, "  Büro 💻 ", sub="ann")
    clock.advance(100)
    again = await manager(sessions, login.token, agent="other")
    assert [(each.label, each.user_agent) for each in await sessions.list_sessions("ann")] == [("Büro 💻", "curl/8")]
    await again.regenerate()
    (moved,) = await sessions.list_sessions("ann")
    assert (moved.label, moved.user_agent, moved.created) == ("Büro 💻", "curl/8", info.created)
    assert moved.handle != info.handle
    assert not await sessions.set_label(info.handle, "old", sub="ann")
    assert await sessions.set_label(moved.handle, "x" * 64, sub="ann")
    for wrong in ("x" * 65, "a\nb", "\x1b[2J", "\u202e", "\ud800", 5, b"x"):
        with pytest.raises(InvalidArgumentError, match="label"):
            await sessions.set_label(moved.handle, wrong, sub="ann")  # type: ignore[arg-type]
    assert [each.label for each in await sessions.list_sessions("ann")] == ["x" * 64]
    assert await sessions.set_label(moved.handle, None, sub="ann")
    assert [each.label for each in await sessions.list_sessions("ann")] == [None]
    await again.destroy()
    assert not await sessions.set_label(moved.handle, "gone", sub="ann")
    assert await sessions.list_sessions("ann") == []


async def test_a_label_is_found_while_keys_are_replaced(store: SessionStore, clock: Clock) -> None:
    """An entry under an older name of the user gets its label under the newest one, beside what was known of it."""
    old, new = SECRET, SECRET[::-1]
    before = provider(store, clock, capture_client=True, keys=[{"kid": "1", "secret": old}], secret=None)
    await log_in(before, agent="curl/8")
    keys = [{"kid": "2", "secret": new}, {"kid": "1", "secret": old, "verify_only": True}]
    sessions = provider(store, clock, capture_client=True, keys=keys, secret=None)
    (info,) = await sessions.list_sessions("ann")
    assert await sessions.set_label(info.handle, "mine", sub="ann")
    (info,) = await sessions.list_sessions("ann")
    assert (info.label, info.user_agent, info.client) == ("mine", "curl/8", "10.1.2.3")
    assert await sessions.revoke_handle(info.handle, sub="ann")
    assert await sessions.list_sessions("ann") == []


async def test_threads_have_handles_and_labels_too(store: SessionStore, clock: Clock) -> None:
    """By `sessions.sync`, from another thread."""
    sessions = provider(store, clock)
    async with sessions:
        await log_in(sessions)
        (info,) = await asyncio.to_thread(sessions.sync.list_sessions, "ann")
        assert await asyncio.to_thread(lambda: sessions.sync.set_label(info.handle, "mine", sub="ann"))
        assert await asyncio.to_thread(lambda: sessions.sync.revoke_handle(info.handle, sub="ann"))
        assert await asyncio.to_thread(sessions.sync.list_sessions, "ann") == []


@pytest.mark.parametrize("policy", ["refuse", "evict"])
async def test_who_acts_for_a_user_takes_no_room(store: SessionStore, clock: Clock, policy: str) -> None:
    """Neither does the user's next login end that session or fail for it, nor does it end one of the user's own."""
    sessions = provider(store, clock, max_sessions=2, too_many_sessions=policy, may_impersonate=lambda *_: True)
    support = await log_in(sessions, "support")
    first, second = await log_in(sessions), await log_in(sessions)
    tokens = []
    for _ in range(3):
        acting = await manager(sessions, support.token)
        tokens.append((await acting.impersonate("ann", Session(name="ann"))).access_token)
    listed = await sessions.list_sessions("ann")
    assert sorted(info.actor or "" for info in listed) == ["", "", "support", "support", "support"]
    assert (await manager(sessions, first.token)).session is not None
    if policy == "refuse":
        with pytest.raises(TooManySessionsError):
            await log_in(sessions)
        await second.destroy()
    await log_in(sessions)
    for token in tokens:
        assert (await manager(sessions, token)).session is not None
    listed = await sessions.list_sessions("ann")
    assert sorted(info.actor or "" for info in listed) == ["", "", "support", "support", "support"]
    assert await sessions.revoke_all("ann") == 5
    assert (await manager(sessions, support.token)).session is not None


async def test_who_loses_the_job_acts_for_nobody(store: SessionStore, clock: Clock) -> None:
    """`revoke_all()` for the actor ends the sessions in which the actor acts for others, also those that have moved."""
    sessions = provider(store, clock, max_sessions=2, may_impersonate=lambda *_: True)
    ann, support = await log_in(sessions), await log_in(sessions, "support")
    acting = []
    for sub in ("ann", "bob"):
        made = await manager(sessions, support.token)
        await made.impersonate(sub, Session(name=sub))
        acting.append(made)
    moved = await manager(sessions, acting[0].token)
    await moved.regenerate()
    assert [info.actor for info in await sessions.list_sessions("support")] == [None]
    assert [info.actor for info in await sessions.list_sessions("bob")] == ["support"]
    assert await sessions.revoke_all("support") == 3
    for token in (support.token, acting[1].token, moved.token):
        assert (await manager(sessions, token)).session is None
    assert (await manager(sessions, ann.token)).session is not None
    assert [info.actor for info in await sessions.list_sessions("ann")] == [None]
    assert await sessions.list_sessions("bob") == await sessions.list_sessions("support") == []


async def test_the_end_of_an_actors_session_names_both(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Also where it ends with the actor's own sessions."""
    sessions = provider(MemorySessionStore(clock), clock, audit_sub=True, may_impersonate=lambda *_: True)
    support = await log_in(sessions, "support")
    await (await manager(sessions, support.token)).impersonate("ann", Session(name="ann"))
    with caplog.at_level("INFO", "jwtsession"):
        await sessions.revoke_all("support")
    told = [(each.__dict__["jwtsession_sub"], each.__dict__["jwtsession_actor"]) for each in caplog.records]
    assert sorted(told, key=str) == [("ann", "support"), ("support", None)]


async def test_no_acting_session_escapes_the_actors_end_while_it_moves(store: SessionStore, clock: Clock) -> None:
    """Whatever of both comes first: afterwards the session is gone, under its old id and under its new one."""
    sessions = provider(store, clock, may_impersonate=lambda *_: True)
    for _ in range(10):
        support = await log_in(sessions, "support")
        made = await manager(sessions, support.token)
        await made.impersonate("ann", Session(name="ann"))
        moving = await manager(sessions, made.token)
        await asyncio.gather(moving.regenerate(), sessions.revoke_all("support"), return_exceptions=True)
        left = await sessions.list_sessions("ann")
        if left:  # the session had moved before the end of the others looked
            await sessions.revoke_all("support")
        assert await sessions.list_sessions("ann") == []


async def test_who_was_logged_out_meanwhile_acts_for_nobody(clock: Clock) -> None:
    """The end of the actor's sessions comes while the acting one is stored: no token of it gets out, and it is gone."""
    sessions = provider(MemorySessionStore(clock), clock, may_impersonate=lambda *_: True)
    support = await log_in(sessions, "support")
    acting = await manager(sessions, support.token)
    create = sessions.store.create

    async def ended_first(*args: Any) -> bool:
        await sessions.revoke_all("support")
        return await create(*args)

    with patch.object(sessions.store, "create", ended_first), pytest.raises(SessionNotFoundError):
        await acting.impersonate("ann", Session(name="ann"))
    assert await sessions.list_sessions("ann") == []


async def test_an_actors_own_index_opens_no_session_of_the_user(store: SessionStore, clock: Clock) -> None:
    """By its handle or its id it is the user's session alone: the actor's `sub` does not find it."""
    sessions = provider(store, clock, may_impersonate=lambda *_: True)
    support = await log_in(sessions, "support")
    acting = await manager(sessions, support.token)
    await acting.impersonate("ann", Session(name="ann"))
    assert not await sessions.revoke_handle(acting.handle or "", sub="support")
    assert not await sessions.set_label(acting.handle or "", "mine", sub="support")
    assert not await sessions.revoke(acting.id or "", sub="support")
    assert (await manager(sessions, acting.token)).session is not None
    assert await sessions.revoke_handle(acting.handle or "", sub="ann")


async def test_a_use_takes_along_what_is_known_while_keys_are_replaced(store: SessionStore, clock: Clock) -> None:
    """The entry under the newest name has the label and the client: a label can be removed, and a move keeps both."""
    before = provider(store, clock, capture_client=True, touch_interval=0)
    login = await log_in(before, agent="curl/8")
    (info,) = await before.list_sessions("ann")
    await before.set_label(info.handle, "mine", sub="ann")
    after = provider(store, clock, capture_client=True, touch_interval=0, user_index_key=SECRET[::-1])
    clock.advance(10)
    used = await manager(after, login.token, agent="other")
    await used.regenerate()
    (info,) = await after.list_sessions("ann")
    assert (info.label, info.user_agent, info.client) == ("mine", "curl/8", "10.1.2.3")
    clock.advance(10)
    await manager(after, used.token)
    assert await after.set_label(info.handle, None, sub="ann")
    assert [each.label for each in await after.list_sessions("ann")] == [None]
