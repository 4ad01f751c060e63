"""Audit events: what happened to which session, for the log and for the application's own hook (a SIEM)."""

import contextlib
import hmac
import inspect
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from .._base64 import encode
from .._ids import handle_of
from ..errors import ConfigurationError
from .client import client_address

if TYPE_CHECKING:
    from .telemetry import Telemetry

logger = logging.getLogger("jwtsession")

_WAITING = 10_000
"""How many events may wait for a slow hook. Further events are dropped and counted."""

EventName = Literal[
    "created", "regenerated", "rotated", "destroyed", "reuse_detected", "client_changed", "refused", "revoked_before"
]  # fmt: skip
"""What can happen to a session."""

EventReason = Literal[
    "login", "impersonation", "step_up", "logout", "logout_others", "revoked", "evicted", "replaced", "reuse", "expired"
]  # fmt: skip
"""Why it happened."""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """An event in the life of a session. It contains no token, session id, claim or session data."""

    name: EventName
    """What happened. `reuse_detected`: somebody uses a token that was replaced, and its session lives.
    `client_changed`: the address's network and the user agent both differ from those of the login."""
    handle: str | None
    """The session's handle, as in `SessionInfo.handle`; None if no genuine token named a session."""
    code: str | None = None
    """For `refused`, the error's `code`. For `regenerated`, the handle of the session under its new id. For
    `reuse_detected`, the handle of the session as it lives now. For `revoked_before`, the time that counts now."""
    client: str | None = None
    """The client's IP address as the server saw it; None outside a request, or if the server knows no address."""
    reason: EventReason | None = None
    """Why. For `created`: `login`, `impersonation`. For `regenerated`: `step_up`, or None. For `destroyed`: `logout`,
    `logout_others` (`destroy_others()`), `revoked` (the provider's methods, routers), `evicted` (`max_sessions`),
    `replaced` (another login of the same client), `reuse` (`on_reuse`). For `refused`: `expired`, or None."""
    sub: str | None = None
    """The user, as 22 characters of an HMAC; as in the claim `sub`, if the setting `audit_sub` is on."""
    actor: str | None = None
    """Who acts for the user (`impersonate()`), in the form of `sub`."""
    provider: str = ""
    """The provider's `request_key`."""


class AuditTrail:
    """Sends events to the logger `jwtsession` and to a hook. It never slows down or breaks a request.

    The hook runs in a thread of its own. If it raises, the error is logged. If it is too slow, events are dropped and
    counted.

    Args:
        hook: Called with each event, in order.
        provider: The provider's name in the events.
        sub_key: The key of the HMACs that events have in place of users; None: they have the users.
        telemetry: Counts the events; None without OpenTelemetry.

    Raises:
        ConfigurationError: The hook is a coroutine function, which a thread can't call.
    """

    def __init__(
        self,
        hook: Callable[[SessionEvent], object] | None = None,
        provider: str = "",
        sub_key: bytes | None = None,
        telemetry: "Telemetry | None" = None,
    ) -> None:
        if inspect.iscoroutinefunction(hook):
            raise ConfigurationError("on_event: must be a plain function: it is called in a thread of its own")
        self._hook = hook
        self._provider = provider
        self._sub_key = sub_key
        self._telemetry = telemetry
        self._waiting: queue.SimpleQueue[SessionEvent | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self.recorder: Callable[[SessionEvent], object] | None = None
        """Called with each event at once, in the thread in which it happens: for tests."""

    def open(self) -> None:
        """Start the hook's thread."""
        if self._hook is not None and self._thread is None:
            arguments = (self._hook, self._waiting)
            self._thread = threading.Thread(target=_deliver, args=arguments, name="jwtsession-audit", daemon=True)
            self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Deliver the waiting events and end the thread.

        Args:
            timeout: How many seconds to wait for the hook at most.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # The next `open` needs a new queue: the thread of a hook that hangs may still read from this one.
        waiting, self._waiting = self._waiting, queue.SimpleQueue()
        waiting.put(None)
        thread.join(timeout)
        if thread.is_alive():
            _log(logging.WARNING, "the audit hook is too slow: %d events wait for it at the end", waiting.qsize() - 1)

    def emit(
        self,
        name: EventName,
        session_id: str | None = None,
        *,
        sub: str | None = None,
        actor: str | None = None,
        code: str | None = None,
        reason: EventReason | None = None,
        host: object = None,
    ) -> None:
        """Log an event and hand it to the hook.

        Args:
            name: What happened.
            session_id: The session; None if no genuine token named one.
            sub: The session's user; None if nobody knows.
            actor: Who acts for the user; None for the user.
            code: See `SessionEvent.code`.
            reason: See `SessionEvent.reason`.
            host: The client's address as the server saw it.
        """
        handle = None if session_id is None else handle_of(session_id)
        event = SessionEvent(
            name, handle, code, client_address(host), reason, self._shown(sub), self._shown(actor), self._provider
        )
        facts = (name, handle or "-", code or reason or "-", event.client or "-")
        acting = "" if event.actor is None else f", actor {event.actor}"
        _log(logging.INFO, "%s: session %s, %s, client %s%s", *facts, acting, extra=_fields(event))
        if self._telemetry is not None:
            # Not the code of other events: it may be a handle.
            self._telemetry.event(name, code if name == "refused" else reason)
        if self.recorder is not None:
            self.recorder(event)
        if self._hook is None:
            return
        if self._waiting.qsize() < _WAITING:
            self._waiting.put(event)
            return
        self._dropped += 1
        if self._telemetry is not None:
            self._telemetry.dropped()
        if self._dropped.bit_count() == 1:  # the 1st, 2nd, 4th, 8th, ...: a slow hook must not flood the log
            _log(logging.WARNING, "the audit hook is too slow: %d events dropped", self._dropped)

    def _shown(self, sub: str | None) -> str | None:
        """A user, or an actor, as the events have it."""
        if sub is None or self._sub_key is None:
            return sub
        # A token may carry half of a surrogate pair.
        return encode(hmac.digest(self._sub_key, sub.encode(errors="surrogatepass"), "sha256"))[:22]

    @staticmethod
    def log(level: int, message: str, *args: object) -> None:
        """Write to the logger `jwtsession`. An error in a handler of the application is ignored."""
        _log(level, message, *args)


def _deliver(hook: Callable[[SessionEvent], object], waiting: "queue.SimpleQueue[SessionEvent | None]") -> None:
    while (event := waiting.get()) is not None:
        try:
            hook(event)
        except BaseException:  # also `sys.exit()`: the thread must live on for the next event
            _log(logging.ERROR, "the audit hook failed", exc_info=True)


def _fields(event: SessionEvent) -> dict[str, str | None]:
    """The event as fields of a log record: `jwtsession_event`, `jwtsession_handle`, ..."""
    shown = {f"jwtsession_{each.name}": getattr(event, each.name) for each in fields(event)}
    return {"jwtsession_event": shown.pop("jwtsession_name"), **shown}


def _log(
    level: int, message: str, *args: object, exc_info: bool = False, extra: Mapping[str, object] | None = None
) -> None:
    # A logging handler of the application may raise. That must not fail a request whose session is already stored.
    with contextlib.suppress(Exception):
        logger.log(level, message, *args, exc_info=exc_info, extra=extra)
