"""`RedisSessionStore`: sessions in Redis or Valkey, also behind Sentinel and in a cluster. Knows redis-py."""

import asyncio
import contextlib
import logging
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
)

from ..errors import ConfigurationError, SessionCorruptError, StoreUnavailableError, discreet
from ._cluster import ClusterNodes
from ._connect import OPTIONS, POOL_OPTIONS, Place, connect, location_of, parse
from ._exchange import Call, Command, exchange_pooled
from ._loads import Loads, packed
from ._near import Fetch, NearCache, topology_of
from ._script import Script
from ._sentinel import PrimaryPool
from ._user_index import RedisUserIndex
from .base import Entry, IndexAddition, IndexPage, Outcome
from .embedded import EmbeddedServer

logger = logging.getLogger("jwtsession")

T = TypeVar("T")

DEADLINE = 2.5
"""Seconds that one call may take in all, before it is a `StoreUnavailableError`."""

WAIT_SECONDS = 0.8
"""Seconds that a destroy waits for replicas; less than the socket's timeout."""


_UPDATE = Script("update.lua")
_COMPARE_AND_DELETE = Script("compare_and_delete.lua")
_DESTROY = Script("destroy.lua")


class RedisSessionStore:
    """A `SessionStore` in Redis 6.2 or newer, or any Valkey.

    Args:
        url: See `SessionSettings.redis_url`. Options of redis-py in its query override the defaults here
            (`?max_connections=100&socket_timeout=0.5`).
        client: A `redis.asyncio` client of your own instead of a URL. It is used as it is, and yours to close.
        keyspace: Prefix of the keys.
        near_cache_bytes: See `SessionSettings.near_cache_bytes`.

    Raises:
        ConfigurationError: The URL can't be used, the client decodes responses, or it is to have a near cache.
    """

    @discreet
    def __init__(
        self,
        url: str | None = None,
        *,
        client: "Redis | RedisCluster | None" = None,
        keyspace: str = "sess:",
        near_cache_bytes: int = 0,
    ) -> None:
        if (url is None) == (client is None):
            raise ConfigurationError("RedisSessionStore needs either a url or a client")
        if client is not None and client.get_encoder().decode_responses:
            raise ConfigurationError("client: must be made with decode_responses=False, sessions are bytes")
        if client is not None and near_cache_bytes:
            # Its time limits and retries are not known, and neither is how long it lives.
            raise ConfigurationError("near_cache_bytes: needs a URL, a client of your own can have no near cache")
        self._keyspace = keyspace
        self._near_cache_bytes = near_cache_bytes
        self._near: NearCache | None = None
        self._owns_client = client is None
        self._client = client
        self._loop: asyncio.AbstractEventLoop | None = None
        self._use: AsyncGenerator[None, None] | None = None
        self._server: EmbeddedServer | None = None
        self._place: Place | None = None
        self._nodes = ClusterNodes(client, POOL_OPTIONS["timeout"]) if isinstance(client, RedisCluster) else None
        self._loads: Loads | None = None
        self._index = RedisUserIndex(f"{keyspace}user:", self._evaluate, self._call)
        self._closed = False
        self._location = "" if client is None else location_of(client)
        if url is not None:
            if url.lower().startswith("embedded:"):
                self._server = EmbeddedServer(url)
                self._location = url
            else:
                self._place = parse(url)
                self._location = self._place.location
                connect(self._place)  # connects to nothing yet, but refuses what can't be used

    def __repr__(self) -> str:
        return f"RedisSessionStore({self._location!r}, keyspace={self._keyspace!r})"

    @property
    def location(self) -> str:
        """Where the sessions are, for a log: the URL without user, password and options."""
        return self._location

    @property
    def keyspace(self) -> str:
        """Prefix of the keys."""
        return self._keyspace

    async def open(self) -> None:
        """Start the embedded server where the URL asks for one. A server that is down does not matter yet."""
        if self._server is not None:
            self._place = parse(await asyncio.to_thread(self._server.start))
        self._closed = False

    async def close(self) -> None:
        """Close the client, unless it is the caller's own, and leave the embedded server."""
        self._closed = True
        use, self._use = self._use, None
        if self._owns_client:
            self._client = self._near = self._loads = None
        # A loop that has ended has closed all of it, and could not do so any more.
        if use is not None and self._loop is not None and not self._loop.is_closed():
            await use.aclose()
        if self._server is not None:
            self._place = None
            await asyncio.to_thread(self._server.stop)

    async def ping(self) -> bool:
        """See `SessionStore.ping`."""
        call = Call()

        async def attempt(client: "Redis | RedisCluster") -> bool:
            if self._nodes is not None:
                return await self._nodes.ping()
            return bool(await exchange_pooled(cast("Redis", client), [("PING",)], call))

        try:
            return await self._within_deadline(attempt, call)
        except StoreUnavailableError:
            return False
        except Exception as error:
            # Whatever it is: who asks whether sessions can be had is not to be told by an exception.
            logger.error("the session store can't be used: %s: %s", type(error).__name__, self._said(error))
            return False

    async def eviction_policies(self) -> dict[str, tuple[str, int] | None]:
        """Of each server that has sessions the `maxmemory-policy` and `maxmemory` in bytes; None where it tells none.

        Raises:
            StoreUnavailableError: A server did not answer.
        """

        async def attempt(client: "Redis | RedisCluster") -> dict[str, Any]:
            if self._nodes is not None:
                return await self._nodes.ask_primaries("INFO", "memory")
            try:
                (told,) = await exchange_pooled(cast("Redis", client), [("INFO", "memory")], call)
            except ResponseError as error:
                told = error
            return {self._location: told}

        call = Call()
        found = await self._within_deadline(attempt, call)
        return {
            name: (told["maxmemory_policy"], int(told.get("maxmemory", 0)))
            if isinstance(told, dict) and "maxmemory_policy" in told
            else None  # not its right, or a proxy's answer
            for name, told in found.items()
        }

    async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
        """See `SessionStore.create`."""
        key = self._keyspace + session_id
        with self._forgetting(session_id):
            if await self._call("SET", key, value, "NX", "PX", ttl) is not None:
                return True
            # Also the answer where a first try stored it and only its reply was lost.
            return cast("bytes | None", await self._call("GET", key)) == value

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        """See `SessionStore.load`: one command, one round trip; from the near cache neither."""
        cache, fetch = self._near, None
        if allow_cached and ttl is None and cache is not None and asyncio.get_running_loop() is self._loop:
            value = cache.get(session_id)
            if value is not None:
                return value
            fetch = cache.fetch(session_id)
        key = self._keyspace + session_id
        command: tuple[str | int, ...] = ("GET", key) if ttl is None else ("GETEX", key, "PX", ttl)
        if cache is None:
            return cast("bytes | None", await self._load(command))
        if fetch is None:
            # Forgotten too: who has been told of something newer must not read what is kept after that.
            with self._forgetting(session_id):
                return cast("bytes | None", await self._load(command))
        try:
            value, left = await self._load(command, fetch)
            cache.fill(session_id, fetch, value, left)
        finally:
            cache.release(session_id, fetch)
        return cast("bytes | None", value)

    async def _load(self, command: "tuple[str | int, ...]", fetch: Fetch | None = None) -> Any:
        """The reply; for a fetch two of them, the second one to PTTL or, where that can't be known, an error."""
        left = ("PTTL", command[1])
        sent, replies = (packed(*command), 1) if fetch is None else (packed(*command) + packed(*left), 2)
        loads, failed, since = self._loads, None, None
        if loads is not None and not self._closed and (loop := asyncio.get_running_loop()) is self._loop:
            # The way of nearly every request: nothing between it and the round trip that it shares.
            since = loop.time()
            try:
                return await loads.load(sent, replies)
            except (RedisError, OSError) as error:
                failed = error

        call = Call()
        call.unanswered = int(failed is not None)

        async def attempt(client: "Redis | RedisCluster") -> Any:
            if self._loads is not None:
                return await self._loads.load(sent, replies)
            if fetch is None or self._nodes is None:
                return await self._send(client, command, call)
            found = await self._nodes.ask(str(fetch.lease.server), command, left)
            if any(isinstance(each, ResponseError) for each in found):
                # Perhaps another node's: what comes from there is not kept.
                return [await self._send(client, command, call), None]
            return found

        return await self._within_deadline(attempt, call, failed=failed, since=since)

    async def update(self, session_id: str, expected: bytes, value: bytes, ttl: int, *, retry: bool = True) -> Outcome:
        """See `SessionStore.update`."""
        call = Call(retry=retry)
        with self._forgetting(session_id):
            found = await self._eval(_UPDATE, self._keyspace + session_id, expected, value, ttl, call=call)
        if found == b"same":
            # This call's own write, where it may have been done; at a first try somebody else's.
            return Outcome.DONE if call.unanswered else Outcome.CONFLICT
        return Outcome(found.decode())

    async def touch(self, session_id: str, ttl: int) -> bool:
        """See `SessionStore.touch`."""
        with self._forgetting(session_id):
            return bool(await self._call("PEXPIRE", self._keyspace + session_id, ttl))

    async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
        """See `SessionStore.destroy`."""
        with self._forgetting(session_id):
            return await self._destroy(self._keyspace + session_id, wait_replicas)

    async def _destroy(self, key: str, wait_replicas: int) -> bool:
        if not wait_replicas:
            return bool(await self._call("DEL", key))
        commands: list[Command] = [("EVAL", _DESTROY.source, 1, key), ("WAIT", wait_replicas, int(WAIT_SECONDS * 1000))]

        call = Call()

        async def attempt(client: "Redis | RedisCluster") -> list[Any]:
            if self._nodes is not None:
                return await self._nodes.call(key, *commands, call=call)
            return await exchange_pooled(cast("Redis", client), commands, call)

        existed, confirmed = await self._within_deadline(attempt, call)
        if confirmed < wait_replicas:
            raise StoreUnavailableError("destroy_not_confirmed")
        return bool(existed)

    async def compare_and_delete(self, session_id: str, expected: bytes) -> Outcome:
        """See `SessionStore.compare_and_delete`."""
        call = Call()
        with self._forgetting(session_id):
            found = Outcome(
                (await self._eval(_COMPARE_AND_DELETE, self._keyspace + session_id, expected, call=call)).decode()
            )
        if found is Outcome.GONE and call.unanswered:
            # By this call's own first try, or by somebody else: that can't be told.
            raise StoreUnavailableError
        return found

    async def index_add(
        self,
        user: str,
        session_id: str,
        data: bytes,
        seen: float,
        ttl: int,
        *,
        confirmed: bool = True,
        only_if_present: bool = False,
        sample: int = 0,
    ) -> IndexAddition:
        """See `UserIndexStore.index_add`: one script on two keys of one slot."""
        options = {"confirmed": confirmed, "only_if_present": only_if_present}
        return await self._index.add(user, session_id, data, seen, ttl, sample=sample, **options)

    async def index_remove(self, user: str, session_ids: Sequence[str]) -> None:
        """See `UserIndexStore.index_remove`: one script."""
        await self._index.remove(user, session_ids)

    async def index_prune(self, user: str, entries: Mapping[str, Entry]) -> None:
        """See `UserIndexStore.index_prune`: one script."""
        await self._index.prune(user, entries)

    async def index_page(self, user: str, cursor: int, limit: int) -> IndexPage:
        """See `UserIndexStore.index_page`: one script."""
        return await self._index.page(user, cursor, limit)

    async def index_has(self, user: str, session_id: str) -> bool:
        """See `UserIndexStore.index_has`: one command."""
        return await self._index.has(user, session_id)

    async def remaining(self, session_ids: Sequence[str]) -> list[int]:
        """See `SessionStore.remaining`: one round trip for a thousand."""
        replies = await self._pipeline([("PTTL", self._keyspace + each) for each in session_ids])
        return [max(0, reply) for reply in replies]

    async def destroy_all(self, session_ids: Sequence[str]) -> list[bool]:
        """See `SessionStore.destroy_all`: one round trip for a thousand."""
        with self._forgetting(*session_ids):
            replies = await self._pipeline([("DEL", self._keyspace + each) for each in session_ids])
        return [bool(reply) for reply in replies]

    @contextlib.contextmanager
    def _forgetting(self, *session_ids: str) -> Iterator[None]:
        """Whatever becomes of a call: afterwards nothing is near that may be older than what it did or found."""
        try:
            yield
        finally:
            if self._near is not None:
                for each in session_ids:
                    self._near.forget(each)

    async def _eval(self, script: Script, key: str, *args: str | bytes | int, call: Call | None = None) -> Any:
        return await self._evaluate(script, [key], *args, call=call)

    async def _evaluate(
        self, script: Script, keys: Sequence[str], *args: str | bytes | int, call: Call | None = None
    ) -> Any:
        try:
            return await self._call("EVALSHA", script.sha, len(keys), *keys, *args, call=call)
        except NoScriptError:
            return await self._call("EVAL", script.source, len(keys), *keys, *args, call=call)

    async def _pipeline(self, commands: Sequence[tuple[str, str]]) -> list[int]:
        """Idempotent commands, a thousand in each round trip; in a cluster one to each node at the same time."""
        replies: list[int] = []
        for start in range(0, len(commands), 1000):
            part, call = commands[start : start + 1000], Call()

            async def attempt(
                client: "Redis | RedisCluster", part: Sequence[tuple[str, str]] = part, call: Call = call
            ) -> list[int]:
                if self._nodes is not None:
                    return await self._nodes.each(part)
                return await exchange_pooled(cast("Redis", client), part, call)

            replies += await self._within_deadline(attempt, call)
        return replies

    async def _call(self, *command: str | bytes | int, call: Call | None = None) -> Any:
        call = call or Call()
        return await self._within_deadline(lambda client: self._send(client, command, call), call)

    async def _send(self, client: "Redis | RedisCluster", command: Command, call: Call) -> Any:
        if self._nodes is None:
            (reply,) = await exchange_pooled(cast("Redis", client), [command], call)
        else:
            key = command[3] if command[0] in ("EVAL", "EVALSHA") else command[1]
            (reply,) = await self._nodes.call(str(key), command, call=call)
        return reply

    async def _within_deadline(
        self,
        attempt: "Callable[[Redis | RedisCluster], Awaitable[T]]",
        call: Call,
        *,
        failed: Exception | None = None,
        since: float | None = None,
    ) -> T:
        """Try, and where the connection failed try again, if the call may; all within the deadline.

        A first try that was made before, and `failed`, counts, and so does the time `since` it was made.
        """
        try:
            async with asyncio.timeout_at((since or asyncio.get_running_loop().time()) + DEADLINE):
                try:
                    if failed is not None:
                        raise failed
                    return await self._attempt(attempt)
                except (ConnectionError, TimeoutError) as error:
                    if not call.may_repeat or isinstance(error, (AuthenticationError, AuthorizationError)):
                        raise
                except ReadOnlyError:
                    # Refused by a replica: the address may lead to another server by now.
                    await self._reconnect()
                # Jitter, so that the callers of a server that restarts do not come back all at once.
                await asyncio.sleep(random.uniform(0.0, 0.05))
                return await self._attempt(attempt)
        except NoScriptError:
            raise
        except (RedisError, RedisClusterException, OSError) as error:
            if isinstance(error, ResponseError) and "WRONGTYPE" in str(error):
                raise SessionCorruptError from error
            said = self._said(error)
            logger.error(
                "the session store is unavailable: %s: %s (redis_url: %s)%s",
                type(error).__name__,
                said,
                self._location,
                _remedy(said, call),
            )
            message, found, _ = str(error).partition(_REPEATED)
            # Of a command that a server does not know it repeats the arguments: the id, and the data.
            raise StoreUnavailableError from (ResponseError(message) if found else error)

    def _said(self, error: Exception) -> str:
        """An error's message for a log: one line, without passwords and sessions' ids."""
        said = " ".join(str(error).partition(_REPEATED)[0].split())
        secrets = self._place.secrets if self._place is not None else _secrets_of(self._client)
        for secret in secrets:
            said = said.replace(secret, "***")
        return re.sub(rf"{re.escape(self._keyspace)}[^\s'\"]+", "***", said)[:200] if self._keyspace else said[:200]

    async def _attempt(self, attempt: "Callable[[Redis | RedisCluster], Awaitable[T]]") -> T:
        client = self._connected()
        if isinstance(client, Redis) and isinstance(client.connection_pool, PrimaryPool):
            await client.connection_pool.confirm()
        return await attempt(client)

    async def _reconnect(self) -> None:
        """Every connection is made anew before it is used again."""
        if isinstance(self._client, Redis) and self._owns_client:
            pool = self._client.connection_pool
            await pool.disconnect(inuse_connections=False)
            await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
            if self._loads is not None:
                self._loads.reconnect()

    def _connected(self) -> "Redis | RedisCluster":
        if self._closed:
            raise StoreUnavailableError from RuntimeError("the store was closed, with the application")
        loop = asyncio.get_running_loop()
        if self._client is not None and (loop is self._loop or not self._owns_client):
            return self._client
        if self._loop is not None and self._loop is not loop and not self._loop.is_closed() and self._client:
            raise RuntimeError("this RedisSessionStore is in use by another event loop: give each loop its own")
        if self._place is None:
            raise StoreUnavailableError from RuntimeError("the embedded server starts with the provider's lifespan")
        (self._client, self._nodes), self._loop = connect(self._place), loop
        self._loads = _loads(self._client) if isinstance(self._client, Redis) else None
        self._near = None
        if self._near_cache_bytes:
            topology = topology_of(self._client, self._nodes, self._keyspace)
            self._near = NearCache(self._near_cache_bytes, self._keyspace, topology)
        self._use = _in_use(self._client, self._nodes, self._near, self._loads)
        with contextlib.suppress(StopIteration):
            self._use.__anext__().send(None)
        return self._client


async def _in_use(
    client: "Redis | RedisCluster", nodes: ClusterNodes | None, near: NearCache | None, loads: Loads | None
) -> AsyncGenerator[None, None]:
    """Closes them at its end, which is the event loop's where nobody ends it before.

    `asyncio.run` ends what generators its loop has while that still can close connections. Afterwards nothing could,
    and they would be left to the collector.
    """
    try:
        yield
    finally:
        if near is not None:
            await near.close()
        if loads is not None:
            await loads.close()
        if nodes is not None:
            await nodes.close()
        else:
            await client.aclose()
            # Before 8 that disconnects the pool only, and leaves its Sentinels open.
            await cast("Redis", client).connection_pool.aclose()


_REPEATED = ", with args beginning with"


def _secrets_of(client: "Redis | RedisCluster | None") -> list[str]:
    options = client.connection_pool.connection_kwargs if isinstance(client, Redis) else {}
    return [options["password"]] if options.get("password") else []


def _remedy(said: str, call: Call) -> str:
    """What to do, where a server or a proxy does not know how to begin."""
    words = said.lower()
    if "hello" in words or "noproto" in words:
        return "; it knows no RESP3: add ?protocol=2 to redis_url"
    if "connection closed by server" in words and not call.unanswered:
        return "; if it is a proxy that knows no HELLO, add ?protocol=2 to redis_url"
    return ""


def _loads(client: Redis) -> Loads:
    """Connections like the pool's, but without its socket timeout: `Loads` has one, for all that share a round trip."""
    pool = client.connection_pool
    options: dict[str, Any] = pool.connection_kwargs | {"socket_timeout": None}
    timeout = pool.connection_kwargs.get("socket_timeout") or OPTIONS["socket_timeout"]
    connect_timeout = pool.connection_kwargs.get("socket_connect_timeout") or OPTIONS["socket_connect_timeout"]

    def is_stale(connection: Any) -> bool:
        """Whether the pool has found a new primary since."""
        return getattr(pool, "master_address", None) not in (None, (connection.host, connection.port))

    return Loads(
        lambda: pool.connection_class(**options),
        timeout=timeout,
        connect_timeout=connect_timeout,
        deadline=DEADLINE,
        prepare=pool.confirm if isinstance(pool, PrimaryPool) else None,
        is_stale=is_stale if isinstance(pool, PrimaryPool) else None,
    )
