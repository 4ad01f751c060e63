"""`Clock`: time stands still until a test moves it."""

from jwtsession.testing import Clock


def test_time_moves_when_a_test_says_so_only() -> None:
    """Two readings are the same; `advance` moves the next one, and `now` shows it."""
    clock = Clock(100.0)
    assert clock() == clock() == 100.0
    clock.advance(2.5)
    assert clock() == clock.now == 102.5
