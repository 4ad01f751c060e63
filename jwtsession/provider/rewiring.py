"""`rewired`: a provider with other parts, for as long as a test runs. `jwtsession.testing` alone uses it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from ..errors import ConfigurationError
from ..observability import SessionEvent
from ..settings import SessionSettings
from ..stores import SessionStore
from ..web.overrides import exchange
from .session_provider import SessionProvider

_rewired: WeakSet[SessionProvider[Any, Any]] = WeakSet()
"""The providers that have other parts now."""


def is_rewired(provider: SessionProvider[Any, Any]) -> bool:
    """Whether the provider has other parts now."""
    return provider in _rewired


@contextmanager
def rewired(
    provider: SessionProvider[Any, Any],
    settings: SessionSettings,
    store: SessionStore,
    clock: Callable[[], float],
    recorder: Callable[[SessionEvent], object],
) -> Iterator[None]:
    """Make the parts of a provider anew, and put the old ones back at the end.

    Whatever an application has got from the provider, works by the new parts meanwhile: dependencies, routers, the
    lifespan, `sync`. They reach the parts by the provider itself or by its `Dependencies`.

    Args:
        provider: The provider.
        settings: Its settings, which have a secret. Only the secret, the keys and the keyspace may be others: what
            OpenAPI shows was made when the provider was.
        store: Its store.
        clock: Returns the time in seconds since the epoch.
        recorder: Called with each event at once, beside the provider's own `on_event`.

    Raises:
        ConfigurationError: The provider runs, or has other parts already.
    """
    if is_rewired(provider):
        raise ConfigurationError(f"{provider!r} has a tester already: end that one first")
    if None in provider._lifespan.admitted:
        raise ConfigurationError(f"{provider!r} is running: begin the tester before the application starts")
    parts = provider._wire(
        settings,
        store=store,
        shares_with=None if provider._shared is None else provider._shared._lifespan.tenant,
        clock=clock,
    )
    parts.lifespan.audit.recorder = recorder
    before = dict(vars(provider))
    _rewired.add(provider)
    provider._use(parts)
    provider._settings, provider._store, provider._clock, provider._missing = settings, store, clock, None
    exchange(provider._dependencies, parts.dependencies)
    try:
        yield
    finally:
        exchange(provider._dependencies, parts.dependencies)
        vars(provider).update(before)
        _rewired.discard(provider)
