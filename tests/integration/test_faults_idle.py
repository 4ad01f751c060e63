"""Connections that end while nobody uses them: no request is answered otherwise for it, whatever it does."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import Connection

from jwtsession import SessionProvider
from tests import servers, verbs
from tests.conftest import SECRET
from tests.engines.load import serving
from tests.proxy import Proxy
from tests.web import serving as over_http

pytestmark = [pytest.mark.caches("near"), pytest.mark.usefixtures("patient"), pytest.mark.ci]

VERBS = [what for what in verbs.USING if what not in ("GET /optional", "GET /class")]


class Line:
    """A server, the way to it, and a way to end all connections that are idle."""

    def __init__(self, url: str, end: Callable[[], object]) -> None:
        self.url = url
        self.end = end


def end_by_timeout(server: servers.Server) -> None:
    """As a server with `timeout` does it, after a second in which nothing was asked."""
    server.command("CONFIG", "SET", "timeout", "1")
    try:
        servers.until(lambda: _clients(server) <= 1, "the timeout")
    finally:
        server.command("CONFIG", "SET", "timeout", "0")


def end_by_server(server: servers.Server) -> None:
    """The same without the second."""
    server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _clients(server: servers.Server) -> int:
    """How many there are, whoever asks included; a Sentinel is never idle."""
    clients = server.command("CLIENT", "LIST", "TYPE", "normal").splitlines()
    return sum(b"id=" in each and b"name=sentinel" not in each for each in clients)


@pytest.fixture(params=["server", "close", "reset"])
def line(request: pytest.FixtureRequest, valkey: servers.Server) -> Iterator[Line]:
    if request.param == "server":
        yield Line(valkey.url, lambda: end_by_server(valkey))
        return
    with Proxy(valkey.port).running() as proxy:
        yield Line(proxy.url, proxy.close_all if request.param == "close" else proxy.reset)


@contextlib.asynccontextmanager
async def application(
    url: str, own: bool = False, answer: int = 60, **options: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    """The verbs' application; with a client of the caller's own, with redis-py's defaults, if need be."""
    if not own:
        url = f"{url}{'&' if '?' in url else '?'}timeout=60&socket_timeout={answer}&socket_connect_timeout=60"
        async with serving(verbs.application(_provider(redis_url=url, **options))) as client:
            yield client
        return
    redis = Redis.from_url(url)
    app = verbs.application(_provider(client=redis, near_cache_bytes=0, **options))
    async with redis, serving(app) as client:
        yield client


def _provider(**options: Any) -> SessionProvider[verbs.UserSession, Any]:
    return SessionProvider(verbs.UserSession, secret=SECRET, touch_interval=0, **options)


async def log_in(client: httpx2.AsyncClient) -> dict[str, str]:
    return verbs.bearer((await client.post("/session")).raise_for_status().json()["access_token"])


async def all_at_once(client: httpx2.AsyncClient, what: str, users: list[dict[str, str]]) -> list[int]:
    method, _, path = what.partition(" ")
    answers = await asyncio.gather(*(client.request(method, path, headers=user) for user in users))
    return [answer.status_code for answer in answers]


async def end_when_idle(end: Callable[[], object]) -> None:
    await asyncio.to_thread(end)
    for _ in range(10):  # what has come is seen when the event loop has had its turns
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("own", "count"),
    [(False, 1), (False, 20), (False, 60), pytest.param(False, 150, marks=pytest.mark.ci), (True, 20)],
    ids=["1", "20", "60", "150", "own client, 20"],  # a pool has 50 connections
)
async def test_no_verb_notices(line: Line, own: bool, count: int) -> None:
    """With a URL and with a client of one's own, whoever ended the connections and however: all of it is 200."""
    async with application(line.url, own) as client:
        for what in VERBS:
            users = await asyncio.gather(*(log_in(client) for _ in range(count)))
            await all_at_once(client, "POST /touch", users)
            await end_when_idle(line.end)
            assert await all_at_once(client, what, users) == [200] * count, what


async def test_no_verb_notices_a_timeout_of_the_server(valkey: servers.Server) -> None:
    """Each verb, 20 at once, after the server's own `timeout` has passed."""
    async with application(valkey.url) as client:
        for what in VERBS:
            users = await asyncio.gather(*(log_in(client) for _ in range(20)))
            await end_when_idle(lambda: end_by_timeout(valkey))
            assert await all_at_once(client, what, users) == [200] * 20, what


@pytest.mark.parametrize("query", ["?protocol=2", "?health_check_interval=0"])
async def test_a_mutation_is_done_once(valkey: servers.Server, query: str) -> None:
    """mutate() is never written twice, and here there is no need: 20 on one session after a reset are 20."""
    with Proxy(valkey.port).running() as proxy:
        async with application(proxy.url + query) as client:
            user = await log_in(client)
            for end in (proxy.reset, proxy.close_all) * 3:
                before = (await client.get("/session", headers=user)).json()["user_id"]
                await end_when_idle(end)
                assert await all_at_once(client, "PATCH /session", [user] * 20) == [200] * 20
                assert (await client.get("/session", headers=user)).json()["user_id"] == before + 20


async def test_connections_that_a_router_has_forgotten_are_asked_before_they_are_used(valkey: servers.Server) -> None:
    """Idle for longer than `health_check_interval`: a PING finds out, and a change is made all the same."""
    with Proxy(valkey.port).running() as proxy:
        async with application(proxy.url, answer=1) as client:  # for so long a PING waits
            everybody = await asyncio.gather(*(log_in(client) for _ in range(60)))
            for what, count in (("GET /session", 60), ("PATCH /session", 5), ("PUT /session", 5)):
                users = everybody[:count]
                await all_at_once(client, "POST /touch", users[:10])
                proxy.forget_all()
                for connection in [each for each in gc.get_objects() if isinstance(each, Connection)]:
                    connection.next_health_check = 0  # the interval has passed
                assert await all_at_once(client, what, users) == [200] * count, what


@pytest.mark.parametrize("own", [False, True], ids=["by URL", "own client"])
async def test_a_cluster_is_no_different(cluster_server: servers.Server, own: bool) -> None:
    """Each verb, 20 at once, after the server ended what was idle."""
    url = f"redis+cluster://127.0.0.1:{cluster_server.port}"
    async with contextlib.AsyncExitStack() as stack:
        if own:
            cluster = RedisCluster(host="127.0.0.1", port=cluster_server.port)
            stack.push_async_callback(cluster.aclose)
            sessions = _provider(client=cluster, near_cache_bytes=0)
            client = await stack.enter_async_context(serving(verbs.application(sessions)))
        else:
            client = await stack.enter_async_context(application(url))
        for what in VERBS:
            users = await asyncio.gather(*(log_in(client) for _ in range(20)))
            await end_when_idle(lambda: end_by_server(cluster_server))
            assert await all_at_once(client, what, users) == [200] * 20, what


async def test_sentinels_are_no_different(valkey: servers.Server, sentinel_server: servers.Server) -> None:
    """Each verb, 20 at once, after the primary and the Sentinel ended what was idle."""
    async with application(f"redis+sentinel://127.0.0.1:{sentinel_server.port}/mymaster/0") as client:
        for what in VERBS:
            users = await asyncio.gather(*(log_in(client) for _ in range(20)))
            await end_when_idle(lambda: (end_by_server(valkey), end_by_server(sentinel_server)))
            assert await all_at_once(client, what, users) == [200] * 20, what


def test_over_http_every_mutation_after_a_quiet_while_is_done(valkey: servers.Server) -> None:
    """On uvicorn, one request at a time with a quiet while before each: 200 every time."""
    with over_http(verbs.application(_provider(redis_url=valkey.url))) as client:
        user = verbs.log_in(client)
        for number in range(4):
            end_by_timeout(valkey)
            answer = client.patch("/session", headers=user)
            assert (answer.status_code, answer.json()["user_id"]) == (200, number + 2)
