"""Tests of jwtsession.stores.redis.executor that need no server; the contract of a store has the others."""

import gc

import pytest

from jwtsession import RedisSessionStore, StoreUnavailableError
from tests import servers


async def test_a_load_that_fails_leaves_nothing_to_the_collector() -> None:
    """With a server that is down: none of the errors of both tries refers to a frame that refers to it."""
    store = RedisSessionStore(f"redis://127.0.0.1:{servers.free_port()}")

    async def fail() -> None:
        for load in (store.load, store.load_generation):
            with pytest.raises(StoreUnavailableError):
                await load("a")

    await fail()
    gc.collect()
    gc.disable()
    try:
        await fail()
        assert gc.collect() == 0
    finally:
        gc.enable()
    await store.close()
