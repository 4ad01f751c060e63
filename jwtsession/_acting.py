"""`ActingSession`: the methods that change who has signed in how."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, cast

from ._logins import LoginSession
from ._tracebacks import scrub_traceback
from ._types import C, S
from .models import Token
from .tokens import stepped_up


class ActingSession(LoginSession[S, C], Generic[S, C]):
    """The session of one request, and the methods that change who has signed in how."""

    __slots__ = ()

    @scrub_traceback
    async def step_up(
        self,
        *,
        acr: str | None = None,
        amr: Sequence[str] = (),
        session: S | Mapping[str, Any] | None = None,
        claims: C | None = None,
    ) -> Token:
        """Move the session to a new id after the user has signed in again, or more strongly (RFC 9470).

        Check the password or the second factor before you call this. It is `regenerate()` with the time of now as
        `auth_time`. The absolute timeout stays.

        Args:
            acr: The level that the user has reached. None keeps the claims' own, or else the old token's.
            amr: The methods that the user has used, in place of the old ones. Empty keeps the claims' own, or else the
                old token's.
            session: The data that replaces the loaded data, as in `regenerate()`.
            claims: The new token's claims, of the same user. None keeps the old token's.

        Returns:
            The new token.

        Raises:
            InvalidArgumentError: The token has no `sub`, the claims have another one, `amr` is no list of texts, or as
                `regenerate()`.
            SessionNotFoundError: There is no session, it was destroyed, or another request moved it.
            SessionConflictError: Another request changed it after this one loaded it. It stays as it is.
            StoreUnavailableError: The store did not answer. The session may have ended.
        """
        self._require_record()
        now = int(self._repository.timeouts.now())
        return await self.regenerate(session, stepped_up(cast("C", self.claims), claims, acr, amr, now))
