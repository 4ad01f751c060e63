"""Makes `Servers` from a URL or a client, and `Connections`, which gives each event loop its servers."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ...errors import ConfigurationError, StoreUnavailableError
from ..embedded import EmbeddedServer
from ._closing import Close, close_all
from ._servers import TIMEOUT_SECONDS, Pipeline, Servers, SingleServer
from ._url import SENTINEL_OPTIONS, Place, parse
from .cluster import ClusterNodes
from .sentinel import NewestSentinel, PrimaryPool

if TYPE_CHECKING:
    from ...observability import Operations

# redis-py's own defaults hold a request for up to a minute when a server stalls. Options in the URL override these.
_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": TIMEOUT_SECONDS,
    "socket_timeout": TIMEOUT_SECONDS,
    "health_check_interval": 30,
    "decode_responses": False,
}
_POOL_OPTIONS: dict[str, Any] = {"max_connections": 50, "timeout": 0.5}

# Options that redis-py's older versions do not have.
_NEWER: dict[str, Any] = {}
# While maintenance notifications are on redis-py misses that the server has closed a connection.
if "maint_notifications_config" in inspect.signature(Redis.__init__).parameters:
    from redis.maint_notifications import MaintNotificationsConfig

    _NEWER["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)

# Otherwise redis-py searches the installed packages for its own version at each connection, on the event loop.
if "driver_info" in inspect.signature(Redis.__init__).parameters:
    from redis.driver_info import DriverInfo

    _NEWER["driver_info"] = DriverInfo()


def connect(place: Place) -> SingleServer | ClusterNodes:
    """Make the servers of a URL. This opens no connection: the first use does.

    Raises:
        ConfigurationError: redis-py refuses an option.
    """
    try:
        return _connect(place)
    except Exception as error:
        wrong = type(error).__name__
    raise ConfigurationError(f"redis_url: can't be used ({wrong})")


def _connect(place: Place) -> SingleServer | ClusterNodes:
    retry = Retry(NoBackoff(), 0)  # the store tries again itself, because it knows what may run twice
    given = {name: value for name, value in place.options.items() if name not in SENTINEL_OPTIONS}
    options: dict[str, Any] = _OPTIONS | _POOL_OPTIONS | _NEWER | given | {"retry": retry}
    if not place.kind:
        if place.path:
            options |= {"connection_class": UnixDomainSocketConnection, "path": place.path}
        else:
            ((host, port),) = place.hosts
            options |= {"connection_class": SSLConnection if place.tls else Connection, "host": host, "port": port}
        # The pipeline of `SingleServer` makes connections at once: an option that redis-py refuses is refused now.
        return SingleServer(Redis.from_pool(BlockingConnectionPool(**options)), place.location)
    if place.tls:
        options["ssl"] = True
    if place.kind == "cluster":
        wait = options.pop("timeout")
        cluster = RedisCluster(startup_nodes=[ClusterNode(*each) for each in place.hosts], **options)
        return ClusterNodes(cluster, wait)
    # The options that say whom to trust, and who the client is, count for the Sentinels too. Their user and password
    # are their own. redis-py before 8 can't read their answers with RESP3.
    theirs = {"protocol": 2} | {name: value for name, value in options.items() if name.startswith("ssl")}
    theirs |= {
        name.removeprefix("sentinel_"): place.options[name] for name in SENTINEL_OPTIONS if name in place.options
    }
    sentinel = NewestSentinel(place.hosts, sentinel_kwargs=_OPTIONS | _NEWER | theirs | {"retry": retry}, **options)  # type: ignore[no-untyped-call]
    client = cast("Redis", sentinel.master_for(place.service, connection_pool_class=PrimaryPool))
    return SingleServer(client, place.location)


def borrow(client: Redis | RedisCluster) -> tuple[Servers, str]:
    """Make the servers of the application's own client. Return them and their location for a log."""
    if isinstance(client, RedisCluster):
        nodes = client.nodes_manager.startup_nodes.values()
        location = "redis+cluster://" + ",".join(f"{node.host}:{node.port}" for node in nodes)
        return ClusterNodes(client, _POOL_OPTIONS["timeout"], borrowed=True), location
    options = client.connection_pool.connection_kwargs
    if "path" in options:
        location = f"unix://{options['path']}"
    elif service := getattr(client.connection_pool, "service_name", ""):
        location = f"redis+sentinel://{service}"
    else:
        location = f"redis://{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0)}"
    return SingleServer(client, location, borrowed=True), location


class Connections:
    """The servers for one event loop. The first use connects; `close`, or the end of the loop, disconnects.

    Args:
        url: See `RedisSessionStore`.
        client: See `RedisSessionStore`.

    Raises:
        ConfigurationError: The URL can't be used.
    """

    def __init__(self, url: str | None, client: Redis | RedisCluster | None) -> None:
        self.borrowed = client is not None
        """Whether the client is the application's own."""
        self.servers: Servers | None = None
        """The servers that are connected to; None before the first use."""
        self.pipeline: Pipeline | None = None
        """The servers' pipeline."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop that `servers` belong to."""
        self._place: Place | None = None
        self._embedded: EmbeddedServer | None = None
        self.on_connect: Callable[[Servers], Close] | None = None
        """Called with new `servers`. What it returns is called before they are closed."""
        self.observer: Operations | None = None
        """Counts how many loads share a round trip."""
        self._use: AsyncGenerator[None, None] | None = None
        self._closed = False
        self.secrets: list[str] = []
        """The passwords, which no log may show."""
        if client is not None:
            self.servers, self.location = borrow(client)
            if isinstance(client, Redis) and (password := client.connection_pool.connection_kwargs.get("password")):
                self.secrets = [password]
        elif url is not None and url.lower().startswith("embedded:"):
            self._embedded = EmbeddedServer(url)
            self.location = url
        else:
            self._place = parse(url or "")
            self.location = self._place.location
            self.secrets = self._place.secrets
            connect(self._place)  # opens no connection, but refuses what can't be used

    async def open(self) -> None:
        """Start the embedded server, if the URL asks for one.

        Raises:
            ConfigurationError: It can't be started.
        """
        if self._embedded is not None:
            self._place = parse(await asyncio.to_thread(self._embedded.start))
        self._closed = False

    async def close(self) -> None:
        """Close all connections, unless the client is the application's own, and leave the embedded server."""
        self._closed = True
        use, self._use = self._use, None
        if not self.borrowed:
            self.servers = self.pipeline = None
        # A loop that has ended has closed them at its end; now it could not any more.
        if use is not None and self.loop is not None and not self.loop.is_closed():
            await use.aclose()
        if self._embedded is not None:
            self._place = None
            await asyncio.to_thread(self._embedded.stop)

    def require(self) -> Servers:
        """The servers, for the event loop that runs.

        Raises:
            StoreUnavailableError: The store is closed, or its embedded server is not started.
            RuntimeError: Another event loop uses the store.
        """
        if self._closed:
            raise StoreUnavailableError from RuntimeError("the store was closed, with the application")
        loop = asyncio.get_running_loop()
        if self.servers is not None:
            if loop is self.loop or self.borrowed:
                return self.servers
            if self.loop is not None and not self.loop.is_closed():
                raise RuntimeError("this RedisSessionStore is in use by another event loop: give each loop its own")
        if self._place is None:
            raise StoreUnavailableError from RuntimeError("the embedded server starts with the provider's lifespan")
        servers = connect(self._place)
        self.servers, self.pipeline, self.loop = servers, servers.pipeline, loop
        self.observe(self.observer)
        closers = [servers.close] if self.on_connect is None else [self.on_connect(servers), servers.close]
        self._use = _in_use(closers)
        with contextlib.suppress(StopIteration):
            self._use.__anext__().send(None)
        return servers

    def observe(self, observer: "Operations | None") -> None:
        """Let an observer count how many loads share a round trip, now and after the next connect."""
        self.observer = observer
        if self.pipeline is not None:
            self.pipeline.observer = observer

    async def reconnect(self) -> None:
        """Make every connection connect again before its next use."""
        if self.servers is not None:
            await self.servers.reconnect()


async def _in_use(closers: Sequence[Close]) -> AsyncGenerator[None, None]:
    """Calls the closers one after the other when the generator ends: at the latest when its event loop ends.

    `asyncio.run` ends the async generators of its loop while the loop can still close connections. Later nothing could:
    the connections would be left to the garbage collector.
    """
    try:
        yield
    finally:
        await close_all(closers)
