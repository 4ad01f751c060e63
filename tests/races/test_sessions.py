"""No lost update and no resurrection: every verb raced against every other, from several processes."""

import base64
from functools import partial
from typing import Any

import pytest

from tests.races import roles
from tests.races.conftest import Course
from tests.races.racing import PROCESSES, Raced, Role, times
from tests.races.roles import Attempt

pytestmark = [pytest.mark.caches("near", "tokens"), pytest.mark.ci]

ENCRYPTED = {"encryption": {"keys": (base64.urlsafe_b64encode(bytes(range(0, 224, 7))).decode(),)}}


@pytest.mark.parametrize("options", [{}, ENCRYPTED], ids=["plain", "encrypted"])
async def test_increments_by_mutate_are_exact(course: Course, options: dict[str, Any]) -> None:
    """Every confirmed increment counts once, though two racers that start from 5 both write the same 6."""
    each = times(30)
    tokens = await course.tokens(6)
    done = course.race([partial(roles.increment_by_mutate, field="count", times=each)] * 2 * PROCESSES, tokens)
    confirmed = [sum(outcomes) for outcomes in done]
    counts = [session.count for session in await course.found(*tokens)]
    tried = 6 * 2 * PROCESSES * each
    course.enter(f"increments by mutate{', encrypted' * bool(options)}", tried, sum(confirmed) - sum(counts))
    assert counts == confirmed
    assert sum(confirmed) > 0.9 * tried  # somebody else is hardly ever faster 32 times


@pytest.mark.parametrize("fields", [("count",), ("left", "right")], ids=["same field", "disjoint fields"])
async def test_increments_by_update_are_exact(course: Course, fields: tuple[str, ...]) -> None:
    """Whoever tries again after a 409 loses nothing, whether all change the same field or others."""
    each = times(20)
    tokens = await course.tokens(6)
    racers = [partial(roles.increment_by_update, field=fields[n % len(fields)], times=each) for n in range(4)]
    course.race(racers, tokens)
    counts = [session.count + session.left + session.right for session in await course.found(*tokens)]
    name = "same field" if len(fields) == 1 else "disjoint fields"
    course.enter(f"increments by update, {name}", 6 * 4 * each, 6 * 4 * each - sum(counts))
    assert counts == [4 * each] * 6


@pytest.mark.parametrize("options", [{}, ENCRYPTED], ids=["plain", "encrypted"])
async def test_equal_increments_from_one_state_are_told_apart(course: Course, options: dict[str, Any]) -> None:
    """All racers write the same bytes: the number counts those that were confirmed, and no others."""
    tokens = await course.tokens(times(100))
    done = course.race([roles.increment_from_one_state] * 2 * PROCESSES, tokens)
    confirmed = [sum(outcomes) for outcomes in done]
    counts = [session.count for session in await course.found(*tokens)]
    course.enter(f"equal increments{', encrypted' * bool(options)}", len(tokens), sum(confirmed) - sum(counts))
    assert counts == confirmed
    assert min(counts) >= 1


@pytest.mark.parametrize("verb", ["update", "mutate"])
async def test_a_coupon_is_paid_out_once(course: Course, verb: str) -> None:
    """Requests that take one coupon leave the same bytes; one of them is confirmed."""
    tokens = await course.tokens(times(100), by="coupon")
    done = course.race([partial(roles.redeem, verb=verb)] * 2 * PROCESSES, tokens)
    paid = [sum(outcomes) for outcomes in done]
    course.enter(f"a coupon, by {verb}", len(tokens), sum(paid) - len(tokens))
    assert paid == [1] * len(tokens)


AGAINST = [
    ("update", "update", "update"),
    ("mutate", "mutate", "update"),
    ("destroy", "update", "update"),
    ("destroy", "mutate", "mutate"),
    ("destroy", "touch", "update"),
    ("destroy", "regenerate", "update"),
    ("destroy", "regenerate", "regenerate"),
    ("destroy later", "regenerate"),
    ("destroy later", "regenerate", "regenerate", "sign in"),
    ("expire", "update", "mutate"),
    ("expire", "touch", "regenerate"),
    ("regenerate", "update", "update"),
    ("regenerate", "mutate", "mutate"),
    ("regenerate", "touch", "touch"),
    ("regenerate", "regenerate", "regenerate"),
    ("sign in", "update", "mutate"),
    ("destroy", "expire", "regenerate", "sign in", "update", "mutate", "touch"),
]


@pytest.mark.parametrize("verbs", AGAINST, ids="-".join)
async def test_verbs_against_each_other(course: Course, verbs: tuple[str, ...]) -> None:
    """What is gone stays gone, what was confirmed is there once, and a session never lives under two ids."""
    tokens = await course.tokens(times(100))
    races: list[list[Attempt]] = course.race([partial(roles.attempt, verb=verb) for verb in verbs], tokens)
    wrong = []
    for token, attempts in zip(tokens, races, strict=True):
        old = await course.found(token)
        new = await course.found(*(attempt.token for attempt in attempts))
        if reason := _what_is_wrong(attempts, old, new):
            wrong.append((reason, attempts))
    outcomes = [f"{each.verb} {each.outcome}" for attempts in races for each in attempts]
    course.enter(" x ".join(verbs), len(tokens), len(wrong), outcomes)
    assert not wrong, wrong[0]


def _what_is_wrong(attempts: list[Attempt], old: list[Raced], new: list[Raced]) -> str:
    def done(*verbs: str) -> list[Attempt]:
        return [each for each in attempts if each.verb in verbs and each.outcome == "done"]

    moved, ended = done("regenerate", "sign in"), done("destroy", "destroy later")
    gone = [each for each in attempts if each.outcome == "gone"]
    if any(each.came_back for each in attempts):
        return "found again after it was gone"
    if old and (moved or ended or gone):
        return "lives though it has ended"
    if len(moved) > 1:
        return "moved twice"
    if ended and new:
        return "lives under its new id though somebody logged out by the old token"
    if not ended and len(new) != len(moved):
        return "moved and lost"
    if not old and not moved and not ended and not done("expire"):
        return "ended by nobody"
    for session in old + new:
        # In the order of nobody, each once: what was confirmed and nothing else.
        changed = done("update", "mutate", "regenerate", "sign in")
        if sorted(session.marks) != sorted(each.mark for each in changed):
            return "has other changes than those that were confirmed"
    return ""


async def test_one_of_many_creates_wins(course: Course) -> None:
    """Under one id one value is stored, and stays; everybody else is told."""
    ids = [f"an-id-that-everybody-wants-{number}" for number in range(times(300))]
    races = course.race([roles.create] * 2 * PROCESSES, ids)
    won = [[mark for created, mark in outcomes if created] for outcomes in races]
    stored = [[(await course.entrant.store.load(each) or b"").decode()] for each in ids]
    course.enter("create with one id", len(ids), sum(a != b for a, b in zip(won, stored, strict=True)))
    assert won == stored


@pytest.mark.parametrize("verb", ["update", "mutate"])
async def test_the_originals_writes_are_not_lost(course: Course, verb: str) -> None:
    """The Node original overwrites blindly; nothing here overwrites one of its writes without having read it.

    So its last write always stands. What it has overwritten of ours it has overwritten: that is not ours to promise.
    """
    tokens = await course.tokens(times(40))
    ours = partial(roles.mark_often, verb=verb, times=5)
    races = course.race([partial(roles.write_as_the_original, times=5), ours, ours], tokens)
    stand = lost = 0
    for token, (last, *_) in zip(tokens, races, strict=True):
        manager = await course.entrant.manager(token)
        stand += len(manager.require().marks)
        lost += roles.number_of_the_original(await course.entrant.store.load(manager.id or "")) != last
    confirmed = sum(len(marks) for _, *all_marks in races for marks in all_marks)
    how = ["ours that it overwrote"] * (confirmed - stand) + ["ours that stand"] * stand
    course.enter(f"the Node original x {verb}", 5 * len(tokens), lost, how)
    assert lost == 0
    assert stand <= confirmed


async def test_what_the_original_wrote_is_not_brought_back(course: Course) -> None:
    """Once the original writes no more, what was destroyed stays so, whatever was under way here."""
    tokens = await course.tokens(times(100))
    race: list[Role] = [
        partial(roles.write_as_the_original, times=2, then_destroy=True),
        partial(roles.mark_often, verb="update", times=6),
        partial(roles.mark_often, verb="mutate", times=6),
    ]
    course.race(race, tokens)
    alive = await course.found(*tokens)
    course.enter("the Node original, then destroy x update x mutate", len(tokens), len(alive))
    assert not alive
