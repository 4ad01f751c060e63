"""What a user knows of their sessions, and what may be true of them."""

import enum
from dataclasses import dataclass, field


class Violation(Exception):
    """Something is not as it must be."""


class State(enum.Enum):
    """Of a session."""

    ALIVE = "alive"
    """Its login was confirmed, and nobody has asked for its end."""
    UNKNOWN = "unknown"
    """Its end was asked for, and the answer did not come."""
    ENDED = "ended"
    """Its end was confirmed, or it was once found to have ended. It never comes back."""


@dataclass
class Record:
    """One session, as its user knows it."""

    token: str
    number: int
    """Of its user."""
    state: State = State.ALIVE
    confirmed: int = 0
    """Increments that were answered."""
    unanswered: int = 0
    """Increments that may have been made."""
    names: set[str] = field(default_factory=lambda: {""})
    """Those that it may have."""
    history: list[str] = field(default_factory=list)
    """What was done to it, for whoever looks for a fault."""

    def note(self, what: str) -> None:
        """Into the history, of which the end is kept."""
        self.history.append(what)
        del self.history[:-30]

    def found(self, number: int, count: int, name: str) -> None:
        """It was read.

        Raises:
            Violation: It should not be there, or holds what it should not.
        """
        if self.state is State.ENDED:
            self._violated("brought back")
        if number != self.number:
            self._violated(f"another user's: {number}")
        if not self.confirmed <= count <= self.confirmed + self.unanswered:
            self._violated(f"counts {count}, not {self.confirmed} to {self.confirmed + self.unanswered}")
        if name not in self.names:
            self._violated(f"has the name {name!r}, not one of {sorted(self.names)}")

    def gone(self) -> None:
        """It was looked for in vain.

        Raises:
            Violation: It should be there.
        """
        if self.state is State.ALIVE:
            self._violated("lost")
        self.state = State.ENDED

    def ending(self, confirmed: bool) -> None:
        """Its end was asked for."""
        if confirmed:
            self.state = State.ENDED
        elif self.state is State.ALIVE:
            self.state = State.UNKNOWN

    def moved(self, token: str) -> "Record":
        """The same session under a new id."""
        self.state = State.ENDED
        new = Record(token, self.number, State.ALIVE, self.confirmed, self.unanswered, {*self.names})
        new.history = [*self.history, "moved"]
        return new

    def _violated(self, how: str) -> None:
        raise Violation(f"session {self.token[-12:]} of user {self.number}: {how}; {' | '.join(self.history)}")
