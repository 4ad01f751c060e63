"""`Reuse`: notices that somebody uses a token that was replaced, and does what the setting `on_reuse` says."""

from typing import Any

from .._ids import handle_of
from ..errors import AuthenticationError, SessionNotFoundError, TokenReusedError
from ..settings import ReuseAction
from .lifecycle import SessionLifecycle
from .repository import SessionRepository
from .timeouts import SessionToken


class Reuse:
    """Judges the requests whose token is genuine, and whose session is gone, or lives by a later token.

    Args:
        repository: Knows where sessions have moved to.
        lifecycle: Ends sessions, and emits the events.
        action: What happens at a reuse, beside the event and the 401: see `SessionSettings.on_reuse`.
        grace: For so many seconds after a session has moved, requests with its old token are not judged.
    """

    def __init__(
        self,
        repository: SessionRepository[Any],
        lifecycle: SessionLifecycle[Any],
        *,
        action: ReuseAction,
        grace: float,
    ) -> None:
        self._repository = repository
        self._lifecycle = lifecycle
        self._action = action
        self._grace = grace

    async def judge(
        self, refusal: SessionNotFoundError, token: SessionToken, host: str | None = None, waited: float = 0
    ) -> AuthenticationError:
        """Tell whether a refused request is a reuse. If it is, emit the event `reuse_detected`, and act.

        Args:
            refusal: Why the request is refused. A `TokenReusedError` says that it is a reuse, and that the session
                lives under the token's own id.
            token: The request's token.
            host: The client's address as the server saw it, for the events.
            waited: How many seconds ago the request arrived, with its token.

        Returns:
            The error for the client: a `TokenReusedError` for a reuse.

        Raises:
            StoreUnavailableError: The store did not answer: it is not known whether this is a reuse, or what has ended.
        """
        if isinstance(refusal, TokenReusedError):
            living_id = token.session_id
        else:
            living = await self._repository.forwards.find(token.session_id)
            if living is not None and living.ended:
                # A logout that failed halfway.
                await self._lifecycle.end(token.session_id, token.sub, "logout", host, actor=token.actor)
                return refusal
            if living is None or self._repository.timeouts.now() - living.since < self._grace + waited:
                return refusal
            living_id, refusal = living.id, TokenReusedError()
        self._lifecycle.emit(
            "reuse_detected", token.session_id, sub=token.sub, actor=token.actor, code=handle_of(living_id), host=host
        )
        if self._action == "end_all" and self._lifecycle.has_index and token.sub:
            # The living session ends last: if the store fails before, the next use of the token tries again.
            await self._lifecycle.end_all(token.sub, living_id, "reuse", host)
        if self._action != "refuse":
            # Through the old id: a new one that the session gets at this moment ends too.
            await self._lifecycle.end(token.session_id, token.sub, "reuse", host, actor=token.actor)
        return refusal
