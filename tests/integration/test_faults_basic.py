"""One server and what can happen to it: each fault has the right answer, in time, and afterwards it just works.

`pytest -rP` shows how long the answers took.
"""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis as Blocking
from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from starlette.requests import Request

from jwtsession import (
    ConfigurationError,
    NotStartedError,
    RedisSessionStore,
    SessionCorruptError,
    SessionProvider,
    StoreUnavailableError,
)
from jwtsession.testing import AsyncSessionTester
from tests import servers, verbs
from tests.conftest import SECRET, started
from tests.proxy import Proxy
from tests.security.forge import genuine

pytestmark = [pytest.mark.caches("near"), pytest.mark.ci]

ID = "an-id-of-the-tests-of-faults"
HOUR = 3_600_000

# A call has 2.5 seconds in all, and waits one for a reply, twice. The rest is for a slow machine.
IN_TIME_SECONDS = 8.0
AT_ONCE_SECONDS = 1.8


def provider_of(url: str, **options: Any) -> SessionProvider[verbs.UserSession, Any]:
    return SessionProvider(verbs.UserSession, secret=SECRET, redis_url=url, **options)


@contextlib.contextmanager
def serving(url: str, **options: Any) -> Iterator[Any]:
    with TestClient(verbs.application(provider_of(url, **options))) as client:
        yield client


@contextlib.contextmanager
def taking_at_most(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    needed = time.monotonic() - start
    taken.append(needed)
    assert needed < seconds


taken: list[float] = []


@pytest.fixture(autouse=True)
def shown(request: pytest.FixtureRequest) -> Iterator[None]:
    """How long the answers of a test took."""
    taken.clear()
    yield
    if taken:
        print(f"{request.node.name}: {len(taken)} answers after {min(taken):.3f} to {max(taken):.3f} s")


def request(token: str | None = None) -> Request:
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    return Request({"type": "http", "method": "GET", "headers": headers, "query_string": b""})


def assert_all_unavailable(client: Any, headers: dict[str, str], seconds: float) -> None:
    """Every endpoint that uses the session is 503, says when to come back, and does so in time."""
    for what in verbs.USING:
        with taking_at_most(seconds):
            answer = verbs.ask(client, what, headers)
        assert verbs.is_unavailable(answer), (what, answer.status_code, answer.text)


def assert_all_work(client: Any) -> None:
    """Every endpoint works, each for somebody who has just logged in."""
    for what in verbs.USING:
        assert verbs.ask(client, what, verbs.log_in(client)).status_code == 200, what
    assert client.get("/ping").json() is True


@pytest.fixture
def own(tmp_path: Path) -> Iterator[servers.Server]:
    """A server of the test's own, to be maltreated."""
    server = servers.valkey(tmp_path / "own").start()
    yield server
    server.kill()


@pytest.fixture
def proxy(valkey: servers.Server) -> Iterator[Proxy]:
    """A proxy in front of a running server, empty."""
    with Proxy(valkey.port).running() as made:
        yield made


# --- down ------------------------------------------------------------------------------------------------------------


def test_a_server_that_is_down_at_start_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The application starts, ping is false, everything that needs the server is 503; when it comes all work."""
    server = servers.valkey(tmp_path / "late")
    sessions = provider_of(server.url)
    token = genuine(ID)
    with TestClient(verbs.application(sessions)) as client:
        assert client.get("/ping").json() is False
        assert_all_unavailable(client, verbs.bearer(token), AT_ONCE_SECONDS)
        assert client.get("/session").status_code == 401  # no token, no server needed
        assert client.get("/session", headers=verbs.bearer("forged")).status_code == 401
        assert client.get("/optional").json() is None
        server.start()
        try:
            assert_all_work(client)
        finally:
            server.kill()
    assert "the session store is unavailable: ConnectionError" in caplog.text


def test_a_server_that_is_killed_under_load_and_comes_back(own: servers.Server) -> None:
    """Meanwhile answers are 200 or 503 and nothing else, each in time; afterwards all work, without anybody's help."""
    own.arguments += ["--appendonly", "yes", "--appendfsync", "always"]
    own.stop()
    own.start()
    stop = threading.Event()
    found: list[tuple[int, float]] = []

    def load(client: Any, headers: dict[str, str]) -> None:
        while not stop.is_set():
            start = time.monotonic()
            answer = client.get("/session", headers=headers)
            assert answer.status_code == 200 or verbs.is_unavailable(answer)
            found.append((answer.status_code, time.monotonic() - start))

    def wait_for(status: int, count: int) -> None:
        deadline, start = time.monotonic() + 20, len(found)
        while [each for each, _ in found[start:]].count(status) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    with serving(own.url) as client, ThreadPoolExecutor(4) as pool:
        users = [verbs.log_in(client) for _ in range(4)]
        running = [pool.submit(load, client, user) for user in users]
        try:
            wait_for(200, 50)
            for _ in range(2):
                own.kill()
                wait_for(503, 20)
                own.start()
                wait_for(200, 50)
        finally:
            stop.set()
        for each in running:
            each.result()
        assert_all_work(client)
    assert max(seconds for _, seconds in found) < IN_TIME_SECONDS
    taken.extend(seconds for status, seconds in found if status == 503)


def test_connections_that_are_reset_are_made_again(proxy: Proxy) -> None:
    """A reset between two requests is noticed by nobody: the one retry makes a new connection."""
    with serving(proxy.url) as client:
        headers = verbs.log_in(client)
        for what in (*verbs.READING, "PUT /session", "POST /touch", "DELETE /session"):
            proxy.reset()
            with taking_at_most(AT_ONCE_SECONDS):
                answer = verbs.ask(client, what, headers)
            assert answer.status_code == 200, what


def test_a_mutation_on_a_connection_that_was_reset_is_done_once(proxy: Proxy) -> None:
    """It is never written twice; but a connection that is dead before it is written is replaced, and it is done."""
    with serving(proxy.url) as client:
        headers = verbs.log_in(client)
        for number in range(10):
            proxy.reset()
            with taking_at_most(AT_ONCE_SECONDS):
                answer = verbs.ask(client, "PATCH /session", headers)
            assert (answer.status_code, answer.json()["user_id"]) == (200, number + 2)


# --- says no ---------------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_503_until_it_is_right(own: servers.Server, caplog: pytest.LogCaptureFixture) -> None:
    """At once and without a second try; when the server gets the application's password all work."""
    own.command("CONFIG", "SET", "requirepass", "other one")
    with serving(own.url.replace("redis://", "redis://:right%20one@")) as client:
        assert client.get("/ping").json() is False
        token = genuine(ID)
        assert_all_unavailable(client, verbs.bearer(token), AT_ONCE_SECONDS)
        assert own.command("PING").startswith(b"-NOAUTH")
        _as_admin(own, "other one", "CONFIG", "SET", "requirepass", "right one")
        assert_all_work(client)
        _as_admin(own, "right one", "CONFIG", "SET", "requirepass", "")
    assert "the session store is unavailable: AuthenticationError" in caplog.text
    assert "right" not in caplog.text


def _as_admin(server: servers.Server, password: str, *command: str) -> None:
    with Blocking(port=server.port, password=password) as client:
        client.execute_command(*command)


def test_no_password_where_one_is_needed_is_503(own: servers.Server) -> None:
    """NOAUTH is the server's no, not the user's."""
    with serving(own.url) as client:
        headers = verbs.log_in(client)
    own.command("CONFIG", "SET", "requirepass", "one")
    with serving(own.url) as client:
        assert_all_unavailable(client, headers, AT_ONCE_SECONDS)


def test_a_replica_is_503_and_works_when_it_is_promoted(engine: servers.Server, tmp_path: Path) -> None:
    """READONLY: nothing that writes is done, and nobody is logged out for it."""
    primary = servers.Server(engine.binary, tmp_path / "primary").start()
    try:
        with serving(engine.url) as client:
            headers = verbs.log_in(client)
            engine.command("CONFIG", "SET", "replica-read-only", "yes")
            assert client.get("/session", headers=headers).status_code == 200
            engine.command("REPLICAOF", "127.0.0.1", str(primary.port))
            for what in verbs.CHANGING:
                with taking_at_most(AT_ONCE_SECONDS):
                    assert verbs.is_unavailable(verbs.ask(client, what, headers)), what
            engine.command("REPLICAOF", "NO", "ONE")
            assert_all_work(client)
    finally:
        engine.command("REPLICAOF", "NO", "ONE")
        primary.kill()


def test_a_full_server_still_reads(engine: servers.Server) -> None:
    """OOM with noeviction: reads and logouts go on, what would need memory is 503, and the session stays as it was."""
    with serving(engine.url, touch_interval=0) as client:
        headers = verbs.log_in(client)
        leaving = verbs.log_in(client)
        engine.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        engine.command("CONFIG", "SET", "maxmemory", "1")
        try:
            for what in (*verbs.READING, "POST /touch"):
                assert verbs.ask(client, what, headers).status_code == 200, what
            for what in ("PUT /session", "PATCH /session", "POST /session"):
                with taking_at_most(AT_ONCE_SECONDS):
                    assert verbs.is_unavailable(verbs.ask(client, what, headers)), what
            assert client.delete("/session", headers=leaving).status_code == 200
            assert client.get("/session", headers=leaving).status_code == 401
            assert client.get("/session", headers=headers).json() == {"user_id": 1, "cart": []}
        finally:
            engine.command("CONFIG", "SET", "maxmemory", "0")
        assert client.put("/session", headers=headers).json() == {"user_id": 1, "cart": [""]}
        assert_all_work(client)


@pytest.mark.parametrize(
    ("prepare", "cause"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), OutOfMemoryError),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ResponseError),
        (("REPLICAOF", "127.0.0.1", "1"), ReadOnlyError),
        (("CONFIG", "SET", "requirepass", "one"), AuthenticationError),
        (("ACL", "SETUSER", "default", "-set"), NoPermissionError),
        (("SHUTDOWN", "NOSAVE"), ConnectionError),
    ],
    ids=["OOM", "NOREPLICAS", "READONLY", "NOAUTH", "NOPERM", "down"],
)
async def test_the_cause_is_kept(own: servers.Server, prepare: tuple[str, ...], cause: type[Exception]) -> None:
    """What the server said stands in `__cause__`, for who operates it; the client is told nothing of it."""
    assert own.command(*prepare) in (b"+OK\r\n", b"")
    store = RedisSessionStore(own.url)
    with taking_at_most(AT_ONCE_SECONDS), pytest.raises(StoreUnavailableError) as caught:
        await store.create(ID, b"1", HOUR)
    await store.close()
    assert isinstance(caught.value.__cause__, cause)
    assert str(caught.value.__cause__) not in f"{caught.value} {caught.value.detail} {caught.value.headers}"


# --- holds what can't be read ----------------------------------------------------------------------------------------

CORRUPT = {
    "garbage": b"garbage",
    "nothing": b"",
    "half": b'{"user_id": 1',
    "a list": b"[1]",
    "null": b"null",
    "another model": b'{"name": "ann"}',
    "a wrong type": b'{"user_id": "ann"}',
    "not UTF-8": b'{"user_id": 1, "cart": ["\xff"]}',
    "UTF-16": '{"user_id": 1}'.encode("utf-16"),
    "zeros": bytes(100),
    "deeply nested": b'{"user_id": ' + b"[" * 30_000,
    "too big": b'{"user_id": 1, "cart": ["' + b"x" * 1_000_000 + b'"]}',
    "encrypted": b"\x01" + bytes(range(100)),
}


@pytest.mark.parametrize("value", CORRUPT.values(), ids=CORRUPT.keys())
def test_a_value_that_can_not_be_read_is_401_and_kept(valkey: servers.Server, value: bytes) -> None:
    """Nobody gets in with it and nobody loses it: another version of the application may be able to read it."""
    with serving(valkey.url) as client, Blocking(port=valkey.port) as admin:
        headers = verbs.log_in(client)
        (key,) = admin.keys("sess:*")
        admin.set(key, value)
        gone = client.get("/session", headers=_of_nobody(client))
        for what in (*verbs.READING, "PUT /session", "PATCH /session", "POST /touch", "POST /id"):
            with taking_at_most(AT_ONCE_SECONDS):
                answer = verbs.ask(client, what, headers)
            if what == "GET /optional":
                assert (answer.status_code, answer.json()) == (200, None)
            else:
                assert (answer.status_code, answer.text) == (gone.status_code, gone.text) == (401, gone.text), what
                assert answer.headers["www-authenticate"] == gone.headers["www-authenticate"]
        assert admin.get(key) == value
        # Who holds the token may end the session all the same, and log in again.
        assert client.delete("/session", headers=headers).status_code == 200
        assert admin.keys("sess:*") == []
        assert client.get("/session", headers=verbs.log_in(client)).status_code == 200


def _of_nobody(client: Any) -> dict[str, str]:
    """The headers of somebody whose session is gone."""
    headers = verbs.log_in(client)
    client.delete("/session", headers=headers)
    return headers


@pytest.mark.parametrize(
    "fill",
    [
        ("HSET", "f", "v"),
        ("LPUSH", "v"),
        ("SADD", "v"),
        ("ZADD", "1", "v"),
        ("XADD", "*", "f", "v"),
        ("SETBIT", "1", "1"),
    ],
    ids=["hash", "list", "set", "sorted set", "stream", "bitmap"],
)
def test_a_key_of_another_type_is_401_and_kept(engine: servers.Server, fill: tuple[str, ...]) -> None:
    """No verb overwrites it, and nobody gets in with it."""
    with serving(engine.url) as client, Blocking(port=engine.port) as admin:
        headers = verbs.log_in(client)
        (key,) = admin.keys("sess:*")
        admin.delete(key)
        admin.execute_command(fill[0], key, *fill[1:])
        before = admin.dump(key)
        for what in (*verbs.READING, "PUT /session", "PATCH /session", "POST /touch", "POST /id"):
            answer = verbs.ask(client, what, headers)
            assert answer.status_code == 401 or (what == "GET /optional" and answer.json() is None), what
        assert admin.dump(key) == before


async def test_a_value_that_changes_its_type_under_a_request_is_401(valkey: servers.Server) -> None:
    """Loaded as a session, then replaced by a hash: update and claim say that it is corrupt, and leave it."""
    store = RedisSessionStore(valkey.url)
    await store.create(ID, b"1", HOUR)
    valkey.command("DEL", f"sess:{ID}")
    valkey.command("HSET", f"sess:{ID}", "f", "v")
    for call in (
        store.update(ID, b"1", b"2", HOUR),
        store.compare_and_delete(ID, b"1"),
        store.load(ID),
        store.create(ID, b"1", HOUR),
    ):
        with pytest.raises(SessionCorruptError):
            await call
    await store.close()
    assert valkey.command("HGET", f"sess:{ID}", "f") == b"$1\r\nv\r\n"


# --- a client of the caller's own ------------------------------------------------------------------------------------


async def test_the_callers_own_client_stays_open(engine: servers.Server) -> None:
    """It is used as it is, outlives the application, and the application can be started again with it."""
    async with Redis(port=engine.port) as client:
        sessions = SessionProvider(verbs.UserSession, secret=SECRET, client=client, near_cache_bytes=0)
        app = verbs.application(sessions)
        for _ in range(2):
            async with sessions.lifespan(app):
                assert await sessions.ping()
                ann = await AsyncSessionTester(sessions).login(verbs.UserSession(user_id=1))
            assert await client.get(f"sess:{ann.id}") is not None
        with pytest.raises(NotStartedError):
            await sessions.get(ann.id)


async def test_a_client_that_decodes_is_refused() -> None:
    """Sessions are bytes: it is refused when the application starts, by name."""
    async with Redis(decode_responses=True) as client:
        with pytest.raises(ConfigurationError, match="decode_responses"):
            SessionProvider(verbs.UserSession, secret=SECRET, client=client, near_cache_bytes=0)


async def test_the_callers_own_client_is_held_to_the_deadline(proxy: Proxy) -> None:
    """Whatever its own time limits and retries are, a request gets its 503 in time."""
    async with Redis(port=proxy.port) as client:
        store = RedisSessionStore(client=client)
        await store.create(ID, b"1", HOUR)
        proxy.mute = True
        for call in (store.load(ID), store.update(ID, b"1", b"2", HOUR)):
            with taking_at_most(IN_TIME_SECONDS), pytest.raises(StoreUnavailableError):
                await call
        proxy.mute = False
        assert await store.load(ID) is not None


async def test_a_stampede_after_a_restart_exhausts_nothing(own: servers.Server) -> None:
    """1,000 requests that come while the server restarts are 200, 401 or 503, each in time, over a bounded number of
    connections, and nothing is left behind that would hold up the next one.
    """
    own.arguments += ["--appendonly", "yes", "--appendfsync", "always"]
    own.stop()
    own.start()
    store = RedisSessionStore(own.url)
    sessions = started(SessionProvider(verbs.UserSession, secret=SECRET, store=store))
    managers = [await sessions.get_manager(request()) for _ in range(100)]
    for number, manager in enumerate(managers):
        await manager.create(verbs.UserSession(user_id=number))

    async def ask(number: int) -> str:
        begun = time.monotonic()
        try:
            manager = await sessions.get_manager(request(managers[number % 100].token))
            assert manager.require().user_id == number % 100
            if number % 3 == 0:
                await manager.touch()
            found = "done"
        except StoreUnavailableError:
            found = "unavailable"
        taken.append(time.monotonic() - begun)
        return found

    own.kill()
    storm = [asyncio.create_task(ask(number)) for number in range(500)]
    await asyncio.to_thread(own.start)
    storm += [asyncio.create_task(ask(number)) for number in range(500)]
    answers = Counter(await asyncio.gather(*storm))
    assert answers["done"] >= 300
    assert max(taken) < IN_TIME_SECONDS
    with Blocking(port=own.port) as client:
        # 50 of the pool, two for loads, and this one.
        assert len(client.client_list(_type="normal")) <= 53
        assert client.info("stats")["total_connections_received"] < 200
    assert await ask(0) == "done"
    await store.close()


@pytest.mark.parametrize("fault", ["hangs", "answers"])
async def test_a_pool_of_two(own: servers.Server, fault: str) -> None:
    """Writers wait for one of the pool's connections: all get one where the server answers, else it is 503 in time."""
    store = RedisSessionStore(own.url + "?max_connections=2&timeout=0.3")
    ids = [f"{ID}-{number}" for number in range(40)]
    assert all(await asyncio.gather(*(store.create(each, b"1", HOUR) for each in ids)))
    if fault == "hangs":
        own.freeze()
    try:
        with taking_at_most(IN_TIME_SECONDS):
            calls = (store.touch(each, HOUR) for each in ids)
            answers = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        own.thaw()
    assert {type(answer) for answer in answers} == {StoreUnavailableError if fault == "hangs" else bool}
    with Blocking(port=own.port) as client:
        assert len(client.client_list(_type="normal")) <= 5
    assert await store.touch(ids[0], HOUR)
    await store.close()


# --- event loops -----------------------------------------------------------------------------------------------------


def test_a_second_event_loop_gets_a_clear_message(valkey: servers.Server) -> None:
    """A store that one loop uses can't be used by another at the same time, and the error says what to do."""
    sessions = provider_of(valkey.url)
    with TestClient(verbs.application(sessions)) as client:
        headers = verbs.log_in(client)
        with pytest.raises(RuntimeError, match="another event loop: give each loop its own"):
            asyncio.run(sessions.get(ID))
        assert client.get("/session", headers=headers).status_code == 200


FORKING = """
import asyncio, os, sys
from jwtsession import RedisSessionStore

store = RedisSessionStore(sys.argv[1])
running = sys.argv[2] == "running"

def child():
    asyncio._set_running_loop(None)
    try:
        print(asyncio.run(store.load("an-id")))
    except RuntimeError as error:
        print(error)

def fork():
    sys.stdout.flush()
    if os.fork() == 0:
        child()
        sys.stdout.flush()
        os._exit(0)
    os.wait()

async def parent():
    await store.create("an-id", b"1", 60_000)
    if running:
        fork()
        assert await store.load("an-id") == b"1"

asyncio.run(parent())
if not running:
    fork()
"""


@pytest.mark.parametrize(("when", "found"), [("running", "give each loop its own"), ("ended", "b'1'")])
def test_a_forked_process_never_shares_a_connection(valkey: servers.Server, when: str, found: str) -> None:
    """Where the parent's loop is still running the child gets a clear message; else connections of its own."""
    command = [sys.executable, "-W", "ignore", "-c", FORKING, valkey.url, when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert found in done.stdout


def test_one_event_loop_after_another_works(valkey: servers.Server) -> None:
    """Where the first loop has ended the next one gets a client of its own, as tests and scripts do it."""
    sessions = provider_of(valkey.url)
    for _ in range(2):
        with TestClient(verbs.application(sessions)) as client:
            assert_all_work(client)


LATE = """
import asyncio, sys
from jwtsession import RedisSessionStore
from jwtsession.stores import CachedSessionStore

store, near = RedisSessionStore(sys.argv[1]), int(sys.argv[2])
store = CachedSessionStore(store, near) if near else store
asyncio.run(store.create("an-id", b"1", 60_000))
asyncio.run(store.load("an-id", allow_cached=True))
asyncio.run(store.close())
asyncio.run(store.open())
print(asyncio.run(store.load("an-id", allow_cached=True)))
"""


@pytest.mark.parametrize("near", ["0", "100000"])
def test_a_store_can_be_closed_after_its_event_loop(valkey: servers.Server, near: str) -> None:
    """It raises nothing, and the store can be opened again."""
    command = [sys.executable, "-W", "ignore", "-c", LATE, valkey.url, near]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "b'1'\n"


# --- slow ------------------------------------------------------------------------------------------------------------


def all_at_once(client: Any, users: list[dict[str, str]], whats: tuple[str, ...]) -> dict[str, Any]:
    """Ask for all of these at the same time, each as another user; each must be answered in time."""

    def one(what: str, headers: dict[str, str]) -> Any:
        with taking_at_most(IN_TIME_SECONDS):
            return verbs.ask(client, what, headers)

    with ThreadPoolExecutor(len(whats)) as pool:
        return dict(zip(whats, pool.map(one, whats, users), strict=True))


@pytest.mark.parametrize("fault", ["mute", "black_hole"])
def test_a_server_that_does_not_answer_is_503_within_the_deadline(proxy: Proxy, fault: str) -> None:
    """Nobody waits longer, is logged out or becomes anonymous; when it answers again all work."""
    with serving(proxy.url) as client:
        users = [verbs.log_in(client) for _ in verbs.USING]
        setattr(proxy, fault, True)
        for what, answer in all_at_once(client, users, verbs.USING).items():
            assert verbs.is_unavailable(answer), what
        with taking_at_most(IN_TIME_SECONDS):
            assert client.get("/ping").json() is False
        setattr(proxy, fault, False)
        assert_all_work(client)


def test_a_server_that_hangs_is_503_within_the_deadline(own: servers.Server) -> None:
    """The process is stopped: connections stay and are made, and nothing is answered. Afterwards all work."""
    with serving(own.url) as client:
        users = [verbs.log_in(client) for _ in verbs.USING]
        assert own.process is not None
        own.process.send_signal(signal.SIGSTOP)
        try:
            for what, answer in all_at_once(client, users, verbs.USING).items():
                assert verbs.is_unavailable(answer), what
        finally:
            own.process.send_signal(signal.SIGCONT)
        assert_all_work(client)


def test_a_server_that_takes_no_connection_is_503_within_the_deadline() -> None:
    """Packets of a new connection vanish, as behind a firewall."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # who comes when the queue is full gets no answer
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        sessions = provider_of(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        token = genuine(ID)
        with TestClient(verbs.application(sessions)) as client:
            users = [verbs.bearer(token)] * len(verbs.USING)
            for what, answer in all_at_once(client, users, verbs.USING).items():
                assert verbs.is_unavailable(answer), what


@pytest.mark.parametrize(("delay", "status"), [(0.1, 200), (1.3, 503)])
def test_a_slow_server_is_waited_for_but_not_for_long(proxy: Proxy, delay: float, status: int) -> None:
    """Replies within a second are waited for; later ones are 503 in time."""
    whats = (*verbs.READING, "PUT /session", "POST /touch", "DELETE /session")
    with serving(proxy.url) as client:
        users = [verbs.log_in(client) for _ in whats]
        verbs.ask(client, "PUT /session", users[0])
        proxy.delay = delay
        answers = all_at_once(client, users, whats)
        proxy.delay = 0.0
        assert {what: answer.status_code for what, answer in answers.items()} == dict.fromkeys(whats, status)
        assert status == 200 or all(map(verbs.is_unavailable, answers.values()))
        assert_all_work(client)


# --- replies that get lost -------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["closed", "silent"])
def lossy(proxy: Proxy, request: pytest.FixtureRequest) -> Proxy:
    """A proxy that loses replies, by closing the connection or by a silence."""
    proxy.silently = request.param
    return proxy


@pytest.mark.parametrize(
    ("what", "command"),
    [
        ("GET /session", b"GET"),
        ("PUT /session", b"EVALSHA"),
        ("POST /touch", b"PEXPIRE"),
        ("DELETE /session", b"DEL"),
        ("POST /session", b"NX"),
    ],
)
def test_what_was_done_though_its_reply_got_lost_is_done_once(
    lossy: Proxy, valkey: servers.Server, what: str, command: bytes
) -> None:
    """The retry finds that it was done: the answer is a success, and it was not done a second time."""
    with serving(lossy.url) as client:
        headers = verbs.log_in(client)
        verbs.ask(client, "PUT /session", headers)  # the script is there from here on
        lossy.lose_reply_to = command
        with taking_at_most(IN_TIME_SECONDS):
            answer = verbs.ask(client, what, headers if what != "POST /session" else None)
        assert answer.status_code == 200
        assert lossy.lost == 1
        cart = client.get("/session", headers=headers).json().get("cart")
        assert cart == {"PUT /session": ["", ""], "DELETE /session": None}.get(what, [""])
        assert valkey.command("DBSIZE") == b":%d\r\n" % {"POST /session": 2, "DELETE /session": 0}.get(what, 1)
        if what == "POST /session":
            created = verbs.bearer(answer.json()["access_token"])
            assert client.get("/session", headers=created).status_code == 200


def test_a_mutation_whose_reply_got_lost_is_503_and_not_done_twice(lossy: Proxy) -> None:
    """Whether it was applied can't be known, so it is neither guessed nor repeated."""
    with serving(lossy.url) as client:
        headers = verbs.log_in(client)
        verbs.ask(client, "PATCH /session", headers)
        lossy.lose_reply_to = b"EVALSHA"
        with taking_at_most(IN_TIME_SECONDS):
            assert verbs.is_unavailable(verbs.ask(client, "PATCH /session", headers))
        assert lossy.lost == 1
        assert client.get("/session", headers=headers).json()["user_id"] == 3
        assert verbs.ask(client, "PATCH /session", headers).json()["user_id"] == 4


def test_a_new_id_whose_claim_got_lost_leaves_no_second_session(lossy: Proxy, valkey: servers.Server) -> None:
    """It is 503, as whatever can't be known, never 401; the old session is gone and nobody holds a new one."""
    with serving(lossy.url) as client:
        headers = verbs.log_in(client)
        verbs.ask(client, "POST /id", verbs.log_in(client))  # the script is there from here on
        assert len(valkey.sessions()) == 2
        lossy.lose_reply_to = b"EVALSHA"
        with taking_at_most(IN_TIME_SECONDS):
            answer = verbs.ask(client, "POST /id", headers)
        assert verbs.is_unavailable(answer)
        assert lossy.lost == 1
        assert client.get("/session", headers=headers).status_code == 401
        assert len(valkey.sessions()) == 1
