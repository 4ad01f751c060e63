"""`Faults`: a store that is down, and changes that come in between."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import StoreUnavailableError
from ..stores import Outcome, SessionStore


class Faults:
    """What goes wrong with a store, as a test wants it."""

    def __init__(self) -> None:
        self.is_down = False
        """Whether no call is answered."""
        self.conflicts = 0.0
        """How many of the next compare-and-sets conflict."""

    @contextmanager
    def on(self, store: SessionStore) -> Iterator[None]:
        """Go wrong at this store, for as long as the context lasts.

        Args:
            store: The store. Its methods are exchanged, and put back at the end.
        """
        guards = {
            "ping": self._ping,
            "update": self._compare,
            "compare_and_delete": self._compare,
        }
        names = [each for each in dir(type(store)) if not each.startswith("_") and each not in ("open", "close")]
        methods = {each: getattr(store, each) for each in names if inspect.iscoroutinefunction(getattr(store, each))}
        others = {each: method for each, method in vars(store).items() if each in methods}  # of another tester
        for name, method in methods.items():
            setattr(store, name, self._guarded(guards.get(name, self._any), method))
        try:
            yield
        finally:
            for name in methods:
                delattr(store, name)
            vars(store).update(others)

    @staticmethod
    def _guarded(guard: Callable[..., Awaitable[Any]], method: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def guarded(*args: Any, **options: Any) -> Any:
            return await guard(method, *args, **options)

        return guarded

    async def _any(self, method: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        if self.is_down:
            raise StoreUnavailableError
        return await method(*args, **options)

    async def _ping(self, method: Callable[..., Awaitable[Any]]) -> Any:
        return not self.is_down and await method()

    async def _compare(self, method: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        if self.conflicts and not self.is_down:
            self.conflicts -= 1
            return Outcome.CONFLICT
        return await self._any(method, *args, **options)
