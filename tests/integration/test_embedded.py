"""The embedded server for real: whoever shares it, and however they end, nothing is left behind."""

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from redis import Redis

from jwtsession import ConfigurationError, SessionProvider
from jwtsession.stores.embedded import EmbeddedServer
from jwtsession.stores.embedded import server as embedded
from tests.conftest import SECRET
from tests.servers import free_port
from tests.web import bearer

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads the processes from /proc"),
    pytest.mark.portable,
]

# Processes with one parent, that need not import everything anew.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def work(orders: Connection, url: str, folder: str) -> None:
    """In a process of its own: do with a server what is ordered."""
    os.chdir(folder)
    tempfile.tempdir = folder
    os.environ.pop("XDG_RUNTIME_DIR", None)
    server = EmbeddedServer(url)

    def count(times: int) -> None:
        for _ in range(times):
            with Redis.from_url(server.start()) as redis:
                redis.incr("count")
            server.stop()
            time.sleep(random.uniform(0, 0.03))  # not to wait for anything: to hit all moments of the guard's work

    verbs: dict[str, Callable[..., object]] = {"start": server.start, "stop": server.stop, "count": count}
    with contextlib.suppress(EOFError):
        while True:
            verb, *arguments = orders.recv()
            orders.send(verbs[verb](*arguments))


class Worker:
    def __init__(self, folder: Path, url: str) -> None:
        self.orders, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=work, args=(theirs, url, str(folder)), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, verb: str, *arguments: object) -> None:
        self.orders.send((verb, *arguments))

    def answer(self) -> object:
        assert self.orders.poll(20)
        return self.orders.recv()

    def do(self, verb: str, *arguments: object) -> object:
        self.ask(verb, *arguments)
        return self.answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


class Place:
    """A temporary directory for servers, and the processes that have to do with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / "data"
        self.workers: list[Worker] = []

    def worker(self, url: str = "embedded://") -> Worker:
        self.workers.append(Worker(self.path, url))
        return self.workers[-1]

    def pids(self, kind: str = "") -> list[int]:
        """Of the guards and servers that run here."""
        return [pid for pid, line in command_lines() if f"{self.path}/jwtsession-" in line and kind in line]

    def guards(self) -> list[int]:
        return self.pids("embedded/guard.py")

    def servers(self) -> list[int]:
        return self.pids("unixsocket:")

    def is_clean(self) -> bool:
        """Whether no server, no guard and no folder of one is left."""
        return not self.pids() and not list(self.path.glob("jwtsession-*"))


def command_lines() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def zombies() -> list[str]:
    """Children of this process that nobody has waited for."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state == "Z" and int(parent) == os.getpid():
                    found.append(entry.name)
    return found


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextlib.contextmanager
def opened(url: str) -> Iterator[Redis]:
    """A client of a server of this process."""
    server = EmbeddedServer(url)
    try:
        with Redis.from_url(server.start()) as redis:
            yield redis
    finally:
        server.stop()


@pytest.fixture(scope="module", autouse=True)
def forkserver() -> None:
    """Starts before any test changes the temporary directory, where its own socket is."""
    ensure_running()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Short, because a socket's path must be; this process uses it as its temporary directory too."""
    place = Place(Path(tempfile.mkdtemp(prefix="jws")))
    monkeypatch.setattr(tempfile, "tempdir", str(place.path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    yield place
    for worker in place.workers:
        worker.kill()
        worker.orders.close()
    clean = eventually(place.is_clean)
    for pid in place.pids():
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(place.path)
    assert clean


def test_processes_that_start_at_once_share_one_server(place: Place) -> None:
    """Of five processes that start at the same moment one starts a server and the others join it."""
    workers = [place.worker() for _ in range(5)]
    for worker in workers:
        worker.ask("start")
    assert len({worker.answer() for worker in workers}) == 1
    assert len(place.servers()) == 1
    assert len(place.guards()) == 1
    for worker in workers:
        assert place.servers()
        worker.do("stop")
    assert eventually(place.is_clean)


@pytest.mark.parametrize("keeps_data", [False, True])
def test_starts_and_stops_may_race(place: Place, keeps_data: bool) -> None:
    """Processes that start and stop side by side never get two servers, a dead one, or lose what is kept."""
    url = f"embedded://{place.data}" if keeps_data else "embedded://"
    workers = [place.worker(url) for _ in range(2)]
    for worker in workers:
        worker.ask("count", 12)
    for worker in workers:
        worker.answer()
    assert eventually(place.is_clean)
    if keeps_data:
        with opened(url) as redis:
            assert redis.get("count") == b"24"


def test_who_comes_when_the_last_one_has_left_keeps_the_server(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is about to stop the server, but somebody else has the lock and joins."""
    last, late = EmbeddedServer("embedded://"), EmbeddedServer("embedded://")
    last.start()
    server = place.servers()
    join = embedded._open_guarded

    def join_late(pipe: Path) -> int | None:
        last.stop()
        time.sleep(0.3)  # not to wait for anything: long enough for the guard to do it all
        return join(pipe)

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_open_guarded", join_late)
        late.start()
    with opened("embedded://"):
        assert place.servers() == server
    late.stop()


def test_who_comes_when_the_server_has_just_been_killed_gets_another(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard watches the server also while somebody else has the lock and waits for it."""
    last, late = EmbeddedServer("embedded://"), EmbeddedServer("embedded://")
    last.start()
    (server,) = place.servers()
    join = embedded._open_guarded

    def join_late(pipe: Path) -> int | None:
        if server in place.servers():
            last.stop()
            time.sleep(0.05)  # not to wait for anything: the guard is at work
            os.kill(server, signal.SIGKILL)
        return join(pipe)

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_open_guarded", join_late)
        with Redis.from_url(late.start()) as redis:
            assert redis.ping()
    assert server not in place.servers()
    late.stop()


def test_the_server_outlives_all_but_the_last_of_its_processes(place: Place) -> None:
    """SIGKILL of one process leaves the server to the other; SIGKILL of the last ends it, its guard and its folder."""
    first, second = place.worker(), place.worker()
    assert first.do("start") == second.do("start")
    server = place.servers()
    first.kill()
    second.do("count", 1)
    second.do("start")
    assert len(server) == 1
    second.kill()
    assert eventually(place.is_clean)


def test_processes_killed_at_the_same_moment_leave_nothing(place: Place) -> None:
    """SIGKILL of all processes at once ends the server, its guard and its folder."""
    workers = [place.worker() for _ in range(3)]
    for worker in workers:
        worker.do("start")
    assert len(place.servers()) == 1
    for worker in workers:
        worker.process.kill()
    assert eventually(place.is_clean)


@pytest.mark.parametrize("milliseconds", range(0, 150, 15))
def test_a_process_killed_while_it_starts_the_server_leaves_nothing(place: Place, milliseconds: int) -> None:
    """SIGKILL at any moment of the start leaves nothing but an unlocked folder, where the next start works."""
    worker, other = place.worker(), place.worker()
    worker.do("count", 0)
    worker.ask("start")
    time.sleep(milliseconds / 1000)  # not to wait for anything: to hit another moment
    worker.kill()
    other.do("count", 1)
    assert eventually(place.is_clean)


def test_killing_the_guard_ends_the_server(place: Place) -> None:
    """On Linux the server ends with its guard; whoever starts next gets a new one that the old processes share."""
    old, new = place.worker(), place.worker()
    url = old.do("start")
    os.kill(place.guards()[0], signal.SIGKILL)
    if sys.platform == "linux":
        assert eventually(lambda: not place.servers())
    assert new.do("start") == url
    assert len(place.servers()) == 1
    new.do("stop")
    assert len(place.servers()) == 1
    old.do("stop")
    assert eventually(place.is_clean)


def test_a_server_that_was_killed_is_replaced_by_the_next_start(place: Place) -> None:
    """SIGKILL of the server ends its guard; the next start, at any moment after that, starts another."""
    worker = place.worker()
    worker.do("start")
    killed = place.servers()
    os.kill(killed[0], signal.SIGKILL)
    worker.do("stop")
    worker.do("start")
    assert len(place.servers()) == 1
    assert place.servers() != killed


def test_a_process_may_open_and_close_again_and_again(place: Place) -> None:
    """A reopened server works, an open one is not opened twice, and no zombie is left in the application."""
    server = EmbeddedServer("embedded://")
    for _ in range(3):
        url = server.start()
        assert server.start() == url
        with Redis.from_url(url) as redis:
            assert redis.ping()
        server.stop()
        server.stop()
    assert eventually(place.is_clean)
    assert zombies() == []


async def test_a_provider_opens_closes_and_opens_again(place: Place) -> None:
    """A provider's lifespan starts the server, as often as it is entered; before that the store does not answer."""
    provider = SessionProvider(secret=SECRET, redis_url="embedded://")
    app = FastAPI()
    assert not await provider.ping()
    for _ in range(2):
        async with provider.lifespan(app):
            assert await provider.ping()


def test_two_providers_of_one_process_share_the_server(place: Place) -> None:
    """Each of the two leaves it for itself."""
    with opened("embedded://") as first:
        with opened("embedded://") as second:
            second.set("shared", "1")
        assert first.get("shared") == b"1"


def test_a_path_keeps_the_data(place: Place) -> None:
    """What was stored under embedded:///path is there after a restart, whatever the path is called."""
    url = f"embedded://{place.path}/my%20data/50%25%20%C3%BC"
    for expected in (None, b"1"):
        with opened(url) as redis:
            assert redis.get("kept") == expected
            redis.set("kept", "1")
        assert eventually(place.is_clean)
    assert (place.path / "my data" / "50% \u00fc" / "appendonlydir").is_dir()


def test_what_is_kept_is_its_users_alone(place: Place) -> None:
    """Directories 0700 and files 0600, whatever the umask lets others do: the server's files, its log and its pipe."""
    umask = os.umask(0)
    try:
        with opened(f"embedded://{place.data}") as redis:
            redis.set("kept", "1")
            redis.save()
            found = [each for each in place.path.rglob("*") if not each.is_socket()]
            modes = {each.relative_to(place.path).name: each.stat().st_mode & 0o777 for each in found}
            folders = {each.name for each in found if each.is_dir()}
    finally:
        os.umask(umask)
    assert {"data", "appendonlydir", "dump.rdb", "valkey.log", "users"} <= modes.keys()
    assert {name: mode for name, mode in modes.items() if mode != (0o700 if name in folders else 0o600)} == {}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
@pytest.mark.parametrize("url", ["embedded://", "embedded:///data"])
def test_another_user_keeps_nobody_from_starting(place: Place, url: str) -> None:
    """Somebody else made the folders of the first names, of whatever kind; all processes meet in the next one."""
    place.path.chmod(0o1777)
    url = url.replace("/data", str(place.data))
    workers = [place.worker(url) for _ in range(2)]
    name = Path(str(workers[0].do("start")).removeprefix("unix://")).parent.name
    workers[0].do("stop")
    assert eventually(place.is_clean)
    theirs = [place.path / name, place.path / f"{name}-2", place.path / f"{name}-3"]
    script = "import os, sys; os.setgid(65534); os.setuid(65534); os.umask(0); a, b, c = sys.argv[1:]; "
    script += "os.mkdir(a); os.symlink('/etc', b); open(c, 'w').close()"
    subprocess.run([sys.executable, "-I", "-S", "-c", script, *map(str, theirs)], check=True)
    urls = {worker.do("start") for worker in workers}
    assert urls == {f"unix://{place.path / f'{name}-4'}/valkey.sock"}
    assert list(theirs[0].iterdir()) == []
    for worker in workers:
        worker.do("stop")
    theirs[0].rmdir()
    theirs[1].unlink()
    theirs[2].unlink()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_another_users_data_directory_is_refused(place: Place) -> None:
    """They made it first, to read the sessions; and where it is one's own, others read nothing."""
    place.path.chmod(0o1777)
    script = "import os, sys; os.setgid(65534); os.setuid(65534); os.umask(0); os.mkdir(sys.argv[1])"
    subprocess.run([sys.executable, "-I", "-S", "-c", script, str(place.data)], check=True)
    with pytest.raises(ConfigurationError, match="another's"), opened(f"embedded://{place.data}"):
        pass
    place.data.rmdir()
    with opened(f"embedded://{place.data}") as redis:
        redis.set("kept", "1")
        script = "import os, sys; os.setgid(65534); os.setuid(65534); os.listdir(sys.argv[1])"
        done = subprocess.run([sys.executable, "-I", "-S", "-c", script, str(place.data)], capture_output=True)
    assert b"PermissionError" in done.stderr


def test_applications_with_one_path_share_one_server(place: Place) -> None:
    """Applications with other parents and working directories meet at the path, also by way of a symbolic link."""
    place.data.mkdir()
    (place.path / "link").symlink_to("data")
    url = place.worker(f"embedded://{place.path}/link").do("start")
    with opened(f"embedded://{place.data}") as redis:
        assert redis.ping()
        assert url == f"unix://{redis.get_connection_kwargs()['path']}"
        assert len(place.servers()) == 1


def test_applications_without_a_path_have_servers_of_their_own(place: Place) -> None:
    """Another parent or another working directory is another application."""
    place.worker().do("start")
    with opened("embedded://"):
        assert len(place.servers()) == 2


def test_a_directory_has_one_server_even_where_the_temporary_directories_differ(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers would ruin each other's files: the second is refused while the first runs."""
    url = f"embedded://{place.data}"
    worker = place.worker(url)
    worker.do("start")
    (place.path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place.path / "tmp"))
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_START_SECONDS", 0.3)
        with pytest.raises(ConfigurationError, match=r"beside another server that does; .*redis://"), opened(url):
            pass
    worker.do("stop")
    with opened(url) as redis:
        assert redis.ping()


def test_a_process_killed_while_it_waits_for_a_directory_leaves_nothing(place: Place) -> None:
    """A guard that waits for another server's end goes when nobody waits for it any more."""
    url = f"embedded://{place.data}"
    place.worker(url).do("start")
    elsewhere = Place(place.path / "tmp")
    elsewhere.path.mkdir()
    waiting = elsewhere.worker(url)
    waiting.ask("start")
    assert eventually(elsewhere.guards)
    waiting.kill()
    assert eventually(elsewhere.is_clean)
    assert len(place.servers()) == 1


def test_a_server_that_does_not_start_tells_why_and_leaves_nothing(place: Place) -> None:
    """The error shows the server's log and names the alternatives; nothing stays in the temporary directory."""
    place.data.mkdir()
    (place.data / "appendonlydir").write_text("a file where the server wants a directory")
    with (
        pytest.raises(ConfigurationError, match=r"(?s)did not start.*appendonlydir.*redis://.*MemorySessionStore"),
        opened(f"embedded://{place.data}"),
    ):
        pass
    assert place.is_clean()
    assert zombies() == []


def test_a_server_that_does_not_answer_in_time_is_given_up_and_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever keeps it from answering, nobody waits for ever, and it does not stay behind."""
    monkeypatch.setattr(embedded, "_START_SECONDS", 1.5)
    monkeypatch.setattr(embedded, "_answer", lambda server: b"")
    with pytest.raises(ConfigurationError, match=r"(?s)did not start.*Ready to accept"), opened("embedded://"):
        pass
    assert eventually(place.is_clean)


class Uvicorn:
    """Uvicorn with several workers of the application beside this file."""

    def __init__(self, folder: Path, workers: int) -> None:
        port = free_port()
        environment = {
            "TMPDIR": str(folder),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "JWTSESSION_SECRET": SECRET,
            "JWTSESSION_REDIS_URL": "embedded://",
        }
        self.log = folder / "log"
        command = ["-m", "uvicorn", "tests.integration.embedded_app:app", f"--workers={workers}", f"--port={port}"]
        with self.log.open("w") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, *command],
                env=os.environ | environment,
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers={"Connection": "close"}, timeout=10)
        self.wait_for_starts(workers)

    def wait_for_starts(self, number: int) -> None:
        assert eventually(lambda: self.log.read_text().count("startup complete") == number, 30), self.log.read_text()

    def signal_all(self, signum: int) -> None:
        os.killpg(self.supervisor.pid, signum)

    def log_in(self) -> str:
        answer = self.client.post("/session")
        assert answer.status_code == 201, answer.text
        return str(answer.json()["access_token"])

    def readers(self, token: str, number: int) -> set[int]:
        """The processes that read the session, when so many of them have done it."""

        def read(_: int) -> int:
            answer = self.client.get("/session", headers=bearer(token))
            assert answer.status_code == 200, answer.text
            return int(answer.json()["read_by"])

        found: set[int] = set()
        with ThreadPoolExecutor(12) as pool:

            def all_found() -> bool:
                found.update(pool.map(read, range(24)))
                return len(found) == number

            assert eventually(all_found)
        return found


@pytest.fixture
def uvicorn(place: Place, request: pytest.FixtureRequest) -> Iterator[Uvicorn]:
    running = Uvicorn(place.path, request.param)
    yield running
    with contextlib.suppress(ProcessLookupError):
        running.signal_all(signal.SIGKILL)
    running.supervisor.wait()
    running.client.close()


@pytest.mark.parametrize("uvicorn", [3], indirect=True)
def test_workers_share_the_server_also_with_one_that_is_restarted(place: Place, uvicorn: Uvicorn) -> None:
    """All workers read the session that one of them made; it survives a worker's death, and the new one reads it.

    SIGKILL of the whole process group ends the server.
    """
    token = uvicorn.log_in()
    workers = uvicorn.readers(token, 3)
    assert len(place.servers()) == 1
    killed = min(workers)
    os.kill(killed, signal.SIGKILL)
    uvicorn.wait_for_starts(4)
    assert len(uvicorn.readers(token, 3) & workers) == 2
    assert len(place.servers()) == 1
    uvicorn.signal_all(signal.SIGKILL)
    assert eventually(place.is_clean)


@pytest.mark.parametrize("uvicorn", [2], indirect=True)
def test_ctrl_c_lets_each_worker_close_before_the_server_goes(place: Place, uvicorn: Uvicorn) -> None:
    """SIGINT to the process group, as a terminal sends it: the store answers each worker until it has closed."""
    workers = uvicorn.readers(uvicorn.log_in(), 2)
    uvicorn.signal_all(signal.SIGINT)
    assert uvicorn.supervisor.wait(10) == 0
    log = uvicorn.log.read_text()
    assert all(f"closing {pid}: True" in log for pid in workers), log
    assert eventually(place.is_clean)


@pytest.mark.parametrize("uvicorn", [2], indirect=True)
def test_a_killed_supervisor_leaves_the_server_to_its_workers(place: Place, uvicorn: Uvicorn) -> None:
    """Uvicorn's workers go on without their supervisor, and so do their sessions; when they end, the server does."""
    token = uvicorn.log_in()
    uvicorn.supervisor.kill()
    uvicorn.supervisor.wait()
    uvicorn.readers(token, 2)
    assert len(place.servers()) == 1
    uvicorn.signal_all(signal.SIGKILL)
    assert eventually(place.is_clean)
