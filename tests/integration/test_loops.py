"""A store that is used in one event loop after another, as by jobs that each have an `asyncio.run`."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from jwtsession import RedisSessionStore
from jwtsession.stores import CachedSessionStore
from tests import servers

pytestmark = pytest.mark.ci

HOUR = 3_600_000


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nothing is left to the collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=["redis", "near", "redis+cluster", "redis+sentinel"])
def store(request: pytest.FixtureRequest, valkey: servers.Server) -> RedisSessionStore | CachedSessionStore:
    if request.param == "redis+cluster":
        server: servers.Server = request.getfixturevalue("cluster_server")
        return RedisSessionStore(f"redis+cluster://127.0.0.1:{server.port}")
    if request.param == "redis+sentinel":
        server = request.getfixturevalue("sentinel_server")
        return RedisSessionStore(f"redis+sentinel://127.0.0.1:{server.port}/mymaster")
    redis = RedisSessionStore(valkey.url)
    return CachedSessionStore(redis, 1_000_000) if request.param == "near" else redis


async def job(store: RedisSessionStore | CachedSessionStore, number: int) -> None:
    """Some connections, in the pool and for loads, and the one of a near cache."""
    ids = [f"session-{number}-{each}" for each in range(5)]
    await asyncio.gather(*(store.create(each, b"1", HOUR) for each in ids))
    await asyncio.gather(*(store.load(each, allow_cached=True) for each in ids))


@pytest.mark.usefixtures("uncollected")
def test_a_job_leaves_no_descriptor_behind(store: RedisSessionStore | CachedSessionStore) -> None:
    """60 jobs with an `asyncio.run` each have as many when they are over as there were before."""
    before = descriptors()
    for number in range(60):
        asyncio.run(job(store, number))
        assert descriptors() == before
    asyncio.run(store.close())
    assert descriptors() == before


@pytest.mark.usefixtures("uncollected")
def test_close_leaves_no_descriptor_behind(store: RedisSessionStore | CachedSessionStore) -> None:
    """What is closed in the loop that used it is closed then, and can be opened again."""

    async def twice() -> None:
        for number in range(2):
            before = descriptors()
            await store.open()
            await job(store, number)
            assert descriptors() > before
            await store.close()
            await asyncio.sleep(0)  # a transport closes its socket in the next turn of the loop
            assert descriptors() == before

    asyncio.run(twice())
