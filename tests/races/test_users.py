"""The sessions of one user under races: none lives unlisted, and none escapes."""

import json
from collections import defaultdict
from functools import partial
from typing import Any

import pytest
from redis import Redis

from tests.races import roles
from tests.races.conftest import Course
from tests.races.racing import Role, times

pytestmark = [pytest.mark.caches("near"), pytest.mark.ci]

INDEXED = {"user_index": True}
EVICTING = INDEXED | {"max_sessions": 3, "too_many_sessions": "evict"}
REFUSING = INDEXED | {"max_sessions": 3}


def living(course: Course) -> dict[str, set[str]]:
    """The ids of all sessions on the server, by their user."""
    found: dict[str, set[str]] = defaultdict(set)
    for server in course.primaries:
        with Redis.from_url(server.url) as redis:
            for key in redis.scan_iter("sess:*", count=10_000):
                if not key.startswith((b"sess:user:", b"sess:fwd:")) and (value := redis.get(key)) is not None:
                    found[json.loads(value)["owner"]].add(key.decode().removeprefix("sess:"))
    return found


@pytest.mark.parametrize("options", [INDEXED, EVICTING], ids=["unlimited", "evict"])
async def test_no_session_lives_unlisted(course: Course, options: dict[str, Any]) -> None:
    """Whatever logins, logouts, new ids, lists and revoke_all do at once, the index names every session that lives.

    So a last revoke_all ends them all; and with `evict` no more are left than the limit allows.
    """
    users = [f"user-{number}" for number in range(times(100))]
    racers: list[Role] = [partial(roles.log_in, then=then) for then in ("", "", "regenerate", "regenerate", "destroy")]
    racers += [partial(roles.revoke_all, delay=0.01)] * 2 + [roles.list_sessions] * 2
    course.race(racers, users)
    alive = living(course)
    unlisted = sum(
        [len(alive[user] - {info.id for info in await course.sessions.list_sessions(user)}) for user in users]
    )
    crowded = sum("max_sessions" in options and len(alive[user]) > 3 for user in users)
    for user in users:
        await course.sessions.revoke_all(user)
    left = sum(map(len, living(course).values()))
    race = "logins x new ids x lists x revoke_all" + ", evict" * ("max_sessions" in options)
    how = ["sessions alive and listed"] * sum(map(len, alive.values()))
    course.enter(race, len(users) * len(racers), unlisted + crowded + left, how)
    assert (unlisted, crowded, left) == (0, 0, 0)


@pytest.mark.parametrize("options", [EVICTING, REFUSING], ids=["evict", "refuse"])
async def test_logins_at_once_keep_the_limit(course: Course, options: dict[str, Any]) -> None:
    """Of six logins at once no more live than the limit allows: as many with `evict`, at least one with `refuse`."""
    users = [f"user-{number}" for number in range(times(100))]
    course.race([roles.log_in] * 6, users)
    alive = living(course)
    enough = (3,) if options is EVICTING else (1, 2, 3)
    wrong = [user for user in users if len(alive[user]) not in enough]
    race = f"six logins at once, {'evict' if options is EVICTING else 'refuse'}"
    course.enter(race, len(users), len(wrong), [f"{len(alive[user])} left" for user in users])
    assert not wrong


@pytest.mark.parametrize("options", [INDEXED])
async def test_no_session_escapes_revoke_all(course: Course, options: dict[str, Any]) -> None:
    """A session that was there when revoke_all began has ended afterwards, though it takes new id after new id."""
    users = [f"user-{number}" for number in range(times(100))]
    subjects = [(user, (await course.tokens(1, user))[0]) for user in users]
    course.race([roles.escape, roles.hunt, roles.escape], subjects)
    alive = living(course)
    course.enter("regenerate x revoke_all", len(users), sum(map(len, alive.values())))
    assert not alive


@pytest.mark.parametrize("options", [INDEXED])
async def test_destroy_others_leaves_one(course: Course, options: dict[str, Any]) -> None:
    """While logins come and go a session ends all others that there were when it began, and goes on itself."""
    users = [f"user-{number}" for number in range(times(50))]
    subjects = [(user, *(await course.tokens(3, user))) for user in users]
    course.race([roles.destroy_others, roles.escape, roles.escape], subjects)
    alive = living(course)
    wrong = [user for user in users if len(alive[user]) != 1]
    course.enter("regenerate x destroy_others", len(users), len(wrong))
    assert not wrong
    tokens = [own for _, _, _, own in subjects]
    assert len(await course.found(*tokens)) == len(users)
