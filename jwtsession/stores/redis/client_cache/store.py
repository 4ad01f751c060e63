"""`CachedSessionStore`: a decorator of the Redis store, which answers loads from the worker's memory."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence

from ....errors import ConfigurationError
from ...base import Outcome
from .._closing import Close
from .._servers import Servers
from ..store import RedisSessionStore
from .cache import ClientCache
from .observed import ObservedLoads
from .topology import topology_of


class CachedSessionStore:
    """A Redis store whose loads may be answered from memory, with all methods of `RedisSessionStore` but rotation's.

    Every call that may change a session removes it from memory, also if the call fails.

    Args:
        store: The store that has the sessions. It is opened and closed with this one.
        limit: How many bytes of memory the kept sessions may take, in each worker. 0 keeps none.

    Raises:
        ConfigurationError: The store is no `RedisSessionStore`, has a client of the application's own, or has a cache
            already; or the limit is no whole number.
    """

    def __init__(self, store: RedisSessionStore, limit: int) -> None:
        if not isinstance(store, RedisSessionStore):
            raise ConfigurationError("store: must be a RedisSessionStore")
        if type(limit) is not int or limit < 0:
            raise ConfigurationError("limit: must be a whole number of bytes, 0 or more")
        self._connections = store._connections
        if self._connections.borrowed:
            # The time limits and retries of such a client are not known, nor when the application closes it.
            raise ConfigurationError("near_cache_bytes: needs a URL, a client of your own can have no near cache")
        if self._connections.on_connect is not None:
            raise ConfigurationError("store: already has a near cache: use that CachedSessionStore")
        self._connections.on_connect = self._begin
        self._executor = store._executor
        self._store = store
        self._limit = limit
        self._cache: ClientCache | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._observed: ObservedLoads | None = None
        self.listeners: set[Callable[[Sequence[str] | None], object]] = set()
        """See `ReportsChanges`."""
        self.location = store.location
        self.keyspace = store.keyspace
        # The cache plays no part in these methods: they are the store's own.
        self.eviction_policies = store.eviction_policies
        self.index_add = store.index_add
        self.index_remove = store.index_remove
        self.index_prune = store.index_prune
        self.index_page = store.index_page
        self.index_get = store.index_get
        self.index_set = store.index_set
        self.ticket_add = store.ticket_add
        self.ticket_take = store.ticket_take
        self.not_before_set = store.not_before_set
        self.not_before_get = store.not_before_get
        self.proof_add = store.proof_add
        self.forward_add = store.forward_add
        self.forward_replace = store.forward_replace
        self.forward_get = store.forward_get

    def __repr__(self) -> str:
        return f"CachedSessionStore({self._store!r})"

    async def open(self) -> None:
        """See `RedisSessionStore.open`."""
        await self._store.open()

    async def close(self) -> None:
        """See `RedisSessionStore.close`. Empties the cache."""
        self._cache = None
        await self._store.close()

    async def ping(self) -> bool:
        """See `SessionStore.ping`."""
        return await self._store.ping()

    async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
        """See `SessionStore.create`."""
        with self._forgetting(session_id):
            return await self._store.create(session_id, value, ttl)

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        """See `SessionStore.load`: with `allow_cached`, and no `ttl`, from memory if the session is there."""
        cache, fetch = self._cache, None
        if allow_cached and ttl is None and cache is not None and asyncio.get_running_loop() is self._loop:
            value = cache.get(session_id)
            if value is not None:
                if self._observed is not None:
                    self._observed.results["hit"].count += 1
                return value
            fetch = cache.fetch(session_id)
        observed = self._observed
        if observed is not None:
            observed.results["bypass" if fetch is None else "miss"].count += 1
        if cache is None or fetch is None:
            # Forget the session: a caller that reads a new value here must not read an older one from memory later.
            with self._forgetting(session_id):
                load = self._store.load if observed is None else observed.load
                return await load(session_id, ttl)
        key = self.keyspace + session_id
        read = self._executor.read if observed is None else observed.read
        found: bytes | None
        try:
            found, left = await read(("GET", key), ("PTTL", key), str(fetch.lease.server))
            cache.fill(session_id, fetch, found, left)
        finally:
            cache.release(session_id, fetch)
        return found

    async def load_once(self, session_id: str, ttl: int | None, proof: str, window: int) -> tuple[bytes | None, bool]:
        """See `ReplayStore.load_once`. The server is asked each time: only it knows which proofs were used."""
        with self._forgetting(session_id):
            return await self._store.load_once(session_id, ttl, proof, window)

    async def update(self, session_id: str, expected: bytes, value: bytes, ttl: int, *, retry: bool = True) -> Outcome:
        """See `SessionStore.update`."""
        with self._forgetting(session_id):
            return await self._store.update(session_id, expected, value, ttl, retry=retry)

    async def touch(self, session_id: str, ttl: int) -> bool:
        """See `SessionStore.touch`."""
        with self._forgetting(session_id):
            return await self._store.touch(session_id, ttl)

    async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
        """See `SessionStore.destroy`."""
        with self._forgetting(session_id):
            return await self._store.destroy(session_id, wait_replicas)

    async def compare_and_delete(self, session_id: str, expected: bytes) -> Outcome:
        """See `SessionStore.compare_and_delete`."""
        with self._forgetting(session_id):
            return await self._store.compare_and_delete(session_id, expected)

    async def remaining(self, session_ids: Sequence[str]) -> list[int]:
        """See `SessionStore.remaining`."""
        return await self._store.remaining(session_ids)

    async def destroy_all(self, session_ids: Sequence[str]) -> list[bool]:
        """See `SessionStore.destroy_all`."""
        with self._forgetting(*session_ids):
            return await self._store.destroy_all(session_ids)

    def silence(self) -> float | None:
        """How many seconds ago the server gave its last sign of life; None if it is not followed yet."""
        return None if self._cache is None else self._cache.tracking.silence()

    def follow(self, session_id: str) -> None:
        """See `ReportsChanges.follow`."""
        if self._cache is not None and asyncio.get_running_loop() is self._loop:
            self._cache.follow(session_id)

    def _begin(self, servers: Servers) -> Close:
        """Make a cache for servers that were just connected to."""
        self._loop = self._connections.loop
        self._cache = ClientCache(
            self._limit, self.keyspace, topology_of(servers, self.keyspace), listeners=self.listeners
        )
        return self._cache.close

    @contextlib.contextmanager
    def _forgetting(self, *session_ids: str) -> Iterator[None]:
        """Forget the session after a call, also a failed one: memory may then be older than the server."""
        try:
            yield
        finally:
            if self._cache is not None:
                for each in session_ids:
                    self._cache.forget(each)
