"""`Throttle`."""

import pytest

from jwtsession.sessions.throttle import Throttle
from tests.conftest import Clock


def test_once_in_an_interval(clock: Clock) -> None:
    """A key is due until it is done, and again when the interval has passed since then."""
    throttle = Throttle(60, clock)
    assert throttle.due("a")
    throttle.done("a")
    assert not throttle.due("a")
    assert throttle.due("b")
    clock.advance(59)
    assert not throttle.due("a")
    clock.advance(1)
    assert throttle.due("a")
    throttle.done("a")
    assert not throttle.due("a")


def test_a_clock_that_was_set_back_does_not_hold_it_up(clock: Clock) -> None:
    """A key is due where its time lies an interval or more in the future."""
    throttle = Throttle(60, clock)
    throttle.done("a")
    clock.advance(-60)
    assert throttle.due("a")


def test_a_key_may_have_a_shorter_interval(clock: Clock) -> None:
    """It is due when the shorter of the two has passed; a longer one changes nothing."""
    throttle = Throttle(60, clock)
    throttle.done("a")
    clock.advance(5)
    assert throttle.due("a", 5)
    assert not throttle.due("a", 6)
    clock.advance(55)
    assert throttle.due("a", 600)


def test_an_interval_of_zero_is_always_due(clock: Clock) -> None:
    """Nothing is held up."""
    throttle = Throttle(0, clock)
    throttle.done("a")
    assert throttle.due("a")


def test_what_is_remembered_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys that were done longest ago are forgotten, and are due."""
    monkeypatch.setattr("jwtsession.sessions.throttle._KEPT", 3)
    throttle = Throttle(60, clock)
    for key in "abcd":
        throttle.done(key)
    throttle.done("b")
    throttle.done("e")
    assert {key for key in "abcde" if throttle.due(key)} == {"a", "c"}
