"""`judge`: the table of rotation. The contract of the stores holds the script against it."""

import pytest

from jwtsession import MemorySessionStore, RedisSessionStore
from jwtsession.stores import CachedSessionStore, Generation, Verdict, has_rotation, judge

NOW, GRACE = 1_000_000, 30_000


def told(newest: Generation | None, presented: int, *, due: bool = False) -> tuple[Verdict, Generation]:
    return judge(newest, presented, NOW, due=due, grace=GRACE)


@pytest.mark.parametrize("newest", [None, Generation(2, 0), Generation(2, 5)])
def test_a_newer_token_than_the_store_knows_is_believed(newest: Generation | None) -> None:
    """We have signed it, so the store has lost a write. Its generation is the newest from now on, and it is in use."""
    assert told(newest, 3) == (Verdict.CURRENT, Generation(3, NOW))
    assert told(newest, 3, due=True) == (Verdict.ROTATED, Generation(4, 0))


def test_the_first_use_of_the_newest_token_is_noted() -> None:
    """Once: a later use changes nothing."""
    assert told(Generation(3, 0), 3) == (Verdict.CURRENT, Generation(3, NOW))
    assert told(Generation(3, 7), 3) == (Verdict.CURRENT, Generation(3, 7))


@pytest.mark.parametrize("used", [0, 7])
def test_the_newest_token_is_replaced_where_that_is_due(used: int) -> None:
    """Nobody has used the new one then."""
    assert told(Generation(3, used), 3, due=True) == (Verdict.ROTATED, Generation(4, 0))


@pytest.mark.parametrize("due", [False, True])
def test_a_replaced_token_gets_the_new_one_again_until_somebody_has_used_that(due: bool) -> None:
    """However old it is: the answer with the new one may have been lost. No second new one begins."""
    assert told(Generation(4, 0), 3, due=due) == (Verdict.AGAIN, Generation(4, 0))


@pytest.mark.parametrize("due", [False, True])
def test_a_replaced_token_is_good_for_the_grace_after_the_first_use_of_the_new_one(due: bool) -> None:
    """To the millisecond, and it gets nothing: the client that has the new one is alive. Then it is a reuse."""
    for used in (NOW - GRACE + 1, NOW, NOW + 60_000):  # the last one: another worker's clock goes before
        assert told(Generation(4, used), 3, due=due) == (Verdict.LATE, Generation(4, used))
    assert told(Generation(4, NOW - GRACE), 3, due=due) == (Verdict.REUSE, Generation(4, NOW - GRACE))


def test_without_a_grace_a_replaced_token_is_a_reuse_as_soon_as_the_new_one_is_used() -> None:
    """`rotation.grace=0`."""
    assert judge(Generation(4, NOW), 3, NOW, due=False, grace=0) == (Verdict.REUSE, Generation(4, NOW))


@pytest.mark.parametrize("used", [0, NOW])
def test_a_token_that_was_replaced_twice_is_a_reuse(used: int) -> None:
    """Somebody has used its successor, or there would be no second one."""
    assert told(Generation(5, used), 3, due=True) == (Verdict.REUSE, Generation(5, used))


def test_the_same_question_again_gives_the_same_token() -> None:
    """A reply may be lost after the store has begun the next generation: the second try tells it again."""
    verdict, newest = told(Generation(3, 7), 3, due=True)
    assert verdict is Verdict.ROTATED
    assert told(newest, 3, due=True) == (Verdict.AGAIN, newest)


def test_which_stores_can_rotate() -> None:
    """The near cache reads from memory, where no generation is; an object without the methods is no such store."""
    assert has_rotation(RedisSessionStore("redis://127.0.0.1:1/0"))
    assert has_rotation(MemorySessionStore())
    assert not has_rotation(CachedSessionStore(RedisSessionStore("redis://127.0.0.1:1/0"), 1000))
    assert not has_rotation(object())
