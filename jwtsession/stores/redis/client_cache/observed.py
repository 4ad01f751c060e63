"""`ObservedLoads`: what counts the questions to a near cache, and measures the loads that ask the server."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ....observability import Series


class ObservedLoads(NamedTuple):
    """What a `CachedSessionStore` calls."""

    results: "Mapping[str, Series]"
    """Counts, by `hit`, `miss` and `bypass`."""
    load: Callable[..., Awaitable[bytes | None]]
    """`RedisSessionStore.load`, measured."""
    read: Callable[..., Awaitable[Any]]
    """`Executor.read`, measured."""
