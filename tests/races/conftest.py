"""The racers, the sessions that they race for, and the table of what was tried and lost."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from jwtsession import Claims
from tests import servers
from tests.races.racing import Entrant, Raced, Role, Track, entering

TABLE: list[tuple[str, str, int, int, str]] = []


class Course:
    """Sessions in one deployment, races for them, and what became of them.

    Args:
        name: Of the deployment, for the table.
        primaries: The servers that have the sessions.
    """

    def __init__(
        self, track: Track, name: str, primaries: Sequence[servers.Server], entrant: Entrant, options: Mapping[str, Any]
    ) -> None:
        self._track = track
        self._name = name
        self.primaries = primaries
        self.entrant = entrant
        self.sessions = entrant.sessions
        self._options = options

    async def tokens(self, number: int, sub: str | None = None, by: str = "") -> list[str]:
        """Of new sessions."""
        made = [await self.entrant.manager() for _ in range(number)]
        data = {"owner": sub or "", "by": by}
        return [(await manager.create(Raced(**data), Claims(sub=sub))).access_token for manager in made]

    def race(self, roles: Sequence[Role], subjects: Sequence[Any]) -> list[list[Any]]:
        """See `Track.race`."""
        return self._track.race(self.entrant.url, roles, subjects, **self._options)

    async def found(self, *tokens: str | None) -> list[Raced]:
        """Of the sessions that these tokens stand for, those that live."""
        loaded = [(await self.entrant.manager(token)).session for token in tokens if token is not None]
        return [session for session in loaded if session is not None]

    def enter(self, race: str, tried: int, lost: int, outcomes: Iterable[str] = ()) -> None:
        """Into the table that stands at the end of the run: what was tried and lost, and how it went otherwise."""
        how = ", ".join(f"{name} {count}" for name, count in sorted(Counter(outcomes).items()))
        TABLE.append((race, self._name, tried, lost, how))


@pytest.fixture(scope="session")
def track() -> Iterator[Track]:
    made = Track()
    yield made
    made.close()


@pytest.fixture
def options() -> dict[str, Any]:
    """Settings of all providers."""
    return {}


@pytest.fixture
async def course(track: Track, engine: servers.Server, options: dict[str, Any]) -> AsyncIterator[Course]:
    async with entering(engine.url, options) as entrant:
        yield Course(track, "redis" if "redis" in engine.binary else "valkey", [engine], entrant, options)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not TABLE:
        return
    terminalreporter.section("races")
    width = max(len(race) for race, *_ in TABLE)
    for row in [("race", "engine", "tried", "lost", "outcomes"), *sorted(TABLE)]:
        terminalreporter.write_line("{:{}}  {:10}  {:>7}  {:>4}  {}".format(row[0], width, *row[1:]).rstrip())
    tried, lost = sum(row[2] for row in TABLE), sum(row[3] for row in TABLE)
    terminalreporter.write_line(f"{'all':{width}}  {'':10}  {tried:>7}  {lost:>4}")
