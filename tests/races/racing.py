"""Races between processes: every racer has an event loop, a provider and connections of its own, on one real server."""

import asyncio
import contextlib
import copy
import dataclasses
import multiprocessing
import os
import random
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from starlette.requests import Request

from jwtsession import Claims, RedisSessionStore, Session, SessionManager, SessionProvider
from jwtsession.stores import CachedSessionStore
from jwtsession.stores.redis.client_cache.tracking import Lease
from tests.conftest import CACHE_SETTINGS, SECRET, started
from tests.parts import parts_of

PROCESSES = 3
BATCH = 25
"""Subjects that are raced for at the same time."""

FACTOR = float(os.environ.get("RACES", "1"))


def times(number: int) -> int:
    """How many subjects a test races for: `RACES=10 pytest tests/races` makes it ten times as many."""
    return max(1, round(number * FACTOR))


class Raced(Session):
    owner: str = ""
    count: int = 0
    left: int = 0
    right: int = 0
    by: str = ""
    marks: list[str] = []


Manager = SessionManager[Raced, Claims]


def is_followed(store: CachedSessionStore) -> bool:
    """Whether a server tells the near cache of changes."""
    return bool(parts_of(store, Lease))


class Entrant:
    """What a role works with: one process's provider."""

    def __init__(self, url: str, options: Mapping[str, Any], seed: int) -> None:
        self.random = random.Random(seed)
        self.url = url
        # The setting as the environment gives it: the races run with the near cache too.
        self._near = int(os.environ.get("JWTSESSION_NEAR_CACHE_BYTES", "0"))
        # Enough connections: who waits for one too long is refused, and that is not what races are about.
        redis = RedisSessionStore(f"{url}?max_connections=100")
        self.store = CachedSessionStore(redis, self._near) if self._near else redis
        self.sessions = started(SessionProvider(Raced, store=self.store, secret=SECRET, **options))
        self._marks = 0
        self._name = f"{seed:x}"

    async def ready(self) -> None:
        """Connect, and begin to follow the server where there is a near cache."""
        await self.store.ping()
        deadline = time.monotonic() + 10
        while isinstance(self.store, CachedSessionStore) and not is_followed(self.store):
            await self.store.load("nothing-that-is-there", allow_cached=True)
            assert time.monotonic() < deadline, "the near cache does not follow the server"
            await asyncio.sleep(0.001)

    async def manager(self, token: str | None = None) -> Manager:
        """The manager of a request with this token, freshly loaded; where there is a near cache, from that."""
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": "GET", "headers": headers, "query_string": b""}
        for _ in range(2 if self._near and token else 0):  # the first extends the time to live, the second is kept
            await self.sessions.get_manager(Request(copy.deepcopy(scope)))
        return await self.sessions.get_manager(Request(scope))

    async def hesitate(self) -> None:
        """Between a load and a verb, so that the others come in between now and then."""
        await asyncio.sleep(self.random.choice((0, 0, 0.001, 0.003)))

    def redis(self) -> Any:
        """A client of somebody else, to be used by `async with`."""
        parts = urlsplit(self.url)
        host, _, port = parts.netloc.partition(",")[0].partition(":")
        if parts.scheme == "redis+cluster":
            return RedisCluster(host=host, port=int(port))
        if parts.scheme == "redis+sentinel":
            return Sentinel([(host, int(port))]).master_for("mymaster")  # type: ignore[no-untyped-call]
        return Redis.from_url(self.url)

    def mark(self) -> str:
        """A text that nobody else writes."""
        self._marks += 1
        return f"{self._name}-{self._marks}"


Role = Callable[..., Coroutine[Any, Any, Any]]
"""What one racer does for one subject: `async def role(entrant, subject)`, importable, or a `partial` of one."""


@dataclasses.dataclass(frozen=True)
class Race:
    url: str
    options: Mapping[str, Any]
    roles: Sequence[Role]
    subjects: Sequence[Any]
    seed: int
    environment: Mapping[str, str]


@contextlib.asynccontextmanager
async def entering(url: str, options: Mapping[str, Any], seed: int = 0) -> AsyncIterator[Entrant]:
    entrant = Entrant(url, options, seed)
    try:
        yield entrant
    finally:
        await entrant.store.close()


async def _run(race: Race, start: Barrier) -> list[list[Any]]:
    """For each subject what each role came to."""
    async with entering(race.url, race.options, race.seed) as entrant:
        await entrant.ready()
        outcomes: list[list[Any]] = []
        failed: BaseException | None = None
        for first in range(0, len(race.subjects), BATCH):
            start.wait(60)  # blocks the loop, on which nothing else runs
            if failed is not None:
                continue  # the others still wait for this process at every start
            batch = [
                asyncio.gather(*(role(entrant, subject) for role in race.roles))
                for subject in race.subjects[first : first + BATCH]
            ]
            try:
                outcomes += await asyncio.gather(*batch)
            except Exception as error:
                failed = error
        if failed is not None:
            raise failed
        return outcomes


def _serve(pipe: "Connection[Any, Any]", start: Barrier) -> None:
    while (race := pipe.recv()) is not None:
        for name in CACHE_SETTINGS:
            os.environ.pop(name, None)
        os.environ.update(race.environment)
        try:
            pipe.send(asyncio.run(_run(race, start)))
        except BaseException:
            pipe.send(traceback.format_exc())


class Track:
    """The processes, started once for all races."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._start = context.Barrier(PROCESSES)  # gone for the processes too, once it is gone here
        self._pipes = []
        self._processes = []
        for _ in range(PROCESSES):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self._start), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def race(self, url: str, roles: Sequence[Role], subjects: Sequence[Any], **options: Any) -> list[list[Any]]:
        """Start all roles at the same moment for each subject, shared out over the processes.

        Gives for each subject the outcomes of the roles, in their order.
        """
        environment = {name: os.environ[name] for name in CACHE_SETTINGS if name in os.environ}
        for number, pipe in enumerate(self._pipes):
            own = roles[number::PROCESSES]
            pipe.send(Race(url, options, own, subjects, random.randrange(1 << 40), environment))
        replies = []
        for pipe in self._pipes:
            if not pipe.poll(120):
                raise RuntimeError("the racers do not finish")
            replies.append(pipe.recv())
        for reply in replies:
            if isinstance(reply, str):
                raise RuntimeError(f"in a racer:\n{reply}")
        return [
            [replies[number % PROCESSES][index][number // PROCESSES] for number in range(len(roles))]
            for index in range(len(subjects))
        ]

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            process.join(10)
            process.close()
            pipe.close()
