"""Encryption at rest, as it runs: on a real server, switched on and re-keyed by two workers, attacked in the store."""

import asyncio
import base64
import secrets
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import redis
from fastapi import Depends, FastAPI

from jwtsession import (
    Claims,
    InvalidArgumentError,
    Session,
    SessionConflictError,
    SessionCorruptError,
    SessionManager,
    SessionNotFoundError,
    SessionProvider,
    SessionTooLargeError,
    Token,
)
from jwtsession.sessions.encryption import AESGCMSealer
from jwtsession.sessions.serialization import MAX_SESSION_BYTES
from jwtsession.testing import AsyncSessionTester, InspectableStore
from tests import servers
from tests.conftest import SECRET, Clock, started
from tests.fleet import Fleet, running
from tests.web import bearer, serving

pytestmark = pytest.mark.caches("tokens")

CANARY = "canary-5f3a91"
ABSOLUTE_MAX_AGE = 1_000


def new_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


KEY, OTHER = new_key(), new_key()


class UserSession(Session):
    user_id: int
    cart: list[str] = []


class WiderSession(UserSession):
    theme: str = "light"


def stored(server: servers.Server) -> dict[bytes, bytes]:
    """Every byte that stands in the server, by key."""
    with redis.Redis(port=server.port) as client:
        read = {
            b"hash": lambda key: repr(client.hgetall(key)).encode(),
            b"zset": lambda key: repr(client.zrange(key, 0, -1)).encode(),
            b"string": client.get,
        }
        return {key: read[client.type(key)](key) for key in client.keys("*")}


def put(server: servers.Server, key: bytes, value: bytes) -> None:
    """What an attacker with access to the store does."""
    with redis.Redis(port=server.port) as client:
        client.set(key, value, keepttl=True)


def sealed(value: bytes) -> bool:
    return value.startswith(b"\x01")


# --- rolling ---------------------------------------------------------------------------------------------------------


def moment_of(fleet: Fleet) -> None:
    """Sessions are made on each worker that is up, and all there are are read and changed on each."""
    fleet.log_in_everywhere()
    assert fleet.refused() == []
    for token in fleet.tokens:
        for name in fleet.clients:
            before = fleet.clients[name].get("/session", headers=bearer(token)).json()["cart"]
            assert fleet.add(name, token, name).json()["cart"] == [*before, name]


def test_switching_it_on_logs_nobody_out(valkey: servers.Server, clock: Clock) -> None:
    """Without keys, `read`, `write`, `require`: rolled over two workers, each step on one after the other."""
    with running(valkey.url, clock, {"secret": SECRET}, absolute_max_age=ABSOLUTE_MAX_AGE) as fleet:
        common = {"secret": SECRET}

        def roll(mode: str) -> None:
            for name in Fleet.WORKERS:
                fleet.roll(name, lambda: moment_of(fleet), **common, encryption={"keys": [KEY], "mode": mode})

        untouched = fleet.log_in("a")
        fleet.tokens.clear()
        roll("read")
        assert not any(map(sealed, stored(valkey).values()))
        roll("write")
        fleet.log_in_everywhere()
        values = stored(valkey)
        # All but the one that nobody has written to since.
        assert [sealed(value) for value in values.values()].count(False) == 1
        assert fleet.refused(untouched) == []

        # Its time is up before plain values are no longer read.
        clock.advance(ABSOLUTE_MAX_AGE / 2)
        late = [fleet.log_in(name) for name in Fleet.WORKERS]
        clock.advance(ABSOLUTE_MAX_AGE / 2)
        assert len(fleet.refused(untouched)) == 2
        fleet.tokens = late
        roll("require")


def test_without_the_first_step_people_are_refused_but_lose_nothing(valkey: servers.Server, clock: Clock) -> None:
    """Why `read` comes first: a worker without the key refuses what another has encrypted. It keeps it, though."""
    with running(valkey.url, clock, {"secret": SECRET}) as fleet:
        fleet.roll("a", secret=SECRET, encryption={"keys": [KEY], "mode": "write"})
        token = fleet.log_in("a")
        assert fleet.refused() == [("b", 0)]
        fleet.roll("b", secret=SECRET, encryption={"keys": [KEY], "mode": "read"})
        assert fleet.refused(token) == []


def test_a_new_key_logs_nobody_out(valkey: servers.Server, clock: Clock) -> None:
    """Behind the old one, then in front of it, then alone: rolled over two workers, each step one after the other."""
    first = {"secret": SECRET, "encryption": {"keys": [OTHER]}}
    with running(valkey.url, clock, first, absolute_max_age=ABSOLUTE_MAX_AGE) as fleet:

        def roll(*keys: str) -> None:
            for name in Fleet.WORKERS:
                fleet.roll(name, lambda: moment_of(fleet), secret=SECRET, encryption={"keys": keys})

        moment_of(fleet)
        old_name = {value[1:5] for value in stored(valkey).values()}
        roll(OTHER, KEY)
        assert {value[1:5] for value in stored(valkey).values()} == old_name
        roll(KEY, OTHER)
        clock.advance(ABSOLUTE_MAX_AGE / 2)
        fleet.tokens = [fleet.log_in(name) for name in Fleet.WORKERS]
        clock.advance(ABSOLUTE_MAX_AGE / 2)
        roll(KEY)


def test_a_new_key_in_front_at_once_refuses_people(valkey: servers.Server, clock: Clock) -> None:
    """Why it stands behind the old one first: the worker that does not know it refuses, and keeps the session."""
    with running(valkey.url, clock, {"secret": SECRET, "encryption": {"keys": [OTHER]}}) as fleet:
        fleet.roll("a", secret=SECRET, encryption={"keys": [KEY, OTHER]})
        fleet.log_in("a")
        assert fleet.refused() == [("b", 0)]
        fleet.roll("b", secret=SECRET, encryption={"keys": [KEY, OTHER]})
        assert fleet.refused() == []


# --- attacks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def fleet(valkey: servers.Server, clock: Clock) -> Iterator[Fleet]:
    with running(valkey.url, clock, {"secret": SECRET, "encryption": {"keys": [KEY]}}) as made:
        yield made


def assert_refused_and_kept(fleet: Fleet, valkey: servers.Server, token: str) -> None:
    before = stored(valkey)
    for client in fleet.clients.values():
        answer = client.get("/session", headers=bearer(token))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert answer.json() == client.get("/session").json()
        assert client.post("/session/cart", params={"item": "x"}, headers=bearer(token)).status_code == 401
        assert client.post("/session/id", headers=bearer(token)).status_code == 401
    assert stored(valkey) == before


def test_swapped_values_are_refused_and_kept(fleet: Fleet, valkey: servers.Server) -> None:
    """Two users whose values were exchanged are both refused; put back, both are in again."""
    tokens = [fleet.log_in("a"), fleet.log_in("b")]
    (first, one), (second, two) = stored(valkey).items()
    put(valkey, first, two)
    put(valkey, second, one)
    for token in tokens:
        assert_refused_and_kept(fleet, valkey, token)
    put(valkey, first, one)
    put(valkey, second, two)
    assert fleet.refused() == []


def test_forged_plain_and_foreign_values_are_refused_and_kept(fleet: Fleet, valkey: servers.Server) -> None:
    """A plain session, an earlier one of another keyspace, one by another key, and garbage."""
    token = fleet.log_in("a")
    ((key, good),) = stored(valkey).items()
    session_id = key.removeprefix(b"sess:").decode()
    value = b'{"user_id": 999, "cart": []}'
    for bad in (
        value,
        b"",
        b"\x01",
        b"\x02" + good[1:],
        good[:-1],
        good + b"\0",
        b"\x01" + secrets.token_bytes(1_000_000),
        AESGCMSealer([KEY], "other:", "require").seal(session_id, value),
        AESGCMSealer([OTHER], "sess:", "require").seal(session_id, value),
    ):
        put(valkey, key, bad)
        assert_refused_and_kept(fleet, valkey, token)
    put(valkey, key, good)
    assert fleet.refused() == []


def test_an_older_value_of_the_same_session_opens(fleet: Fleet, valkey: servers.Server) -> None:
    """What encryption does not promise: who can write to the store can bring back what stood there before."""
    token = fleet.log_in("a")
    ((key, before),) = stored(valkey).items()
    fleet.add("a", token, "tea")
    put(valkey, key, before)
    assert fleet.clients["b"].get("/session", headers=bearer(token)).json()["cart"] == []


async def test_every_cut_and_every_flipped_bit_is_401_in_a_request() -> None:
    """Through the manager: no exception but the refusal, which tells why in its code; the value stays."""
    tester, store = in_memory()
    ann = await tester.login(UserSession(user_id=1))
    good = store.contents[ann.id].value
    bad = [good[:length] for length in range(len(good))]
    for position in range(len(good)):
        bad += [good[:position] + bytes([good[position] ^ 1 << bit]) + good[position + 1 :] for bit in range(8)]
    codes = set()
    for value in bad:
        store.put(ann.id, value)
        request = await tester.manager(ann.token)
        with pytest.raises(SessionCorruptError) as refused:
            request.require()
        codes.add(refused.value.code)
        assert store.contents[ann.id].value == value
    assert codes == {"session_tampered", "session_key_unknown", "session_not_encrypted"}


async def test_who_has_a_corrupt_session_can_log_out_and_in_again() -> None:
    """A genuine token may end its session even if nobody can read it."""
    for leave in (True, False):
        tester, store = in_memory()
        ann = await tester.login(UserSession(user_id=1))
        store.put(ann.id, b"\x01garbage")
        request = await tester.manager(ann.token)
        if leave:
            await request.destroy()
            assert store.contents == {}
        else:
            await request.create(UserSession(user_id=2))
            assert [*store.contents] == [request.id]


# --- every verb ------------------------------------------------------------------------------------------------------


def in_memory(
    model: type[UserSession] = UserSession, store: InspectableStore | None = None, **options: Any
) -> tuple[AsyncSessionTester[UserSession, Claims], InspectableStore]:
    store = store or InspectableStore()
    settings: dict[str, Any] = {"secret": SECRET, "encryption": {"keys": [KEY]}, "touch_interval": 0} | options
    return AsyncSessionTester(started(SessionProvider(model, store=store, **settings))), store


@pytest.mark.parametrize("mode", ["read", "write", "require"])
async def test_every_verb_works(mode: str) -> None:
    """create, read, update, mutate, touch, reload, regenerate, destroy, and those outside of a request."""
    tester, store = in_memory(encryption={"keys": [KEY], "mode": mode}, user_index=True)
    provider, request = tester.sessions, tester.manager
    token = (await tester.login(UserSession(user_id=1), Claims(sub="ann"))).token
    one, two = await request(token), await request(token)
    one.require().cart.append("tea")
    await one.update()
    with pytest.raises(SessionConflictError):
        await two.update(UserSession(user_id=5))
    assert (await two.reload()).cart == ["tea"]
    await two.mutate(lambda session: session.cart.append("milk"))
    await two.touch()
    assert (await request(token)).require().cart == ["tea", "milk"]
    assert await provider.get(str(two.id)) == UserSession(user_id=1, cart=["tea", "milk"])
    moved = await two.regenerate(claims=Claims(sub="ann"))
    assert (await request(token)).session is None
    three = await request(moved.access_token)
    assert three.require().cart == ["tea", "milk"]
    assert [info.id for info in await provider.list_sessions("ann")] == [three.id]
    assert [sealed(each.value) for each in store.contents.values()] == [mode != "read"]
    await three.destroy()
    for verb in (three.update, three.reload, three.regenerate, three.touch):
        with pytest.raises(SessionNotFoundError):
            await verb()
    assert store.contents == {}


async def test_fields_of_another_version_survive() -> None:
    """What an older model does not know is kept through update, mutate and regenerate, inside of the ciphertext."""
    newer, store = in_memory(WiderSession)
    older, _ = in_memory(store=store)
    ann = await newer.login(WiderSession(user_id=1, theme="dark"))
    manager = await older.manager(ann.token)
    manager.require().cart.append("tea")
    await manager.update()
    await manager.mutate(lambda session: session.cart.append("milk"))
    moved = await manager.regenerate()
    again = await newer.manager(moved.access_token)
    assert again.require() == WiderSession(user_id=1, cart=["tea", "milk"], theme="dark")


async def test_no_increment_is_lost(engine: servers.Server) -> None:
    """Eight tasks change one session on a real server at once: every change is there afterwards."""
    provider = SessionProvider(UserSession, secret=SECRET, encryption={"keys": [KEY]}, redis_url=engine.url)

    def increment(session: UserSession) -> None:
        session.user_id += 1

    async with AsyncSessionTester(provider) as tester:
        token = (await tester.login(UserSession(user_id=0))).token

        async def work() -> None:
            for _ in range(5):
                await (await tester.manager(token)).mutate(increment)

        await asyncio.gather(*(work() for _ in range(8)))
        assert (await tester.manager(token)).require().user_id == 40
        assert all(map(sealed, stored(engine).values()))


async def test_the_size_cap_counts_the_session_and_not_its_seal() -> None:
    """A session of exactly the largest size is stored and read; one byte more is 413, and the old one stays."""
    tester, store = in_memory()
    manager = await tester.manager()
    token = (await manager.create(UserSession(user_id=1))).access_token
    empty = len(UserSession(user_id=1, cart=[""]).model_dump_json())
    await manager.update(UserSession(user_id=1, cart=["x" * (MAX_SESSION_BYTES - empty)]))
    (kept,) = store.contents.values()
    assert len(kept.value) == MAX_SESSION_BYTES + 33
    with pytest.raises(SessionTooLargeError):
        await manager.update(UserSession(user_id=1, cart=["x" * (MAX_SESSION_BYTES - empty + 1)]))
    with pytest.raises(SessionTooLargeError):
        await manager.regenerate(UserSession(user_id=1, cart=["x" * MAX_SESSION_BYTES]))
    with pytest.raises(InvalidArgumentError):
        await manager.update(UserSession.model_construct(user_id="no number"))
    again = await tester.manager(token)
    assert len(again.require().cart[0]) == MAX_SESSION_BYTES - empty


async def test_a_sealed_value_that_is_too_large_is_corrupt() -> None:
    """What somebody with the key has stored beyond the cap is not taken into memory as a session."""
    tester, store = in_memory()
    ann = await tester.login(UserSession(user_id=1))
    large = b'{"user_id": 1, "cart": ["' + b"x" * MAX_SESSION_BYTES + b'"]}'
    store.put(ann.id, AESGCMSealer([KEY], "sess:", "require").seal(ann.id, large))
    again = await tester.manager(ann.token)
    with pytest.raises(SessionCorruptError):
        again.require()


# --- nothing readable ------------------------------------------------------------------------------------------------


def test_nothing_readable_stands_in_the_server(valkey: servers.Server) -> None:
    """A canary in the data, the claims and the client's name: after every verb no byte of it stands in any key."""
    sessions = SessionProvider(
        secret=SECRET, encryption={"keys": [KEY]}, redis_url=valkey.url, user_index=True, capture_client=True
    )
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create({"name": CANARY}, Claims(sub=CANARY, scope=CANARY))

    @app.post("/change")
    async def change(manager: manager_) -> Token:
        await manager.update({"other": [CANARY], "nested": {CANARY: CANARY}})
        await manager.mutate(lambda session: setattr(session, "more", CANARY))
        return await manager.regenerate(claims=Claims(sub=CANARY, scope=CANARY))

    @app.get("/session")
    async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> Session:
        return session

    with serving(app) as client:
        client.headers["user-agent"] = CANARY
        token = ""
        for path in ("/session", "/change", "/change"):
            token = client.post(path, headers=bearer(token or "none")).raise_for_status().json()["access_token"]
            found = stored(valkey)
            forwards = [key for key in found if key.startswith(b"sess:fwd:")]
            assert len(found) - len(forwards) == 3  # the session, and its user's index in two
            told = repr(found).encode()
            for secret in (CANARY, "127.0.0.1", "name", "nested", token, token.split(".")[1]):
                assert secret.encode() not in told
        assert client.get("/session", headers=bearer(token)).json()["more"] == CANARY
