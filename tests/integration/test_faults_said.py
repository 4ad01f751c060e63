"""What the log says when the store can't be reached, and what a health check says then: never an exception."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from jwtsession import RedisSessionStore, SessionProvider, StoreUnavailableError
from tests import servers
from tests.conftest import SECRET
from tests.proxy import Proxy

ID = "an-id-that-no-log-should-show"
HOUR = 3_600_000


async def said_by(store: RedisSessionStore, caplog: pytest.LogCaptureFixture) -> str:
    """What stands in the log for a call that fails."""
    caplog.clear()
    with pytest.raises(StoreUnavailableError):
        await store.create(ID, b"data", HOUR)
    await store.close()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("jwtsession", logging.ERROR)
    return record.getMessage()


async def test_where_what_and_which_setting(caplog: pytest.LogCaptureFixture) -> None:
    """Host and port without credentials, the reason in the server's or the system's words, the setting's name."""
    port = servers.free_port()
    said = await said_by(RedisSessionStore(f"redis://user:pass%2Fword@127.0.0.1:{port}/3"), caplog)
    assert said.startswith("the session store is unavailable: ConnectionError: ")
    assert f"(redis_url: redis://127.0.0.1:{port}/3)" in said
    assert "Error 111" in said
    assert "user" not in said
    assert "word" not in said


async def test_the_servers_own_words(engine: servers.Server, caplog: pytest.LogCaptureFixture) -> None:
    """A missing right is named, and neither the session's id nor a password."""
    engine.command("ACL", "SETUSER", "weak", "reset", "on", ">pass", "~sess:*", "+get")
    url = engine.url.replace("redis://", "redis://weak:pass@")
    said = await said_by(RedisSessionStore(url), caplog)
    assert "NoPermissionError" in said
    assert "set" in said
    assert ID not in said
    assert "pass" not in said


@pytest.mark.parametrize("password", ["", "the password of all"])
async def test_a_server_that_knows_no_hello(tmp_path: Path, password: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what helps, and it does: ?protocol=2. The password that went with the command is not shown."""
    server = servers.redis(tmp_path, "--rename-command", "HELLO", "").start()
    try:
        server.command("CONFIG", "SET", "requirepass", password)
        url = f"redis://:{password.replace(' ', '%20')}@127.0.0.1:{server.port}/0"
        said = await said_by(RedisSessionStore(f"{url}?protocol=3"), caplog)  # redis-py's default from 8 on
        assert said.endswith("; it knows no RESP3: add ?protocol=2 to redis_url")
        assert not password or password not in said
        store = RedisSessionStore(f"{url}?protocol=2")
        assert await store.ping()
        assert await store.create(ID, b"data", HOUR)
        assert await store.load(ID) == b"data"
        await store.close()
    finally:
        server.kill()


async def test_a_proxy_that_closes_at_hello(valkey: servers.Server, caplog: pytest.LogCaptureFixture) -> None:
    """There it can only be guessed; what is said helps."""
    with Proxy(valkey.port).running() as proxy:
        proxy.closes_at = b"HELLO"
        said = await said_by(RedisSessionStore(f"{proxy.url}?protocol=3"), caplog)
        assert said.endswith("; if it is a proxy that knows no HELLO, add ?protocol=2 to redis_url")
        store = RedisSessionStore(f"{proxy.url}?protocol=2")
        assert await store.ping()
        await store.close()


async def test_a_server_that_stops_answering(valkey: servers.Server, caplog: pytest.LogCaptureFixture) -> None:
    """The log says so, also for the store's own deadline, whose error has no message."""
    with Proxy(valkey.port).running() as proxy:
        store = RedisSessionStore(f"{proxy.url}?socket_timeout=9")
        assert await store.ping()
        proxy.black_hole = True
        assert "TimeoutError: no answer in time (redis_url: " in await said_by(store, caplog)


async def test_sentinels_with_a_password(tmp_path: Path, valkey: servers.Server) -> None:
    """With `sentinel_username` and `sentinel_password` they can be used, without they are 503."""
    sentinel = servers.sentinel(tmp_path, valkey)
    try:
        sentinel.command("ACL", "SETUSER", "app", "reset", "on", ">two", "allchannels", "+@all")
        sentinel.command("ACL", "SETUSER", "default", "off")
        url = f"valkey+sentinel://127.0.0.1:{sentinel.port}/mymaster/0"
        for protocol in (2, 3):
            store = RedisSessionStore(f"{url}?protocol={protocol}&sentinel_username=app&sentinel_password=two")
            assert await store.ping()
            assert await store.create(ID, b"1", HOUR)
            assert await store.load(ID) == b"1"
            await store.close()
        for wrong in ("", "?sentinel_username=app&sentinel_password=three"):
            store = RedisSessionStore(url + wrong)
            assert not await store.ping()
            await store.close()
    finally:
        sentinel.kill()


class Broken(Redis):
    """A client with a mistake in it."""

    async def parse_response(self, *args: Any, **options: Any) -> Any:
        raise AttributeError("what no store expects")


async def test_ping_never_raises(valkey: servers.Server, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens, it is false, and the log says why."""
    async with Broken(port=valkey.port) as client:
        assert not await RedisSessionStore(client=client).ping()
    assert "the session store can't be used: AttributeError: what no store expects" in caplog.text


def test_health_where_two_event_loops_share_a_store(valkey: servers.Server, caplog: pytest.LogCaptureFixture) -> None:
    """The loop that came second is told 503 and never 500, and the log says what to do; the first one goes on."""
    sessions = SessionProvider(secret=SECRET, redis_url=valkey.url)
    app = FastAPI()
    app.include_router(sessions.health_router())

    async def health() -> int:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get("/healthz")).status_code

    async def in_two_loops() -> list[int]:
        async with sessions:
            return [await health(), await asyncio.to_thread(asyncio.run, health()), await health()]

    assert asyncio.run(in_two_loops()) == [200, 503, 200]
    assert "give each loop its own" in caplog.text
