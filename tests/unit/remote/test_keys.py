"""Tests of jwtsession.remote.keys: when keys are fetched, and what happens if they can't be."""

import asyncio
import json
import logging
from typing import Any

import pytest

from jwtsession import StoreUnavailableError
from jwtsession.remote import RemoteKeys
from jwtsession.remote.client import RemoteError
from jwtsession.tokens import KeyRing, KeySpec
from tests.conftest import Clock
from tests.keymaterial import pem, private_key

URL = "https://issuer.example/keys"


def document(*names: str) -> bytes:
    keys = [
        key
        for number, name in enumerate(names)
        for key in KeyRing([KeySpec(name, pem(private_key("ES256", number + 1)))], "ES256").jwks()["keys"]
    ]
    return json.dumps({"keys": keys}).encode()


class Issuer:
    """Stands for `RemoteClient`: counts what it is asked, and answers when the test lets it."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: bytes | None = document("a")
        self.open = asyncio.Event()
        self.open.set()

    async def get(self, url: str) -> bytes:
        assert url == URL
        self.asked += 1
        await self.open.wait()
        if self.answer is None:
            raise RemoteError("it answered 500")
        return self.answer


class World:
    def __init__(self) -> None:
        self.issuer, self.clock = Issuer(), Clock()
        client: Any = self.issuer
        self.keys = RemoteKeys(client, URL, "ES256", refresh_interval=300, min_interval=10, clock=self.clock)

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def world() -> World:
    return World()


async def test_the_first_call_fetches_and_later_ones_do_not(world: World) -> None:
    """One fetch, and nothing before the first call."""
    assert world.issuer.asked == 0
    ring = await world.keys.current()
    assert ring.knows("a")
    assert await world.keys.current() is ring
    assert world.issuer.asked == 1


async def test_many_first_calls_are_one_fetch(world: World) -> None:
    """Single flight: a hundred requests at the start wait for the same answer, and one that goes away ends nothing."""
    world.issuer.open.clear()
    waiting = [asyncio.ensure_future(world.keys.current()) for _ in range(100)]
    await world.settle()
    waiting.pop(0).cancel()
    await world.settle()
    world.issuer.open.set()
    assert len({id(ring) for ring in await asyncio.gather(*waiting)}) == 1
    assert world.issuer.asked == 1


async def test_the_refresh_is_in_the_background(world: World) -> None:
    """After `refresh_interval` the next call starts it, and gets the old keys at once."""
    old = await world.keys.current()
    world.clock.advance(299)
    await world.keys.current()
    await world.settle()
    assert world.issuer.asked == 1
    world.clock.advance(1)
    world.issuer.answer = document("b")
    world.issuer.open.clear()
    for _ in range(3):
        assert await world.keys.current() is old
    await world.settle()
    world.issuer.open.set()
    await world.settle()
    new = await world.keys.current()
    assert (new.knows("a"), new.knows("b")) == (False, True)
    assert world.issuer.asked == 2


async def test_an_unknown_name_makes_a_fetch_but_a_storm_makes_one(world: World) -> None:
    """However many tokens name unknown keys, there is one fetch in `min_interval`."""
    ring = await world.keys.current()
    world.clock.advance(10)
    found = await asyncio.gather(*(world.keys.search(f"x{number}", ring) for number in range(500)))
    assert found == [None] * 500
    for second in range(30):
        world.clock.advance(1)
        for number in range(20):
            assert await world.keys.search(f"y{second}-{number}", await world.keys.current()) is None
    assert world.issuer.asked == 2 + 3


async def test_a_new_key_is_found(world: World) -> None:
    """At the first token that names it, if the last fetch is `min_interval` ago; not before."""
    ring = await world.keys.current()
    world.issuer.answer = document("a", "b")
    world.clock.advance(9)
    assert await world.keys.search("b", ring) is None
    world.clock.advance(1)
    found = await world.keys.search("b", ring)
    assert found is not None
    assert found.knows("b")
    assert await world.keys.search("b", ring) is found  # a request that began with the old keys
    assert world.issuer.asked == 2


async def test_old_keys_stay_if_new_ones_can_not_be_fetched(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An outage, and a set that can't be used: the log says so; an unknown name is then a 503, since nobody knows."""
    old = await world.keys.current()
    for answer in (None, b"", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'):
        world.issuer.answer = answer
        world.clock.advance(300)
        assert await world.keys.current() is old
        await world.settle()
        assert await world.keys.current() is old
        with pytest.raises(StoreUnavailableError) as refused:
            await world.keys.search("b", old)
        assert refused.value.code == "keys_unavailable"
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 4
    assert "the old ones stay in use" in warnings[0].message
    assert "c2VjcmV0" not in caplog.text
    world.issuer.answer = document("b")
    world.clock.advance(10)
    found = await world.keys.search("b", old)
    assert found is not None


async def test_a_refresh_that_failed_is_tried_again_soon(world: World) -> None:
    """A key that the issuer has removed must not stay good for a second `refresh_interval`."""
    await world.keys.current()
    world.issuer.answer = None
    world.clock.advance(300)
    for asked in (2, 3, 4):
        for _ in range(3):
            await world.keys.current()
            await world.settle()
        assert world.issuer.asked == asked
        world.clock.advance(10)
    world.issuer.answer = document("b")
    await world.keys.current()
    await world.settle()
    assert not (await world.keys.current()).knows("a")


async def test_after_a_quiet_time_nobody_gets_the_old_keys(world: World) -> None:
    """Who has stolen a key waits for a service that nobody used since the issuer has removed it. An outage is none."""
    await world.keys.current()
    world.issuer.answer = document("b")
    world.issuer.open.clear()
    world.clock.advance(600)
    waiting = [asyncio.ensure_future(world.keys.current()) for _ in range(3)]
    await world.settle()
    waiting.append(asyncio.ensure_future(world.keys.current()))
    await world.settle()
    assert not any(each.done() for each in waiting)
    world.issuer.open.set()
    assert not any(ring.knows("a") for ring in await asyncio.gather(*waiting))
    assert world.issuer.asked == 2
    world.issuer.answer = None
    world.clock.advance(600)
    assert (await world.keys.current()).knows("b")
    assert world.issuer.asked == 3


async def test_without_any_keys_it_is_a_503(world: World) -> None:
    """Never a 401; the next try is a second later, not `min_interval` later."""
    world.issuer.answer = None
    for _ in range(50):
        with pytest.raises(StoreUnavailableError) as refused:
            await world.keys.current()
        assert refused.value.code == "keys_unavailable"
    assert world.issuer.asked == 1
    world.issuer.answer = document("a")
    world.clock.advance(1)
    assert (await world.keys.current()).knows("a")
    assert world.issuer.asked == 2


async def test_a_clock_that_is_set_back_stops_nothing(world: World) -> None:
    """The next call refreshes, instead of waiting for the old time."""
    await world.keys.current()
    world.clock.advance(-1000)
    await world.keys.current()
    await world.settle()
    assert world.issuer.asked == 2


async def test_the_end_cancels_a_fetch(world: World) -> None:
    """`close()` leaves no task behind, who waits gets a 503 and is not cancelled, and a later call fetches anew."""
    world.issuer.open.clear()
    waiting = asyncio.ensure_future(world.keys.current())
    await world.settle()
    await world.keys.close()
    with pytest.raises(StoreUnavailableError, match="keys_unavailable"):
        await waiting
    world.issuer.open.set()
    world.clock.advance(1)
    assert (await world.keys.current()).knows("a")


def test_another_event_loop_fetches_anew() -> None:
    """A fetch that another loop left behind is nobody's to wait for."""
    world: list[World] = []

    async def leave() -> None:
        world.append(World())
        world[0].issuer.open.clear()
        waiting = asyncio.ensure_future(world[0].keys.current())
        await world[0].settle()
        waiting.cancel()

    async def come() -> None:
        world[0].issuer.open = asyncio.Event()
        world[0].issuer.open.set()
        world[0].clock.advance(1)
        assert (await world[0].keys.current()).knows("a")

    asyncio.run(leave())
    asyncio.run(come())


@pytest.mark.parametrize("is_done", [True, False])
def test_the_end_in_another_event_loop(is_done: bool) -> None:
    """A fetch of a loop that has ended does not stop `close()`, whether it was done or not."""
    world: list[World] = []

    async def begin() -> None:
        world.append(World())
        if not is_done:
            world[0].issuer.open.clear()
        waiting = asyncio.ensure_future(world[0].keys.current())
        await world[0].settle()
        assert waiting.done() is is_done

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    if is_done:
        loop.close()
    asyncio.run(world[0].keys.close())
    if not is_done:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
