"""What becomes of a thief who has copied a token: the rows of the table in docs/guides/rotation.md, over HTTP."""

import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from jwtsession.testing import Clock
from tests.asgi import ask
from tests.unit.web.site import Site

AFTER, GRACE = 900, 30
GUIDE = Path(__file__).parents[2] / "docs/guides/rotation.md"


class Holder:
    """Somebody who has a token, and takes each new one."""

    def __init__(self, site: Site, token: str) -> None:
        self.site = site
        self.token = token
        self.learned = False

    async def ask(self, method: str = "GET", path: str = "/session") -> int:
        answer = await ask(self.site.app, method, path, ("authorization", f"Bearer {self.token}"))
        found = answer.all("session-token")
        self.learned = bool(found)
        self.token = found[0] if found else self.token
        if path == "/session/move" and answer.status == 200:
            self.token = answer.json()["access_token"]
        return answer.status

    @property
    def gen(self) -> Any:
        return jwt.decode(self.token, options={"verify_signature": False})["gen"]


class Theft:
    """A user and a thief, who has copied the token before its rotation."""

    def __init__(self, site: Site, token: str, log: pytest.LogCaptureFixture) -> None:
        self.site, self.clock, self.log = site, site.clock, log
        self.user, self.thief = Holder(site, token), Holder(site, token)

    def reuses(self) -> int:
        """How many were noticed."""
        return sum(each.getMessage().startswith("reuse_detected:") for each in self.log.records)

    async def both_are_out(self) -> bool:
        return (await self.user.ask(), await self.thief.ask(), len(self.site.store.contents)) == (401, 401, 0)


@pytest.fixture
async def theft(clock: Clock, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Theft]:
    caplog.set_level(logging.INFO, "jwtsession")
    rotation = {"after": AFTER, "grace": GRACE}
    async with Site(clock, rotation=rotation, revoke_before=True, absolute_max_age=10**6).running() as site:
        yield Theft(site, await site.token(), caplog)


async def test_before_the_next_rotation(theft: Theft) -> None:
    """Unnoticed: both have the same token."""
    for holder in (theft.user, theft.thief, theft.user):
        assert (await holder.ask(), holder.learned) == (200, False)


async def test_late(theft: Theft) -> None:
    """The thief's first request ends the session."""
    theft.clock.advance(AFTER)
    assert [await theft.user.ask() for _ in range(2)] == [200, 200]
    theft.clock.advance(GRACE)
    assert await theft.thief.ask() == 401
    assert (await theft.both_are_out(), theft.reuses()) == (True, 1)


async def test_first_and_the_user_comes_late(theft: Theft) -> None:
    """The user's first request ends the session."""
    theft.clock.advance(AFTER)
    assert [await theft.thief.ask() for _ in range(2)] == [200, 200]
    theft.clock.advance(GRACE)
    assert await theft.user.ask() == 401
    assert await theft.both_are_out()


async def test_within_the_grace(theft: Theft) -> None:
    """Good until the grace is over, without a new token; the first request after it ends the session."""
    theft.clock.advance(AFTER)
    assert [await theft.user.ask() for _ in range(2)] == [200, 200]
    for seconds in (0, GRACE - 1):
        theft.clock.advance(seconds)
        assert (await theft.thief.ask(), theft.thief.learned) == (200, False)
    theft.clock.advance(1)
    assert await theft.thief.ask() == 401
    assert await theft.both_are_out()


async def test_between_the_rotation_and_the_first_use(theft: Theft) -> None:
    """Unnoticed: both get the new token. Whoever misses that moment at a later rotation ends the session."""
    theft.clock.advance(AFTER)
    assert await theft.user.ask() == 200
    assert (await theft.thief.ask(), theft.thief.learned) == (200, True)
    assert theft.user.gen == theft.thief.gen == 1
    theft.clock.advance(AFTER)
    assert [await theft.user.ask() for _ in range(2)] == [200, 200]
    theft.clock.advance(GRACE)
    assert await theft.thief.ask() == 401
    assert await theft.both_are_out()


async def test_in_step(theft: Theft) -> None:
    """Unnoticed for as long as the thief keeps step: one request when each token is due, and the user's next."""
    for _ in range(20):
        theft.clock.advance(AFTER)
        assert await theft.thief.ask() == 200
        assert [await theft.user.ask() for _ in range(3)] == [200] * 3
    assert theft.user.gen == theft.thief.gen == 20
    assert theft.reuses() == 0
    assert await theft.site.sessions.revoke_before()
    assert [await theft.user.ask(), await theft.thief.ask()] == [401, 401]


async def test_after_two_rotations(theft: Theft) -> None:
    """Ends the session at once: there is no grace for a token that was replaced twice."""
    for _ in range(2):
        theft.clock.advance(AFTER)
        assert [await theft.user.ask() for _ in range(2)] == [200, 200]
    assert await theft.thief.ask() == 401
    assert await theft.both_are_out()


async def test_after_the_logout(theft: Theft) -> None:
    """401, whichever token it is, and no rotation brings the session back."""
    theft.clock.advance(AFTER)
    assert [await theft.user.ask(), await theft.user.ask("DELETE")] == [200, 204]
    assert await theft.thief.ask() == 401
    assert (await theft.both_are_out(), theft.reuses()) == (True, 0)


async def test_after_regenerate(theft: Theft) -> None:
    """A reuse of the old id: 401, and after `reuse_grace` it ends the session under its new id."""
    assert await theft.user.ask("POST", "/session/move") == 200
    theft.clock.advance(GRACE)
    assert await theft.thief.ask() == 401
    assert theft.reuses() == 1
    assert await theft.both_are_out()


async def test_regenerates_before_the_user(theft: Theft) -> None:
    """The user's next request ends the session under the thief's new id."""
    assert await theft.thief.ask("POST", "/session/move") == 200
    theft.clock.advance(GRACE)
    assert await theft.user.ask() == 401
    assert await theft.both_are_out()


async def test_logs_out(theft: Theft) -> None:
    """The session ends for both: whoever has the token can do so."""
    assert await theft.thief.ask("DELETE") == 204
    assert await theft.both_are_out()


ROWS = {
    name.removeprefix("test_").replace("_", " "): test.__doc__
    for name, test in [*globals().items()]
    if name.startswith("test_")
}


def test_the_guide_has_these_rows() -> None:
    """Each row of the table is a test here, with the same words."""
    section = GUIDE.read_text().partition("## Attacks\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
    assert dict(rows[1:]) == ROWS
