"""Audit events: what happened to which session, for the log and for the application's own hook (a SIEM)."""

import contextlib
import inspect
import ipaddress
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigurationError

logger = logging.getLogger("jwtsession")

_WAITING = 10_000
"""How many events may wait for a slow hook. Further events are dropped and counted."""

_MAX_ADDRESS = 100  # characters: an IPv6 address of 45, a zone, a port


def client_address(host: object) -> str | None:
    """The client's IP address in a form that is safe in a log; None if `host` is no IP address.

    A server that trusts `X-Forwarded-For` passes on any text that a client has written: line ends, forged fields, long
    texts. This also removes a port, which some proxies add, and an IPv6 zone (RFC 4007 section 11), which may be any
    text.
    """
    if not isinstance(host, str) or len(host) > _MAX_ADDRESS:
        return None
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


EventName = Literal["created", "regenerated", "rotated", "destroyed", "reuse_detected", "refused", "revoked_before"]
"""What can happen to a session."""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """An event in the life of a session. It contains no token, session id, claim or session data."""

    name: EventName
    """What happened. `reuse_detected`: somebody uses a token that was replaced, and its session lives."""
    session: str | None
    """The first 12 hex digits of the SHA-256 of the session's id; None if no genuine token named a session."""
    code: str | None = None
    """For `refused`, the error's `code`. For `regenerated`, the hash of the new id, as in `session`. For
    `reuse_detected`, the hash of the id under which the session lives now. For `revoked_before`, the time that counts
    now."""
    client: str | None = None
    """The client's IP address as the server saw it; None outside a request, or if the server knows no address."""


class AuditTrail:
    """Sends events to the logger `jwtsession` and to a hook. It never slows down or breaks a request.

    The hook runs in a thread of its own. If it raises, the error is logged. If it is too slow, events are dropped and
    counted.

    Args:
        hook: Called with each event, in order.

    Raises:
        ConfigurationError: The hook is a coroutine function, which a thread can't call.
    """

    def __init__(self, hook: Callable[[SessionEvent], object] | None = None) -> None:
        if inspect.iscoroutinefunction(hook):
            raise ConfigurationError("on_event: must be a plain function: it is called in a thread of its own")
        self._hook = hook
        self._waiting: queue.SimpleQueue[SessionEvent | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._dropped = 0

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

    def emit(self, event: SessionEvent) -> None:
        """Log the event and hand it to the hook."""
        facts = (event.session or "-", event.code or "-", event.client or "-")
        _log(logging.INFO, "%s: session %s, %s, client %s", event.name, *facts)
        if self._hook is None:
            return
        if self._waiting.qsize() < _WAITING:
            self._waiting.put(event)
            return
        self._dropped += 1
        if self._dropped.bit_count() == 1:  # the 1st, 2nd, 4th, 8th, ...: a slow hook must not flood the log
            _log(logging.WARNING, "the audit hook is too slow: %d events dropped", self._dropped)

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


def _log(level: int, message: str, *args: object, exc_info: bool = False) -> None:
    # A logging handler of the application may raise. That must not fail a request whose session is already stored.
    with contextlib.suppress(Exception):
        logger.log(level, message, *args, exc_info=exc_info)
