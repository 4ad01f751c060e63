"""Which of a session's tokens is the newest: `RotationStore`, the contract of a store, and `judge`, its table."""

import enum
from typing import NamedTuple, Protocol, TypeGuard

from .base import has_methods


class Verdict(enum.Enum):
    """What a presented token is, beside its session's newest one."""

    CURRENT = "current"
    """The newest token."""
    ROTATED = "rotated"
    """It was the newest one, and is replaced from now on: the client gets the next generation."""
    AGAIN = "again"
    """It was replaced, and nobody has used the next generation yet: the client gets that one again."""
    LATE = "late"
    """It was replaced a moment ago, and the client has the next generation already: it gets nothing."""
    REUSE = "reuse"
    """It was replaced, and the next generation is in use: two clients have tokens of this session."""


class Generation(NamedTuple):
    """The newest generation of a session's tokens."""

    number: int
    """It counts from 0."""
    used: int
    """When a token of this generation was first presented, in milliseconds since the epoch; 0 for not yet."""


class LoadedGeneration(NamedTuple):
    """What `RotationStore.load_generation` found."""

    value: bytes | None
    """The session's value; None if the session is gone."""
    newest: Generation | None
    """The newest generation of its tokens; None for not known."""
    until: int
    """How long the last `rotate` wanted to keep the generation, in milliseconds since the epoch; 0 for not known."""


class Rotated(NamedTuple):
    """What `RotationStore.rotate` found, and did."""

    verdict: Verdict
    generation: int
    """The newest generation of the session's tokens now."""


class RotationStore(Protocol):
    """Storage of generations. A store has these methods too if `rotation.after` is to work.

    What is kept of a session lives apart from the session: no method here brings a session back, or ends one. Every
    method raises `StoreUnavailableError` if the store did not answer, and `SessionCorruptError` if a key holds
    something else.
    """

    async def load_generation(self, session_id: str, ttl: int | None = None) -> LoadedGeneration:
        """Return the session's value, as `SessionStore.load` does, and its newest generation.

        Args:
            session_id: The session.
            ttl: The session's new time to live in milliseconds; None leaves it as it is.
        """
        ...

    async def rotate(self, session_id: str, presented: int, now: int, *, due: bool, grace: int, ttl: int) -> Rotated:
        """Judge a presented generation and note what `judge` tells, in one atomic step.

        To do so again after a lost reply gives the client the same generation.

        Args:
            session_id: The session.
            presented: The generation of the presented token.
            now: The time in milliseconds since the epoch.
            due: Whether to begin the next generation if this is the newest one.
            grace: How many milliseconds a replaced token stays good after the first use of the next generation.
            ttl: How long to keep the generation from now on, in milliseconds. The store notes `now + ttl` too.
        """
        ...

    async def extend_generation(self, session_id: str, ttl: int) -> None:
        """Keep the newest generation for `ttl` milliseconds from now on. It is no error if none is known."""
        ...


def has_rotation(store: object) -> TypeGuard[RotationStore]:
    """Whether the store has the methods of `RotationStore`: see `has_methods`."""
    return has_methods(store, RotationStore)


def judge(newest: Generation | None, presented: int, now: int, *, due: bool, grace: int) -> tuple[Verdict, Generation]:
    """Return what a presented generation is, and the newest generation after it. This is the table of rotation.

    The script `rotate.lua` does the same in the server. The arguments are those of `RotationStore.rotate`; `newest` is
    what the store holds.
    """
    if newest is None or presented > newest.number:
        newest = Generation(presented, 0)  # the token is signed by us: the store has lost a write, by a failover
    number, used = newest
    if presented == number:
        if due:
            return Verdict.ROTATED, Generation(number + 1, 0)
        return Verdict.CURRENT, newest if used else Generation(number, now)
    if presented == number - 1 and not used:
        return Verdict.AGAIN, newest
    if presented == number - 1 and now - used < grace:
        return Verdict.LATE, newest
    return Verdict.REUSE, newest
