"""What a server refuses because of its place among others: demoted, without its replicas, loading.

`pytest -rP` shows how long the answers took.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from jwtsession.stores import Outcome
from tests import servers
from tests.engines.load import application, opened, serving
from tests.proxy import Proxy
from tests.web import bearer

HOUR = 3_600_000


@pytest.fixture
def replica(tmp_path: Path, engine: servers.Server) -> Iterator[servers.Server]:
    """Of the engine."""
    engine.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    replica = servers.Server(engine.binary, tmp_path, "--replicaof", "127.0.0.1", str(engine.port)).start()
    replica.wait_until(b"master_link_status:up", "INFO", "replication")
    yield replica
    engine.command("REPLICAOF", "NO", "ONE")
    replica.stop()


async def status(client: httpx2.AsyncClient, method: str, path: str, **options: Any) -> int:
    start = time.monotonic()
    answer = await client.request(method, path, **options)
    print(f"{method} {path}: {answer.status_code} after {time.monotonic() - start:.3f} s")
    return answer.status_code


async def test_an_address_that_leads_to_another_primary(engine: servers.Server, replica: servers.Server) -> None:
    """When the primary becomes a replica and its address leads to the new one, no call fails: all connect anew."""
    ids = [f"session-{number:0>20}" for number in range(30)]
    with Proxy(engine.port).running() as address:
        async with opened(address.url) as store:
            assert all(await asyncio.gather(*(store.create(each, b"1", HOUR) for each in ids)))
            assert await asyncio.gather(*(store.load(each) for each in ids)) == [b"1"] * 30
            engine.command("CLIENT", "PAUSE", "200", "WRITE")
            servers.until(lambda: replica.ask("DBSIZE") == 30, "the replica to have all")
            replica.command("REPLICAOF", "NO", "ONE")
            engine.command("REPLICAOF", "127.0.0.1", str(replica.port))
            address.upstream = replica.port
            start = time.monotonic()
            assert await store.update(ids[0], b"1", b"2", HOUR, retry=False) is Outcome.DONE
            print(f"update: done after {time.monotonic() - start:.3f} s")
            assert await asyncio.gather(*(store.touch(each, HOUR) for each in ids)) == [True] * 30
            assert await asyncio.gather(*(store.load(each) for each in ids)) == [b"2", *[b"1"] * 29]


async def test_a_primary_without_its_replicas(engine: servers.Server) -> None:
    """Where the server demands replicas and has none, reads go on and writes are 503, until it has them."""
    async with serving(application(engine.url)) as client:
        token = (await client.post("/session", params={"number": 7})).json()["access_token"]
        engine.command("CONFIG", "SET", "min-replicas-to-write", "1")
        try:
            assert await status(client, "POST", "/session", params={"number": 7}) == 503
            assert await status(client, "POST", "/session/count", headers=bearer(token)) == 503
            assert await status(client, "DELETE", "/session", headers=bearer(token)) == 503
            assert await status(client, "GET", "/session", headers=bearer(token)) == 200
        finally:
            engine.command("CONFIG", "SET", "min-replicas-to-write", "0")
        assert (await client.delete("/session", headers=bearer(token))).status_code == 204


async def test_a_server_that_loads_its_data(tmp_path: Path) -> None:
    """While a server reads its data from the disk requests are 503, and afterwards they are served."""
    slow = (
        "--enable-debug-command",
        "yes",
        "--key-load-delay",
        "2000",
        "--loading-process-events-interval-bytes",
        "1024",
    )
    server = servers.valkey(tmp_path, "--enable-debug-command", "yes", *slow).start()
    try:
        async with serving(application(server.url)) as client:
            token = (await client.post("/session", params={"number": 7})).json()["access_token"]
            server.command("DEBUG", "POPULATE", "500", "filler", "100")
            server.command("SAVE")
            server.kill()
            server.spawn()
            await asyncio.to_thread(server.wait_until, b"-LOADING", "GET", "key")
            assert await status(client, "GET", "/session", headers=bearer(token)) == 503
            assert (await client.get("/ready")).json() is False
            await asyncio.to_thread(server.wait_until, b"+PONG", "PING")
            assert (await client.get("/session", headers=bearer(token))).json() == {"number": 7, "count": 0}
    finally:
        server.stop()
