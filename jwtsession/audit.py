"""Audit events: what happened to which session, for the log and for a hook of the application's own (a SIEM)."""

import contextlib
import hashlib
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

logger = logging.getLogger("jwtsession")

_WAITING = 10_000
"""Events that may wait for a slow hook; more are dropped and counted."""


def hashed(session_id: str) -> str:
    """A session's id as it may stand in a log: enough to follow it, not enough to use it."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """Something that happened to a session. Holds no token, id, claim or session data."""

    name: Literal["created", "regenerated", "destroyed", "refused"]
    """What happened."""
    session: str | None
    """The start of the SHA-256 of the session's id; None where no genuine token named one."""
    code: str | None = None
    """Of `refused`: the error's `code`. Of `regenerated`: the hash of the new id."""
    client: str | None = None
    """The client's address as the server saw it; None outside a request."""


class AuditTrail:
    """Tells events to the logger `jwtsession` and to a hook, without ever slowing or breaking a request.

    The hook runs in a thread of its own. What it raises is logged; what it can't keep up with is dropped and counted.

    Args:
        hook: Called with each event, in their order.
    """

    def __init__(self, hook: Callable[[SessionEvent], object] | None = None) -> None:
        self._hook = hook
        self._queue: queue.Queue[SessionEvent | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._dropped = 0

    def open(self) -> None:
        """Start the hook's thread."""
        if self._hook is not None and self._thread is None:
            self._thread = threading.Thread(target=self._deliver, name="jwtsession-audit", daemon=True)
            self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Deliver what waits, for at most `timeout` seconds, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=timeout)
                thread.join(timeout)

    def tell(self, event: SessionEvent) -> None:
        """Log the event and hand it to the hook."""
        logger.info(
            "%s: session %s, %s, client %s", event.name, event.session or "-", event.code or "-", event.client or "-"
        )
        if self._hook is None:
            return
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._dropped += 1
            if self._dropped.bit_count() == 1:  # the 1st, 2nd, 4th, 8th, ...: a slow hook must not flood the log
                logger.warning("the audit hook is too slow: %d events dropped", self._dropped)

    def _deliver(self) -> None:
        assert self._hook is not None  # noqa: S101
        while (event := self._queue.get()) is not None:
            try:
                self._hook(event)
            except Exception:
                logger.exception("the audit hook failed")
