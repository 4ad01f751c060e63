"""Fixtures for all tests."""

import asyncio
import functools
import gc
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest

from jwtsession import SessionProvider
from jwtsession.stores.redis import connect
from jwtsession.testing import Clock as Clock
from tests import reaper, servers

SECRET = "a secret of the tests, and long enough for HS512: 0123456789abcdef"


LIMIT_SECONDS = 300
"""How long each of a test's three parts may take: set-up, test, tear-down."""
AGAIN_SECONDS = 30


def _too_late(signum: int, frame: FrameType | None) -> None:
    """Cancel what an event loop does, and fail what is not in one, or does not let itself be cancelled."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        pytest.fail("the test took too long")
    if getattr(loop, "cancelled_by_limit", False):
        pytest.fail("the test took too long, and could not be cancelled")
    loop.cancelled_by_limit = True  # type: ignore[attr-defined]
    loop.call_soon_threadsafe(lambda: [task.cancel("the test took too long") for task in asyncio.all_tasks(loop)])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """A test that hangs fails and shows where it stood; its fixtures end what they started, and the run goes on."""
    servers.Server.allowed = item.get_closest_marker("server") is not None
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS, AGAIN_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


pytest_runtest_call = pytest_runtest_teardown = pytest_runtest_setup


FOLDER = Path(__file__).parent
IN_PROCESS = {"unit", "contract", "security", FOLDER.name}
"""Where a test needs a server only if it has a fixture or a marker that says so."""
SERVERS = {"valkey_server", "redis_server", "cluster_server", "sentinel_server", "own_server", "engine"}


def pytest_configure(config: pytest.Config) -> None:
    # The garbage collector looks less often: what a test leaves to it is found some tests later, and fails that one.
    gc.set_threshold(20_000, 10, 10)
    reaper.end_all_with_this_process()
    for folder in FOLDER.glob("[a-z]*/"):
        config.addinivalue_line("markers", f"{folder.name}: stands in tests/{folder.name}")


@functools.cache
def _folder(file: Path) -> str | None:
    """The folder of `tests/` that a file stands in, which is `tests` itself for its own; None outside of it."""
    return (FOLDER.name, *file.parent.relative_to(FOLDER).parts)[:2][-1] if FOLDER in file.parents else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Each test is marked by the folder that it stands in, and by `server` where it needs more than this process."""
    folder = _folder(item.path)
    if folder not in (None, FOLDER.name):
        item.add_marker(folder)
    if folder not in IN_PROCESS or SERVERS & {*getattr(item, "fixturenames", ())}:
        item.add_marker("server")


def pytest_collection_finish() -> None:
    """What the collection made stays until the end, so the garbage collector need not look through it again."""
    gc.collect()
    gc.freeze()


P = TypeVar("P", bound=SessionProvider[Any, Any])


def started(provider: P) -> P:
    """The provider as if its lifespan had begun, for tests that have no application and need no end."""
    provider._lifespan.admitted.add(None)
    return provider


CACHES = {
    "near": ("JWTSESSION_NEAR_CACHE_BYTES", "4194304"),
    "tokens": ("JWTSESSION_TOKEN_CACHE_BYTES", "0"),
}
"""The settings by which a cache that is off by default is on, and one that is on is off."""
CACHE_SETTINGS = [name for name, _ in CACHES.values()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of what a cache could change run with and without it, where the module is marked by `caches`."""
    if marker := metafunc.definition.get_closest_marker("caches"):
        others = [pytest.param(name, marks=pytest.mark.ci, id=f"other {name}") for name in marker.args]
        metafunc.parametrize("caches", [pytest.param(None, id=""), *others], indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def caches(request: pytest.FixtureRequest) -> Iterator[None]:
    """The settings by default, or one cache otherwise, for all providers that are made."""
    with pytest.MonkeyPatch.context() as patch:
        if changed := getattr(request, "param", None):
            patch.setenv(*CACHES[changed])
        yield


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """What a module leaves to the garbage collector is freed at its end.

    So the warning of a connection that nobody closed is an error of this module, and not of whatever test runs when the
    collector comes by; and no server that another module looks at sees the connection end. Where there is no server
    there is no connection.
    """
    yield
    if servers.Server.allowed:
        gc.collect()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers may take long to answer, as on a busy machine: for tests of what is no matter of time."""
    monkeypatch.setattr("jwtsession.stores.redis._exchange.DEADLINE_SECONDS", 60.0)
    for option in ("socket_timeout", "socket_connect_timeout"):
        monkeypatch.setitem(connect._OPTIONS, option, 20.0)
    monkeypatch.setitem(connect._POOL_OPTIONS, "timeout", 20.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    server = servers.valkey(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    server = servers.redis(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def cluster_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    server = servers.cluster(tmp_path_factory.mktemp("cluster"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sentinel_server(
    tmp_path_factory: pytest.TempPathFactory, valkey_server: servers.Server
) -> Iterator[servers.Server]:
    """A sentinel in front of `valkey_server`."""
    server = servers.sentinel(tmp_path_factory.mktemp("sentinel"), valkey_server)
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """A server of which nobody else asks anything, and that the test may stop."""
    server = servers.valkey(tmp_path_factory.mktemp("own")).start()
    yield server
    server.stop()


@pytest.fixture
def valkey(valkey_server: servers.Server) -> servers.Server:
    """A running Valkey, empty."""
    valkey_server.command("FLUSHALL")
    return valkey_server


@pytest.fixture(params=["valkey", "redis"])
def engine(request: pytest.FixtureRequest) -> servers.Server:
    """A running server of each engine, empty."""
    server: servers.Server = request.getfixturevalue(f"{request.param}_server")
    server.command("FLUSHALL")
    return server
