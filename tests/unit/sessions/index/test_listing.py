"""`SessionListing`."""

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from jwtsession import InvalidArgumentError
from jwtsession.sessions.encryption import PlaintextSealer
from jwtsession.sessions.index.entries import EntryCodec
from jwtsession.sessions.index.listing import STEP, SessionListing
from jwtsession.stores import Entry
from tests.conftest import Clock

NUMBER = 5 * STEP


class OnePage:
    """An index that gives all at once, and counts the event loop's turns from then on."""

    def __init__(self, number: int, clock: Clock) -> None:
        chance = random.Random(1)
        self.seen = {f"{each:0>43}": clock() - chance.randrange(number) for each in range(number)}
        self.turns = 0

    async def living(self, name: str) -> AsyncGenerator[list[tuple[str, Entry, int]]]:
        """The sessions, under the newest name."""
        if not name.startswith("former:"):
            self.turns = 0
            yield [(each, Entry(1, b'{"created":1}', seen), 1000) for each, seen in self.seen.items()]

    async def count(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)

    def expected(self) -> list[str]:
        return sorted(self.seen, key=lambda each: self.seen[each], reverse=True)


def listing(pages: OnePage, clock: Clock, most: int) -> SessionListing:
    given: Any = pages
    return SessionListing(given, EntryCodec([b"k" * 32], PlaintextSealer()), clock, most)


@pytest.mark.parametrize("most", [NUMBER, NUMBER // 5])
async def test_sessions_are_sorted_step_by_step(clock: Clock, most: int) -> None:
    """The one used last comes first, as one sort would have it, and others are served after at most `STEP` sessions."""
    pages = OnePage(NUMBER, clock)
    others = asyncio.create_task(pages.count())
    await asyncio.sleep(0)
    found = await listing(pages, clock, most).sessions("ann")
    turns = pages.turns
    others.cancel()
    assert [each.id for each in found] == pages.expected()[:most]
    assert turns >= (NUMBER + most) // STEP - 1


async def test_a_short_list_takes_no_turn_of_its_own(clock: Clock) -> None:
    """Whoever has a few sessions waits for nobody else."""
    pages = OnePage(STEP // 2, clock)
    others = asyncio.create_task(pages.count())
    await asyncio.sleep(0)
    found = await listing(pages, clock, STEP).sessions("ann")
    assert pages.turns == 0
    others.cancel()
    assert [each.id for each in found] == pages.expected()


async def test_no_more_than_the_limit_are_listed(clock: Clock) -> None:
    """`limit` gives those used last; a limit beyond what a user can have gives all."""
    pages = OnePage(9, clock)
    made = listing(pages, clock, 8)
    assert [each.id for each in await made.sessions("ann", limit=3)] == pages.expected()[:3]
    assert [each.id for each in await made.sessions("ann", limit=100)] == pages.expected()[:8]


async def test_the_session_that_asks_is_listed_however_long_ago_it_was_used(clock: Clock) -> None:
    """It takes the last place of those that the limit permits, also where it was found long before the end."""
    pages = OnePage(2 * STEP, clock)
    current_id = pages.expected()[-1]
    found = await listing(pages, clock, NUMBER).sessions("ann", current_id, limit=3)
    assert [each.id for each in found] == [*pages.expected()[:2], current_id]
    assert [each.current for each in found] == [False, False, True]
    found = await listing(pages, clock, NUMBER).sessions("ann", pages.expected()[0], limit=3)
    assert [each.id for each in found] == pages.expected()[:3]


@pytest.mark.parametrize("limit", [0, -1, "1", 1.0, True])
async def test_a_limit_is_a_positive_number(clock: Clock, limit: Any) -> None:
    """Anything else is an error that names the argument."""
    with pytest.raises(InvalidArgumentError, match=r"^limit: "):
        await listing(OnePage(1, clock), clock, 8).sessions("ann", limit=limit)
