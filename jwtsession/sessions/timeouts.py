"""`Timeouts`: computes how long a session may live, from its idle timeout and its token's `exp`."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from ..errors import ExpiredTokenError, InvalidArgumentError
from ..settings import seconds
from .throttle import Throttle


class SessionToken(Protocol):
    """The claims of a token that sessions need. Times are seconds since the epoch."""

    @property
    def session_id(self) -> str:
        """The session's id, the claim `jti`."""
        ...

    @property
    def sub(self) -> str | None:
        """The user."""
        ...

    @property
    def exp(self) -> float | None:
        """When the session ends even if it is used, in seconds since the epoch."""
        ...

    @property
    def iat(self) -> float | None:
        """When the token was issued, in seconds since the epoch."""
        ...

    @property
    def auth_time(self) -> float | None:
        """When the user logged in, in seconds since the epoch."""
        ...

    @property
    def jwtsession_idle_timeout(self) -> int | None:
        """The session's own idle timeout in seconds; None for the provider's `max_age`."""
        ...

    @property
    def actor(self) -> str | None:
        """Who acts for the user; None if the user does."""
        ...


class Timeouts:
    """The times of one provider's sessions.

    Args:
        max_age: Idle timeout in seconds of a session that has none of its own.
        max_age_limit: The longest idle timeout of its own that a session may have, in seconds.
        touch_interval: A read extends a session's time to live at most once in so many seconds.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(self, max_age: int, max_age_limit: int, touch_interval: float, clock: Callable[[], float]) -> None:
        self._max_age = max_age
        self._max_age_limit = max_age_limit
        # At most a quarter: a session that is read now and then must not end between two extensions.
        self._touches = Throttle(min(touch_interval, max_age / 4), clock)
        self._clock = clock
        self.extended = self._touches.done
        """The repository calls this with a session's id when it has restarted the session's time to live."""

    def now(self) -> float:
        """The time in seconds since the epoch."""
        return self._clock()

    def is_due(self, token: SessionToken) -> bool:
        """Whether a read has to extend the session's time to live."""
        own = token.jwtsession_idle_timeout
        return self._touches.due(token.session_id, None if own is None else own / 4)

    def ttl(self, token: SessionToken) -> int:
        """Milliseconds that the session may live from now: its idle timeout, but never beyond the token's `exp`."""
        permitted = self.permitted(token.jwtsession_idle_timeout)
        left: float = self._max_age if permitted is None else permitted
        if token.exp is not None:
            left = min(left, token.exp - self._clock())
        return int(left * 1000)

    def required_ttl(self, token: SessionToken) -> int:
        """As `ttl`, but never 0 or less.

        Raises:
            ExpiredTokenError: The token has expired since it was verified.
        """
        ttl = self.ttl(token)
        if ttl <= 0:
            raise ExpiredTokenError
        return ttl

    def permitted(self, idle_timeout: int | None) -> int | None:
        """A session's own idle timeout in seconds, cut to the limit, which may be lower now than at the login."""
        return None if idle_timeout is None else min(idle_timeout, self._max_age_limit)

    def checked(self, max_age: int | timedelta | None) -> int | None:
        """Check an idle timeout that a caller gives to one session, and return it in seconds.

        Raises:
            InvalidArgumentError: It is not a whole number of seconds, or longer than the limit.
        """
        with contextlib.suppress(ValueError):
            given = seconds(max_age)
            if given is None or (type(given) is int and 1 <= given <= self._max_age_limit):
                return given
        raise InvalidArgumentError(
            f"max_age: give whole seconds, or a timedelta of them, from 1 to {self._max_age_limit}:"
            " the setting max_age_limit permits more"
        )
