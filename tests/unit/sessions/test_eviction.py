"""What is said of a server that may evict a user's index."""

import logging
from typing import Any

import pytest

from jwtsession import MemorySessionStore, StoreUnavailableError
from jwtsession.sessions.eviction import AtRisk, EvictionWatch
from tests.conftest import Clock

Told = dict[str, tuple[str, int] | None]

SAFE: Told = {"one": ("noeviction", 1)}
EVICTS: Told = {"one": ("noeviction", 1), "two": ("allkeys-lru", 1), "three": ("volatile-ttl", 1)}
WILL_EVICT: Told = {"one": ("volatile-lru", 0)}
SILENT: Told = {"one": None, "two": ("noeviction", 0)}


class Telling:
    """A store that tells policies, or does not answer."""

    def __init__(self, told: Told | None) -> None:
        self.told = told
        self.asked = 0

    async def eviction_policies(self) -> Told:
        self.asked += 1
        if self.told is None:
            raise StoreUnavailableError
        return self.told


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="jwtsession")
    return caplog


def watch(store: object, clock: Clock) -> EvictionWatch:
    made: Any = store
    return EvictionWatch(made, clock, AtRisk(has_index=True))


@pytest.mark.parametrize(
    ("told", "level", "words"),
    [
        (EVICTS, "ERROR", ["allkeys-lru, volatile-ttl", "Set maxmemory-policy to noeviction", "three, two"]),
        (WILL_EVICT, "WARNING", ["volatile-lru", "as soon as it has a maxmemory", "noeviction"]),
        (SILENT, "INFO", ["does not tell", "+info", "noeviction", "Servers: one"]),
    ],
)
async def test_it_names_policy_server_and_remedy(
    told: Told, level: str, words: list[str], clock: Clock, log: pytest.LogCaptureFixture
) -> None:
    """Where a server evicts it is an error, where it will a warning, and where that can't be read it is told."""
    await watch(Telling(told), clock).look()
    (record,) = log.records
    assert record.levelname == level
    for word in words:
        assert word in record.getMessage()


@pytest.mark.parametrize(
    ("policy", "index", "level"),
    [
        ("noeviction", False, None),
        ("volatile-lru", False, None),
        ("volatile-lru", True, "ERROR"),
        ("allkeys-lru", False, "ERROR"),
    ],
)
async def test_the_time_of_revoke_before_can_be_lost_too(
    policy: str, index: bool, level: str | None, clock: Clock, log: pytest.LogCaptureFixture
) -> None:
    """It has no time to live, so only a policy for all keys evicts it. The message says what is at risk."""
    store: Any = Telling({"one": (policy, 1)})
    await EvictionWatch(store, clock, AtRisk(has_index=index, has_cutoff=True)).look()
    assert [record.levelname for record in log.records] == ([level] if level else [])
    for record in log.records:
        assert "it may lose " in record.getMessage()
        assert "the time of revoke_before()." in record.getMessage()
        assert ("a user's index" in record.getMessage()) is index


@pytest.mark.parametrize(("policy", "is_bad"), [("noeviction", False), ("volatile-ttl", True), ("allkeys-lru", True)])
@pytest.mark.parametrize(
    ("options", "told"),
    [({"has_proofs": True}, "the proofs of possession"), ({"has_generations": True}, "which token of a session")],
)
async def test_used_proofs_and_generations_can_be_lost_too(
    policy: str, is_bad: bool, options: dict[str, bool], told: str, clock: Clock, log: pytest.LogCaptureFixture
) -> None:
    """They have a time to live, so each policy that evicts can evict them."""
    store: Any = Telling({"one": (policy, 1)})
    await EvictionWatch(store, clock, AtRisk(**options)).look()
    assert [told in record.getMessage() for record in log.records] == [True] * is_bad


@pytest.mark.parametrize("store", [Telling(SAFE), MemorySessionStore()])
async def test_of_a_safe_server_nothing_is_said(store: object, clock: Clock, log: pytest.LogCaptureFixture) -> None:
    """Nor of a store that evicts nothing at all."""
    looking = watch(store, clock)
    await looking.look()
    await looking.pinged(True)
    assert not log.records


async def test_a_ping_after_a_failed_one_looks_again(clock: Clock, log: pytest.LogCaptureFixture) -> None:
    """Another server may have taken the place of the first; what has been said is not said twice."""
    store = Telling(WILL_EVICT)
    looking = watch(store, clock)
    await looking.look()
    for _ in range(3):
        await looking.pinged(True)
    assert store.asked == 1
    await looking.pinged(False)
    await looking.pinged(True)
    assert (store.asked, len(log.records)) == (2, 1)
    store.told = EVICTS
    await looking.pinged(False)
    await looking.pinged(True)
    assert [record.levelname for record in log.records] == ["WARNING", "ERROR"]


async def test_a_ping_looks_again_after_five_minutes(clock: Clock) -> None:
    """A policy can be changed while a server runs."""
    store = Telling(SAFE)
    looking = watch(store, clock)
    await looking.look()
    clock.advance(299)
    await looking.pinged(True)
    assert store.asked == 1
    clock.advance(1)
    await looking.pinged(True)
    assert store.asked == 2


async def test_a_server_that_does_not_answer_is_asked_by_the_next_ping(clock: Clock) -> None:
    """An application starts without its store, and what could not be read then is read later."""
    store = Telling(None)
    looking = watch(store, clock)
    await looking.look()
    store.told = SAFE
    await looking.pinged(True)
    await looking.pinged(True)
    assert store.asked == 2
