"""`MemorySessionStore`'s index of a user's sessions."""

import random
import time

from jwtsession import MemorySessionStore
from jwtsession.stores import Entry
from tests.conftest import Clock

HOUR = 3_600_000


async def test_it_is_what_a_sorted_dictionary_would_be(clock: Clock) -> None:
    """Whatever enters, is confirmed, noted and leaves: the pages have all entries once, in their order."""
    chance, store = random.Random(2), MemorySessionStore(clock)
    expected: dict[str, Entry] = {}
    for order in range(1, 3_000):
        session_id = f"{chance.randrange(100)}"
        if chance.random() < 0.4:
            await store.index_remove("ann", [session_id])
            expected.pop(session_id, None)
            continue
        confirmed = chance.random() < 0.5
        added = await store.index_add("ann", session_id, b"%d" % order, order, HOUR, confirmed=confirmed, sample=5)
        old = expected.get(session_id)
        if old is None or (confirmed and not old.confirmed):
            expected.pop(session_id, None)
        expected[session_id] = Entry(0, b"%d" % order if old is None else old.data, order, confirmed)
        assert (added.was_present, added.total) == (old is not None, len(expected))
        assert len(added.sample) == min(5, len(expected))
        assert added.sample.keys() <= expected.keys()
        if order % 50 == 0:
            found, cursor = list[tuple[str, Entry]](), 0
            while True:
                page = await store.index_page("ann", cursor, 7)
                found += page.entries.items()
                cursor = page.cursor
                if not cursor:
                    break
            assert [(each, Entry(0, *entry[1:])) for each, entry in found] == [*expected.items()]
            assert [entry.order for _, entry in found] == sorted(entry.order for _, entry in found)


async def test_a_page_of_30_000_sessions_is_not_read_through_all_of_them(clock: Clock) -> None:
    """Wherever pages begin: a page, what a look at it removes, and a login take less than a millisecond of CPU each."""
    store = MemorySessionStore(clock)
    for number in range(30_000):
        await store.index_add("ann", f"{number}", b"", 1.0, HOUR)
    began = time.thread_time()
    for cursor in range(0, 30_000, 300):
        page = await store.index_page("ann", cursor, 50)
        await store.index_prune("ann", dict([*page.entries.items()][:1]))
        await store.index_add("ann", f"new {cursor}", b"", 1.0, HOUR, sample=20)
    assert (time.thread_time() - began) / 300 < 0.001
