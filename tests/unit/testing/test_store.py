"""`InspectableStore`: what is stored can be seen and replaced."""

import pytest

from jwtsession.testing import Clock, InspectableStore, StoredSession

pytestmark = pytest.mark.anyio


async def test_contents_show_what_is_stored_and_until_when() -> None:
    """Each session's value and end are there, and to look at them extends nothing."""
    clock = Clock(100.0)
    store = InspectableStore(clock)
    await store.create("one", b"1", 5000)
    clock.advance(4)
    assert store.contents == {"one": StoredSession(b"1", 105.0)}
    clock.advance(1)
    assert store.contents == {}


async def test_contents_are_a_copy() -> None:
    """What was seen stays as it was seen, and to change it changes nothing that is stored."""
    store = InspectableStore(Clock())
    await store.create("one", b"1", 5000)
    before = store.contents
    await store.update("one", b"1", b"2", 5000)
    assert before["one"].value == b"1"
    before.clear()
    assert store.contents["one"].value == b"2"


async def test_put_replaces_a_value_whatever_it_is() -> None:
    """The new value is loaded; its time to live is the old one's, or the one that is given."""
    clock = Clock(100.0)
    store = InspectableStore(clock)
    await store.create("one", b"1", 5000)
    clock.advance(1)
    store.put("one", b"garbage")
    assert store.contents["one"] == (b"garbage", 105.0)
    store.put("one", b"more", 3000)
    assert store.contents["one"] == (b"more", 104.0)
    assert await store.load("one") == b"more"


async def test_put_without_a_time_to_live_needs_a_session() -> None:
    """Nothing is stored for ever by mistake: where there is no session, and none any more, it is a `KeyError`."""
    clock = Clock()
    store = InspectableStore(clock)
    await store.create("one", b"1", 1000)
    clock.advance(1)
    for session_id in ("one", "another"):
        with pytest.raises(KeyError):
            store.put(session_id, b"2")
    assert store.contents == {}
