"""`Rotation`: replaces a session's token while the session is in use, and finds the use of a token that was replaced.

The session's id stays. The store knows the newest generation of a session's tokens and whether anybody has used it; no
token is stored. A client that lost the answer with the new token gets that token again, for as long as nobody has used
it. When the old token and the new one are both in use, two clients have tokens of one session: one may be a thief (RFC
9700 section 4.14.2).
"""

from collections.abc import Callable
from typing import Protocol

from ..errors import SessionConflictError, SessionNotFoundError, TokenReusedError
from ..stores import LoadedGeneration, RotationStore, Verdict, judge
from .cutoff import Cutoff
from .throttle import Throttle
from .timeouts import SessionToken, Timeouts

_EARLIER_SECONDS = 5
"""A new token says that it was issued so much earlier: a worker whose clock is behind must not refuse it."""


class RotatedToken(SessionToken, Protocol):
    """A session's token, which says of which generation it is."""

    @property
    def gen(self) -> int | None:
        """The generation; None, which counts as 0, for a token from before rotation was switched on."""
        ...


class RotationCheck:
    """Asks the store for the generation of a request's token while it loads the session: a `LoadCheck`.

    Args:
        rotation: The provider's.
        token: The request's token.
        may_replace: Whether the answer could take a new token to the client. Called only if there is one.
        waited: How many seconds ago the request arrived: the client chose the token then, and its body took so long.
    """

    __slots__ = ("_may_replace", "_rotation", "_token", "_waited", "issued", "rotated", "successor")

    def __init__(
        self, rotation: "Rotation", token: RotatedToken, may_replace: Callable[[], bool], waited: float = 0
    ) -> None:
        self._rotation = rotation
        self._token = token
        self._may_replace = may_replace
        self._waited = waited
        self.successor: int | None = None
        """The generation of the token that the answer has to take to the client; None for nothing."""
        self.rotated = False
        """Whether this request began that generation."""
        self.issued = 0.0
        """The time of the new token's issue: see `Rotation.time_of_issue`."""

    async def load(self, session_id: str, ttl: int | None) -> bytes | None:
        """See `LoadCheck.load`.

        Raises:
            SessionNotFoundError: The token was replaced, and the new one is in use: see `Rotation.refusal`.
            InvalidTokenError: The token would be replaced, and was issued up to the time of `revoke_before()`.
        """
        rotation = self._rotation
        found = await rotation.store.load_generation(session_id, ttl)
        if found.value is None:
            return None
        now = rotation.now()
        self.issued = rotation.time_of_issue(self._token, now)
        due = rotation.replaces(self._token, now) and self._may_replace()
        verdict, generation = await rotation.settle(self._token, found, now, due=due, waited=self._waited)
        if verdict is Verdict.REUSE:
            raise rotation.refusal(self._waited)
        self.rotated = verdict is Verdict.ROTATED
        if self.rotated or (verdict is Verdict.AGAIN and rotation.silent and self._may_replace()):
            self.successor = generation
            await rotation.confirm(self._token)
        return found.value


class Rotation:
    """The rotation of one provider's tokens.

    Args:
        store: Has the generations.
        timeouts: Computes how long a session lives.
        max_age: The idle timeout in seconds of a session that has none of its own.
        after: The age of a token in seconds from which it is replaced.
        grace: How many seconds a replaced token stays good after the first use of the new one.
        silent: Whether any answer may take a new token to the client. If not, the client asks for one.
        cutoff: Refuses old tokens of all users; None if the setting `revoke_before` is off.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(
        self,
        store: RotationStore,
        timeouts: Timeouts,
        *,
        max_age: int,
        after: int,
        grace: int,
        silent: bool,
        cutoff: Cutoff | None = None,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        """Has the generations."""
        self.silent = silent
        """Whether any answer may take a new token to the client."""
        self.now = clock
        """The time in seconds since the epoch."""
        self._timeouts = timeouts
        self._cutoff = cutoff
        self._after = after
        self._grace = grace * 1000
        self._max_age = max_age
        # A generation is kept for two idle timeouts, and what extends the session extends it too, if that was last
        # done a quarter of one ago. So it is never forgotten before its session: an old token would be believed then.
        # A load knows from the store when that was; whatever else extends a session asks here.
        self._extensions = Throttle(max_age / 4, clock)

    def is_due(self, token: SessionToken) -> bool:
        """Whether the generation has to be kept for longer. This does no I/O."""
        own = token.jwtsession_idle_timeout
        return self._extensions.due(token.session_id, None if own is None else own / 4)

    async def extend(self, token: SessionToken) -> None:
        """Keep the session's generation for longer, if that is due.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        if self.is_due(token):
            await self.store.extend_generation(token.session_id, self._ttl(token))
            self._extensions.done(token.session_id)

    def replaces(self, token: SessionToken, now: float) -> bool:
        """Whether a token is so old that an answer should take a new one to the client."""
        return self.silent and token.iat is not None and now - token.iat >= self._after

    def time_of_issue(self, token: SessionToken, now: float) -> float:
        """The `iat` of a token's successor: a little before now, but not before the token's own.

        Tokens change hands between workers within milliseconds, and the clocks of workers differ by more.

        Args:
            token: The token.
            now: The time in seconds since the epoch.
        """
        return max(token.iat or 0, now - min(_EARLIER_SECONDS, self._after / 10))

    def refusal(self, waited: float) -> SessionNotFoundError:
        """Return why a token that was replaced is refused: a reuse, if the request came after that.

        The store does not tell when a token was replaced for the second time. So a request that has waited for as long
        as two rotations may take is refused as one that was under way.

        Args:
            waited: See `RotationCheck`.
        """
        grace = self._grace / 1000
        return SessionNotFoundError() if waited > grace and waited + grace >= self._after else TokenReusedError()

    async def settle(
        self, token: RotatedToken, found: LoadedGeneration, now: float, *, due: bool, waited: float = 0
    ) -> tuple[Verdict, int]:
        """Judge a presented token by what the store holds, and change that in one atomic step if it has to change.

        Args:
            token: The presented token.
            found: What the store holds.
            now: The time in seconds since the epoch.
            due: Whether to begin the next generation if the token is the newest one.
            waited: See `RotationCheck`.

        Returns:
            What the token is, and the session's newest generation.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        # A reuse keeps the generation too: its load has extended the session, which must not outlive the generation.
        presented, milliseconds = token.gen or 0, max(1, int(now * 1000))
        grace = self._grace + int(waited * 1000)
        verdict, newest = judge(found.newest, presented, milliseconds, due=due, grace=grace)
        ttl = self._ttl(token)
        is_kept = milliseconds + ttl - found.until < self._idle_timeout(token) * 250
        if newest == found.newest and is_kept:
            return verdict, newest.number
        verdict, generation = await self.store.rotate(
            token.session_id, presented, milliseconds, due=due, grace=grace, ttl=ttl
        )
        self._extensions.done(token.session_id)
        return verdict, generation

    async def confirm(self, token: SessionToken) -> None:
        """Ask the store whether a token may still be replaced: see `Cutoff.confirm`. Its successor's `iat` is earlier.

        Raises:
            InvalidTokenError: The token was issued up to the time of `revoke_before()`.
            StoreUnavailableError: The store did not answer.
        """
        if self._cutoff is not None:
            await self._cutoff.confirm(token)

    async def refresh(self, token: RotatedToken, now: float) -> tuple[int, bool]:
        """Begin the next generation because the client asks for it, or find the one that it has not used yet.

        Args:
            token: The token that the client has, or a new one that the same request has just made.
            now: The time in seconds since the epoch.

        Returns:
            The generation of the client's next token, and whether it is a new one.

        Raises:
            SessionNotFoundError: The session is gone.
            SessionConflictError: The client has a newer token, and has used it a moment ago.
            TokenReusedError: The token was replaced, and the new one is in use.
            InvalidTokenError: The token was issued up to the time of `revoke_before()`.
            StoreUnavailableError: The store did not answer.
        """
        await self.confirm(token)
        found = await self.store.load_generation(token.session_id)
        if found.value is None:
            raise SessionNotFoundError
        presented = token.gen or 0
        if found.newest == (presented, 0):
            # Its own request has made it. If that answer is lost, the client has the older one.
            return presented, False
        verdict, generation = await self.settle(token, found, now, due=True)
        if verdict is Verdict.REUSE:
            raise TokenReusedError
        if verdict is Verdict.LATE:
            raise SessionConflictError
        return generation, verdict is Verdict.ROTATED

    async def is_newest(self, session_id: str, generation: int) -> bool:
        """Whether the session lives, and no request has begun a later generation. This is no use of it.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        found = await self.store.load_generation(session_id)
        return found.value is not None and (found.newest is None or found.newest.number <= generation)

    def _idle_timeout(self, token: SessionToken) -> int:
        own = self._timeouts.permitted(token.jwtsession_idle_timeout)
        return self._max_age if own is None else own

    def _ttl(self, token: SessionToken) -> int:
        """Milliseconds for which to keep a generation: two idle timeouts, but never beyond the token's `exp`."""
        ttl = 2 * self._timeouts.ttl(token)
        return max(1, ttl if token.exp is None else min(ttl, int((token.exp - self.now()) * 1000)))
