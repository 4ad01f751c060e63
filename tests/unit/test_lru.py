"""Tests of jwtsession._lru."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwtsession._lru import ByteLRU
from tests.properties import exact

Value = tuple[str, int]
"""With its cost."""


def lru(limit: int = 10, **values: int) -> ByteLRU[str, Value]:
    """Each value by its cost."""
    made: ByteLRU[str, Value] = ByteLRU(limit, lambda key, value: value[1])
    for key, cost in values.items():
        made.put(key, (key.upper(), cost))
    return made


def keys(made: ByteLRU[str, Value]) -> list[str]:
    return [key for key, _ in made.items()]


def test_a_value_is_found_by_its_key() -> None:
    """A key that is not there gives None."""
    made = lru(a=1)
    assert made.get("a") == ("A", 1)
    assert made.get("b") is None
    assert len(made) == made.size == 1


def test_what_was_not_used_for_longest_is_evicted_first() -> None:
    """To get a value is to use it; to list all is not."""
    made = lru(a=4, b=4)
    assert made.get("a") == ("A", 4)
    assert list(made.items()) == [("b", ("B", 4)), ("a", ("A", 4))]
    made.put("c", ("C", 4))
    assert keys(made) == ["a", "c"]
    assert made.size == 8


def test_as_many_are_evicted_as_a_value_needs() -> None:
    """A large value may cost several small ones, and those that fit beside it stay."""
    made = lru(a=3, b=3, c=3)
    made.put("d", ("D", 7))
    assert keys(made) == ["c", "d"]
    assert made.size == 10


def test_a_second_value_takes_the_place_of_the_first() -> None:
    """It is counted once, with its own cost, and is the most recently used."""
    made = lru(a=9, b=1)
    made.put("a", ("new", 2))
    assert list(made.items()) == [("b", ("B", 1)), ("a", ("new", 2))]
    assert made.size == 3


def test_what_is_used_stays_however_much_comes() -> None:
    """Of 100 places 20 are used now and then: a flood of values that nobody uses evicts none of them."""
    made = lru(100, **{f"used-{number}": 1 for number in range(20)})
    for number in range(1_000):
        made.put(f"flood-{number}", ("", 1))
        assert made.get(f"used-{number % 20}") is not None
    assert made.size == len(made) == 100


def test_what_fits_stays_however_it_is_used() -> None:
    """Reads evict nothing, in whatever order they come, and a small value beside them evicts few."""
    names = [f"{number}" for number in range(100)]
    made = lru(100, **dict.fromkeys(names, 1))
    for step in (1, 7, 99):
        assert all(made.get(names[number * step % 100]) for number in range(1_000))
    made.put("more", ("", 3))
    assert sum(made.get(name) is not None for name in names) == 97


def test_a_value_that_costs_more_than_the_limit_is_not_kept() -> None:
    """All others stay; an older value of its key does not."""
    made = lru(a=4, b=4)
    made.put("a", ("new", 11))
    assert keys(made) == ["b"]
    assert made.size == 4


def test_a_limit_of_0_keeps_nothing() -> None:
    """It is no error to put something there."""
    made = lru(0, a=1)
    assert len(made) == made.size == 0
    assert made.get("a") is None


def test_what_is_removed_costs_nothing() -> None:
    """`pop` gives the value once, `clear` removes all."""
    made = lru(a=1, b=2, c=3)
    assert [made.pop("b"), made.pop("b")] == [("B", 2), None]
    assert made.size == 4
    made.clear()
    assert len(made) == made.size == 0
    assert made.pop("a") is made.get("a") is None


@exact(400)
@given(st.lists(st.tuples(st.sampled_from(["put", "get", "pop"]), st.sampled_from("abcdefgh"), st.integers(1, 12))))
def test_it_never_costs_more_than_its_limit(steps: Sequence[tuple[str, str, int]]) -> None:
    """Whatever is done with it, its size is the sum of what it holds, within the limit."""
    made: ByteLRU[str, int] = ByteLRU(10, lambda key, value: value)
    for verb, key, cost in steps:
        if verb == "put":
            made.put(key, cost)
        else:
            getattr(made, verb)(key)
        assert made.size == sum(value for _, value in made.items()) <= 10


@pytest.mark.parametrize("verb", ["get", "pop"])
def test_a_value_may_be_false(verb: str) -> None:
    """An empty value is a value."""
    made: ByteLRU[str, bytes] = ByteLRU(10, lambda key, value: 5)
    made.put("a", b"")
    assert getattr(made, verb)("a") == b""
