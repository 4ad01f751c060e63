"""Logins that take over a visitor's cart, on real servers: many at once, carts that change, and lost replies."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import jwtsession
from jwtsession import (
    AuthenticationError,
    Claims,
    Session,
    SessionConflictError,
    SessionManager,
    SessionProvider,
    StoreUnavailableError,
)
from jwtsession.testing import AsyncSessionTester
from tests import servers
from tests.conftest import SECRET
from tests.proxy import Proxy

pytestmark = pytest.mark.slow


class Shop(Session):
    cart: list[str] = []


Provider = SessionProvider[Shop, Claims]
Manager = SessionManager[Shop, Claims]

KEY = "VGhpcnR5LXR3byByYW5kb20tbG9va2luZyBieXRlcyE"
DEPLOYMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "valkey": ("valkey_server", {}),
    "redis, index": ("redis_server", {"user_index": True, "max_sessions": 50}),
    "cluster, index": ("cluster_server", {"user_index": True}),
    "near cache": ("valkey_server", {"near_cache_bytes": 1_000_000}),
    "encrypted, rotated": ("valkey_server", {"encryption": {"keys": [KEY]}, "rotation": {"after": 900}}),
}


@pytest.fixture(params=DEPLOYMENTS)
async def workers(request: pytest.FixtureRequest) -> AsyncIterator[list[AsyncSessionTester[Shop, Claims]]]:
    """Two workers of one deployment."""
    fixture, options = DEPLOYMENTS[request.param]
    server: servers.Server = request.getfixturevalue(fixture)
    server.command("FLUSHALL")
    url = server.url
    if fixture == "cluster_server":
        url = f"redis+cluster://127.0.0.1:{server.port}"
    async with AsyncExitStack() as stack:
        made = [SessionProvider(Shop, secret=SECRET, redis_url=url, **options) for _ in range(2)]
        for each in made:
            await stack.enter_async_context(each)
        yield [AsyncSessionTester(each) for each in made]


def add(old: Shop, new: Shop) -> None:
    new.cart += old.cart


async def visit(worker: AsyncSessionTester[Shop, Claims]) -> str:
    manager = await worker.manager()
    return (await manager.create(Shop(cart=["tea"]), transport="bearer")).access_token


async def log_in(manager: Manager) -> str:
    return (await manager.create(Shop(), Claims(sub="ann"), merge=add, transport="bearer")).access_token


async def cart(worker: AsyncSessionTester[Shop, Claims], token: str) -> list[str] | None:
    session = (await worker.manager(token)).session
    return None if session is None else session.cart


async def test_of_twenty_logins_at_once_one_has_the_cart(workers: list[AsyncSessionTester[Shop, Claims]]) -> None:
    """On two workers: all succeed, one cart is full, and the visitor's session is gone."""
    for _ in range(5):
        visitor = await visit(workers[0])
        logins = [await workers[number % 2].manager(visitor) for number in range(20)]
        tokens = await asyncio.gather(*map(log_in, logins))
        carts = [await cart(workers[0], token) for token in tokens]
        assert sorted(map(str, carts)) == ["['tea']", *["[]"] * 19]
        assert await cart(workers[1], visitor) is None
        for token in tokens:
            await (await workers[0].manager(token)).destroy()


async def test_what_other_tabs_add_meanwhile_is_in_the_cart(workers: list[AsyncSessionTester[Shop, Claims]]) -> None:
    """Of those that were told that it is stored, each item is there, once; the others were told that it is not."""
    for _ in range(5):
        visitor = await visit(workers[0])
        managers = [await workers[number % 2].manager(visitor) for number in range(9)]
        login, *tabs = managers

        async def shop(number: int, tab: Manager) -> str | None:
            try:
                await tab.mutate(lambda session: session.cart.append(str(number)))
            except (AuthenticationError, SessionConflictError):
                return None
            return str(number)

        token, *added = await asyncio.gather(log_in(login), *(shop(*each) for each in enumerate(tabs)))
        assert sorted(await cart(workers[1], str(token)) or []) == sorted(["tea", *filter(None, added)])


SCRIPTS = Path(jwtsession.__file__).parent / "stores/redis/lua"
COMPARE, INDEX = (
    hashlib.sha1((SCRIPTS / name).read_bytes()).hexdigest().encode()  # by which the server knows a script
    for name in ("compare_and_delete.lua", "index_add.lua")
)


@pytest.mark.parametrize("silently", [False, True])
@pytest.mark.parametrize("command", [INDEX, b"\r\nSET\r\n", COMPARE], ids=["index", "store", "take"])
async def test_no_lost_reply_loses_the_cart(valkey: servers.Server, command: bytes, silently: bool) -> None:
    """Whichever command's reply gets lost: the cart is behind the token that the client has then."""
    with Proxy(valkey.port).running() as proxy:
        sessions = SessionProvider(Shop, secret=SECRET, redis_url=proxy.url, user_index=True)
        async with sessions:
            worker = AsyncSessionTester(sessions)
            visitor = await visit(worker)
            # The scripts' source must be on the server, or their first command is another one.
            await log_in(await worker.manager(await visit(worker)))
            login = await worker.manager(visitor)
            proxy.silently, proxy.lose_reply_to = silently, command
            try:
                token = await log_in(login)
            except StoreUnavailableError:
                token = visitor
            assert proxy.lost == 1
            proxy.reset()
            assert await cart(worker, token) == ["tea"]


async def test_a_server_that_dies_before_the_old_session_goes_loses_no_cart(valkey: servers.Server) -> None:
    """Nothing gets through from then on: the login succeeds, and when the server is back, the user has the cart."""
    with Proxy(valkey.port).running() as proxy:
        sessions = SessionProvider(Shop, secret=SECRET, redis_url=proxy.url)
        async with sessions:
            worker = AsyncSessionTester(sessions)
            visitor = await visit(worker)
            await log_in(await worker.manager(await visit(worker)))
            login = await worker.manager(visitor)
            proxy.closes_at = COMPARE
            token = await log_in(login)
            proxy.closes_at = None
            assert await cart(worker, token) == ["tea"]
