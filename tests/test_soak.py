"""The soak's own check: it must notice what it is there to find."""

import pytest

from soak.__main__ import Soak
from soak.record import Record, State, Violation


def record(**known: object) -> Record:
    made = Record("a.token", 7)
    for name, value in known.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("known", "count", "allowed"),
    [
        ({"confirmed": 3}, 3, True),
        ({"confirmed": 3}, 2, False),
        ({"confirmed": 3}, 4, False),
        ({"confirmed": 3, "unanswered": 2}, 5, True),
        ({"confirmed": 3, "unanswered": 2}, 6, False),
        ({"confirmed": 3, "state": State.UNKNOWN}, 3, True),
        ({"confirmed": 3, "state": State.ENDED}, 3, False),
    ],
)
def test_a_lost_or_doubled_change_and_a_session_that_comes_back_are_noticed(
    known: dict[str, object], count: int, allowed: bool
) -> None:
    """A count may be anything between what was confirmed and what may have been done, of a session that may live."""
    made = record(**known)
    if allowed:
        made.found(7, count, "")
    else:
        with pytest.raises(Violation):
            made.found(7, count, "")


def test_another_users_data_is_noticed() -> None:
    """Also where it looks like one's own but for a name that nobody gave it."""
    with pytest.raises(Violation, match="another user's"):
        record().found(8, 0, "")
    with pytest.raises(Violation, match="name"):
        record().found(7, 0, "bob")


def test_a_lost_session_is_noticed() -> None:
    """One that nobody has ended must be there; one whose end was asked for may be gone, and is gone for ever then."""
    with pytest.raises(Violation, match="lost"):
        record().gone()
    asked = record()
    asked.ending(confirmed=False)
    asked.gone()
    with pytest.raises(Violation, match="brought back"):
        asked.found(7, 0, "")
    ended = record()
    ended.ending(confirmed=True)
    with pytest.raises(Violation, match="brought back"):
        ended.found(7, 0, "")


def test_a_moved_session_lives_under_its_new_id_alone() -> None:
    """It takes along what is known of it."""
    old = record(confirmed=2, unanswered=1)
    new = old.moved("another.token")
    new.found(7, 3, "")
    with pytest.raises(Violation, match="brought back"):
        old.found(7, 2, "")


def test_a_leak_is_noticed(tmp_path: object) -> None:
    """More memory, tasks, files or connections than before are violations, each by its name."""
    soak = Soak.__new__(Soak)
    soak.violations = []
    before = {"memory": 80_000_000, "tasks": 3, "files": 30, "connections": 10}
    soak.compare([before], [before])
    assert soak.violations == []
    soak.compare([before], [{"memory": 120_000_000, "tasks": 4, "files": 200, "connections": 300}])
    assert [violation.split()[3].strip(":") for violation in soak.violations] == [*before]
