"""Audit events: what happened to which session, for the log and for a hook of the application's own (a SIEM)."""

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
"""Events that may wait for a slow hook; more are dropped and counted."""

_MAX_ADDRESS = 100  # characters: an IPv6 address of 45, a zone, a port


def client_address(host: object) -> str | None:
    """The client's address as it may stand in a log; None for what is no IP address.

    A server that trusts `X-Forwarded-For` passes on what a client has written: line ends, fields of its own, a novel.
    Also without a port, as some proxies add it, and without an IPv6 zone (RFC 4007 section 11), which may be any text.
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
    """The client's IP address as the server saw it; None outside a request, and where it has none."""


class AuditTrail:
    """Tells events to the logger `jwtsession` and to a hook, without ever slowing or breaking a request.

    The hook runs in a thread of its own. What it raises is logged; what it can't keep up with is dropped and counted.

    Args:
        hook: Called with each event, in their order.

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
        """Deliver what waits, for at most `timeout` seconds, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # Whoever opens next has a queue of its own: a hook that hangs may come back to this one.
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
        """Write to the logger `jwtsession`; what a handler of the application's own raises is its own affair."""
        _log(level, message, *args)


def _deliver(hook: Callable[[SessionEvent], object], waiting: "queue.SimpleQueue[SessionEvent | None]") -> None:
    while (event := waiting.get()) is not None:
        try:
            hook(event)
        except BaseException:  # sys.exit() too: the next event finds the thread alive
            _log(logging.ERROR, "the audit hook failed", exc_info=True)


def _log(level: int, message: str, *args: object, exc_info: bool = False) -> None:
    # A logging handler of the application's own may raise; the session is stored all the same.
    with contextlib.suppress(Exception):
        logger.log(level, message, *args, exc_info=exc_info)
