"""The answer for a load balancer: whether the store answers, soon, whatever has become of it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from jwtsession import MemorySessionStore, SessionProvider
from jwtsession.stores.redis._exchange import DEADLINE_SECONDS
from tests import servers
from tests.conftest import SECRET
from tests.proxy import Proxy
from tests.web import bearer, in_process

# The rest is for a slow machine.
IN_TIME = DEADLINE_SECONDS + 5.5


def application(redis_url: str) -> FastAPI:
    sessions = SessionProvider(secret=SECRET, redis_url=redis_url)
    app = FastAPI(lifespan=sessions.lifespan)
    app.include_router(sessions.health_router())
    return app


def health(client: httpx2.Client, path: str = "/healthz") -> bool:
    """Whether it says that the store answers; in time, and never one thing by its status and another by its body."""
    start = time.monotonic()
    answer = client.get(path)
    assert time.monotonic() - start < IN_TIME
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.status_code, answer.json()) in [(200, {"status": "ok"}), (503, {"status": "unavailable"})]
    return answer.is_success


def test_up(engine: servers.Server) -> None:
    """200 where the store answers, with no token, with a bad one, and with two."""
    with in_process(application(engine.url)) as client:
        assert health(client)
        for headers in (bearer("bad"), bearer("bad") | {"x-access-token": "another"}):
            assert client.get("/healthz", headers=headers).json() == {"status": "ok"}


def test_down_at_start(tmp_path: Path) -> None:
    """The application starts and says 503, and 200 when the server has come."""
    server = servers.valkey(tmp_path)
    with in_process(application(server.url)) as client:
        assert not health(client)
        server.start()
        try:
            assert health(client)
        finally:
            server.kill()


def test_killed_and_back(tmp_path: Path) -> None:
    """503 while the server is gone, 200 before and after, time and again."""
    server = servers.valkey(tmp_path).start()
    try:
        with in_process(application(server.url)) as client:
            for _ in range(3):
                assert health(client)
                server.kill()
                assert not health(client)
                server.start()
            assert health(client)
    finally:
        server.kill()


@pytest.mark.parametrize("fault", ["black_hole", "mute"])
def test_no_answer(valkey: servers.Server, fault: str) -> None:
    """A server that says nothing is 503 within the store's deadline, and 200 when it says something again."""
    with Proxy(valkey.port).running() as proxy, in_process(application(proxy.url)) as client:
        assert health(client)
        setattr(proxy, fault, True)
        start = time.monotonic()
        assert not health(client)
        print(f"{fault}: 503 after {time.monotonic() - start:.2f} s")
        setattr(proxy, fault, False)
        assert health(client)


def test_refused(tmp_path: Path) -> None:
    """A server that lets the application do nothing is 503: a wrong password, a missing right."""
    server = servers.valkey(tmp_path).start()
    try:
        server.command("ACL", "SETUSER", "sessions", "on", ">right", "~*", "+@all", "-ping")
        for password in ("wrong", "right"):
            url = f"redis://sessions:{password}@127.0.0.1:{server.port}/0"
            with in_process(application(url)) as client:
                assert not health(client)
                server.command("ACL", "SETUSER", "sessions", "+ping")
                assert health(client) is (password == "right")
                server.command("ACL", "SETUSER", "sessions", "-ping")
    finally:
        server.kill()


def test_a_replica(engine: servers.Server) -> None:
    """200: it answers. Whether it takes writes is not asked."""
    with in_process(application(engine.url)) as client:
        engine.command("REPLICAOF", "127.0.0.1", "1")
        try:
            assert health(client)
        finally:
            engine.command("REPLICAOF", "NO", "ONE")


def test_a_cluster_and_sentinels(cluster_server: servers.Server, sentinel_server: servers.Server) -> None:
    """200 there too."""
    for url in (
        f"redis+cluster://127.0.0.1:{cluster_server.port}",
        f"redis+sentinel://127.0.0.1:{sentinel_server.port}/mymaster",
    ):
        with in_process(application(url)) as client:
            assert health(client)


def test_a_path_of_ones_own() -> None:
    """Any path, under any prefix, one for each of several providers."""
    both = [SessionProvider(secret=SECRET, store=MemorySessionStore(), request_key=name) for name in ("one", "two")]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with both[0].lifespan(app), both[1].lifespan(app):
            yield

    app = FastAPI(lifespan=lifespan)
    for name, sessions in zip(("one", "two"), both, strict=True):
        app.include_router(sessions.health_router(f"/ready/{name}"), prefix="/ops")
    with in_process(app) as client:
        assert health(client, "/ops/ready/one")
        assert health(client, "/ops/ready/two")
        assert client.get("/healthz").status_code == 404


def test_the_document() -> None:
    """OpenAPI shows both answers, each with its schema and its words, and demands no token."""
    app = application("redis://localhost")
    (operation,) = app.openapi()["paths"]["/healthz"].values()
    assert operation["tags"] == ["health"]
    assert operation.keys() >= {"summary", "description"}
    assert "security" not in operation
    assert operation["responses"].keys() == {"200", "503"}
    for answer, status in zip(operation["responses"].values(), ["ok", "unavailable"], strict=True):
        shown = answer["content"]["application/json"]
        assert shown["example"] == {"status": status}
        assert shown["schema"]["additionalProperties"] == {"type": "string"}
