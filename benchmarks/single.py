"""What is measured without HTTP, most of it in one process: plain values for the report."""

import asyncio
import gc
import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import redis
import uvloop
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from starlette.requests import Request

from jwtsession import Claims, RedisSessionStore, Session, SessionProvider
from jwtsession.stores import CachedSessionStore
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec

from .cpu import resident_bytes
from .environments import ROOT
from .servers import session_of
from .turns import CountingConnection

HOUR = 3_600_000  # in milliseconds
SMALL = session_of(200)
USERS_SESSIONS = 1_000
CACHED = 100_000
FEW, MANY = 1_000, 1_000_000

_IMPORT = (
    "import fastapi, redis, jwt, pydantic, time; began = time.perf_counter(); from jwtsession import SessionProvider; "
)
_IMPORT += "print(time.perf_counter() - began)"


class UserSession(Session):
    """As the applications have it."""

    user_id: int
    name: str
    cart: list[str]


def import_ms(times: int) -> list[float]:
    """Milliseconds that importing `SessionProvider` takes where fastapi, redis, jwt and pydantic are there already."""
    return [1e3 * float(_in_python("-c", _IMPORT)) for _ in range(times + 1)][1:]  # the first one compiles


def _in_python(*arguments: str) -> str:
    # Compiled files are written, as where an application runs.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


# --- round trips -----------------------------------------------------------------------------------------------------


def round_trips(port: int) -> dict[str, int]:
    """Those of `list_sessions` and `revoke_all`, for a user with `USERS_SESSIONS` sessions."""

    async def count() -> dict[str, int]:
        pool = ConnectionPool(connection_class=CountingConnection, host="127.0.0.1", port=port)
        store = RedisSessionStore(client=Redis(connection_pool=pool))
        sessions = SessionProvider(UserSession, secret=secrets.token_urlsafe(64), store=store, user_index=True)

        async def log_in(sub: str) -> None:
            manager = await sessions.get_manager(Request({"type": "http", "method": "POST", "headers": []}))
            await manager.create(UserSession.model_validate_json(SMALL), Claims(sub=sub))

        found = {}
        async with sessions:
            await log_in("bob")
            await sessions.revoke_all("bob")  # from here on the server knows the scripts
            for _ in range(USERS_SESSIONS):
                await log_in("alice")
            for name, call in (("list_sessions", sessions.list_sessions), ("revoke_all", sessions.revoke_all)):
                before = CountingConnection.trips
                result = await call("alice")
                found[name] = CountingConnection.trips - before
                if USERS_SESSIONS not in (result, len(result) if isinstance(result, list) else 0):
                    raise RuntimeError(f"{name}: not all of {USERS_SESSIONS} sessions")
        await pool.disconnect()
        return found

    return asyncio.run(count())


# --- time ------------------------------------------------------------------------------------------------------------

Calls = dict[str, Callable[[], Awaitable[object]] | Callable[[], object]]


async def _timed(calls: Calls, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Microseconds that each call takes, one after the other, in interleaved rounds."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            count, began = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - began) < seconds:
                for _ in range(20):
                    done = call()
                    if isinstance(done, Awaitable):
                        await done
                count += 20
            found[name].append(1e6 * elapsed / count)
    return found


def codec_us(keys: dict[str, str], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Microseconds to sign a token, to verify one, and to find one that was verified before."""
    calls: Calls = {}
    for algorithm, key in keys.items():
        ring = KeyRing([KeySpec(None, key)], algorithm)

        def codec(cache: int, ring: KeyRing = ring) -> TokenCodec[Claims]:
            return TokenCodec(ring, Claims, absolute_max_age=86_400, cache_bytes=cache, clock=time.time)

        plain, caching = codec(0), codec(1_000_000)
        session_id, claims = secrets.token_urlsafe(32), Claims(sub="1")
        token = plain.encode(session_id, claims)[0].token
        calls[f"sign, {algorithm}"] = lambda codec=plain, args=(session_id, claims): codec.encode(*args)
        calls[f"verify, {algorithm}"] = lambda codec=plain, token=token: codec.decode(token)
        calls[f"verify, {algorithm}, token cache"] = lambda codec=caching, token=token: codec.decode(token)
    return uvloop.run(_timed(calls, rounds, seconds))


def store_us(port: int, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Microseconds of a call to the store, one after the other; beside the same command by redis-py itself."""

    async def measure() -> dict[str, list[float]]:
        url = f"redis://127.0.0.1:{port}"
        client, store, caching = (
            Redis.from_url(url),
            RedisSessionStore(url),
            CachedSessionStore(RedisSessionStore(url), 10**6),
        )
        ids = _ids(3)
        for each in ids:
            await store.create(each, SMALL, HOUR)
        kept, changing, key = ids[0], ids[1], f"sess:{ids[2]}"
        await _tracked(caching, port)
        found = await _timed(
            {
                "redis-py, GET": lambda: client.get(key),
                "load": lambda: store.load(kept),
                "load, near cache": lambda: caching.load(kept, allow_cached=True),
                "redis-py, SET": lambda: client.set(key, SMALL, px=HOUR),
                "update": lambda: store.update(changing, SMALL, SMALL, HOUR),
            },
            rounds,
            seconds,
        )
        await asyncio.gather(client.aclose(), store.close(), caching.close())
        return found

    return uvloop.run(measure())


async def _tracked(store: CachedSessionStore, port: int) -> None:
    """Return when the near cache is on: the server has been asked to tell of changes."""
    client = Redis(port=port)
    while not (await client.info("clients"))["tracking_clients"]:
        await store.load("", allow_cached=True)
    await asyncio.sleep(0.1)  # the server's answer is read
    await client.aclose()


def _ids(count: int) -> list[str]:
    return [secrets.token_urlsafe(32) for _ in range(count)]


def loads_us(ports: dict[int, int], rounds: int, calls: int) -> dict[int, list[float]]:
    """Microseconds to load one of so many live sessions, of all of them at random, in interleaved rounds.

    Args:
        ports: Of the servers, by the number of sessions that are to live there.
        rounds: How often each is measured.
        calls: How many loads a round has.
    """
    for count, port in ports.items():
        _fill(port, count)

    async def measure() -> dict[int, list[float]]:
        stores = {count: RedisSessionStore(f"redis://127.0.0.1:{port}") for count, port in ports.items()}
        found: dict[int, list[float]] = {count: [] for count in ports}
        for number in range(rounds + 1):  # the first one connects
            for count, store in sorted(stores.items(), reverse=bool(number % 2)):
                ids = [f"{random.randrange(count):043d}" for _ in range(calls)]
                began = time.perf_counter()
                for each in ids:
                    if await store.load(each) is None:
                        raise RuntimeError("a session is missing")
                found[count].append(1e6 * (time.perf_counter() - began) / calls)
        for store in stores.values():
            await store.close()
        return {count: values[1:] for count, values in found.items()}

    return uvloop.run(measure())


def _fill(port: int, count: int) -> None:
    with redis.Redis(port=port) as client:
        for first in range(0, count, 10_000):
            pipeline = client.pipeline(transaction=False)
            for number in range(first, min(first + 10_000, count)):
                pipeline.set(f"sess:{number:043d}", SMALL, px=HOUR)
            pipeline.execute()


# --- memory ----------------------------------------------------------------------------------------------------------


def memory_bytes(cache: str, port: int) -> int:
    """Bytes of memory by which a process grows when a cache takes `CACHED` entries."""
    return int(_in_python("-m", "benchmarks.single", cache, str(port)))


def _grown(cache: str, port: int) -> int:
    gigabyte = 10**9
    if cache == "token cache":
        ring = KeyRing([KeySpec(None, secrets.token_urlsafe(64))], "HS256")
        codec = TokenCodec(ring, Claims, absolute_max_age=86_400, cache_bytes=gigabyte, clock=time.time)

        def tokens(count: int) -> Iterator[str]:
            return (codec.encode(each, Claims(sub="1"))[0].token for each in _ids(count))

        _take(tokens(1_000), codec.decode)
        return _growth(lambda: _take(tokens(CACHED), codec.decode))
    return uvloop.run(_near(port, gigabyte))


def _take(tokens: Iterator[str], decode: Callable[[object], object]) -> None:
    for each in tokens:
        decode(each)


def _growth(fill: Callable[[], None]) -> int:
    gc.collect()
    before = resident_bytes()
    fill()
    gc.collect()
    return resident_bytes() - before


async def _near(port: int, limit: int) -> int:
    store = CachedSessionStore(RedisSessionStore(f"redis://127.0.0.1:{port}"), limit)
    ids = [f"{number:043d}" for number in range(CACHED)]
    await _tracked(store, port)

    async def load(share: list[str]) -> None:
        for each in share:
            await store.load(each, allow_cached=True)

    gc.collect()
    before = resident_bytes()
    await asyncio.gather(*(load(ids[first::50]) for first in range(50)))
    gc.collect()
    grown = resident_bytes() - before
    await store.close()
    return grown


if __name__ == "__main__":
    print(_grown(sys.argv[1], int(sys.argv[2])))
