"""`Lives`: asks the store which of the watched sessions live."""

from collections.abc import Collection, Mapping, Sequence

from ...stores import SessionStore, reports_changes
from ..cutoff import Cutoff
from .watched import Watched


class Lives:
    """Asks for the sessions of open sockets and streams.

    Args:
        store: Has the sessions.
        cutoff: Refuses old tokens of all users; None if the setting `revoke_before` is off.
    """

    def __init__(self, store: SessionStore, cutoff: Cutoff | None) -> None:
        self._store = store
        self._reports = store if reports_changes(store) else None
        self._cutoff = cutoff

    async def gone(self, session_ids: Sequence[str], watched: Mapping[str, Collection[Watched]]) -> list[str]:
        """Return those sessions that have ended, or of which a socket has a token that no longer counts.

        Args:
            session_ids: The sessions.
            watched: The sockets of each session.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        if self._reports is not None:
            for each in session_ids:
                self._reports.follow(each)
        left = await self._store.remaining(session_ids)
        gone = [each for each, milliseconds in zip(session_ids, left, strict=True) if milliseconds <= 0]
        cutoff = self._cutoff
        if cutoff is not None:
            await cutoff.learn()
            gone += [each for each in session_ids if any(cutoff.refuses(of.token) for of in watched.get(each, ()))]
        return gone
