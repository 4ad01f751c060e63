"""`Bench`: what the testers have in common. They differ in who waits: a thread, or a coroutine."""

import math
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Generic, get_args

from pydantic import SecretStr
from starlette.requests import Request

from .._types import C, S, Transport
from ..errors import ConfigurationError, ExpiredTokenError, InvalidArgumentError, NotStartedError, SessionNotFoundError
from ..manager import SessionManager
from ..observability import SessionEvent
from ..provider import SessionProvider
from ..provider.rewiring import is_rewired, rewired
from ..settings import SessionSettings
from ..stores import RedisSessionStore, SessionStore
from ..tokens.new_key import new_key
from ._faults import Faults
from ._redis import RedisKeys
from .clock import Clock
from .login import Login
from .store import InspectableStore

_ago: ContextVar[float] = ContextVar("_ago", default=0.0)
"""How many seconds ago a login happens, in the task that makes it."""


class Bench(Generic[S, C]):
    """A provider with a store, a clock and a secret of a test.

    Args:
        sessions: The provider.
        redis_url: A server that keeps the sessions, under a keyspace of this test, which is removed at the end.
            `None` keeps them in memory.
        now: The time at the start, in seconds since the epoch. `None` is the present time, in whole seconds.

    Raises:
        ConfigurationError: `redis_url` is not that of one server.
    """

    def __init__(
        self, sessions: SessionProvider[S, C], *, redis_url: str | None = None, now: float | None = None
    ) -> None:
        self.sessions = sessions
        """The provider."""
        own = None if is_rewired(sessions) else sessions._clock
        self.clock = own if isinstance(own, Clock) else Clock(math.floor(time.time()))
        """The clock: `tester.clock.advance(hours=2)`. It is the provider's own, if that is such a `Clock`."""
        if now is not None:
            self.clock.now = now
        self.events: list[SessionEvent] = []
        """The events so far. The provider's `on_event` gets them too."""
        self._keyspace = f"{sessions._settings.keyspace}test-{secrets.token_hex(8)}:"
        self._redis_url = redis_url
        self._keys = None if redis_url is None else RedisKeys(redis_url, self._keyspace)
        kept = None if is_rewired(sessions) else sessions.store
        self._memory = kept if isinstance(kept, InspectableStore) else InspectableStore(self.clock)
        self._faults = Faults()
        self._holders = 0
        self._held = ExitStack()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.sessions!r})"

    @property
    def store(self) -> InspectableStore:
        """The store, to look into: `tester.store.contents[login.id]`. It is the provider's own, if that is such a one.

        Raises:
            ConfigurationError: The sessions are on a server: `reload()` reads one.
        """
        if self._keys is not None:
            raise ConfigurationError("store: the sessions are on the server of redis_url, read one by reload()")
        return self._memory

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Make a block in which the store does not answer: every call raises `StoreUnavailableError`."""
        self._require_held()
        before, self._faults.is_down = self._faults.is_down, True
        try:
            yield
        finally:
            self._faults.is_down = before

    @contextmanager
    def conflict(self, times: int | None = 1) -> Iterator[None]:
        """Make a block in which changes conflict, as if another request had changed the session in between.

        `update()` and `regenerate()` raise `SessionConflictError` then, and `mutate()` tries again.

        Args:
            times: How many of the block's changes conflict; None for all.
        """
        self._require_held()
        before, self._faults.conflicts = self._faults.conflicts, math.inf if times is None else times
        try:
            yield
        finally:
            self._faults.conflicts = before

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """Give the provider the parts of the test, for as long as anybody holds them."""
        if self._holders == 0:
            with ExitStack() as swapped:
                self._exchange(swapped)
                self._held = swapped.pop_all()
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0:
                self._held.__exit__(*sys.exc_info())  # a failure of the test stays the context of one of the end

    def _exchange(self, swapped: ExitStack) -> None:
        settings, store = self._settings(), self._store()
        if self._keys is not None:
            settings = settings.model_copy(update={"keyspace": self._keyspace})
            swapped.callback(self._keys.delete)
            swapped.callback(self.clock._follow(self._keys.advance))
        elif store is self._memory:
            swapped.callback(setattr, store, "_clock", self._memory._clock)
            self._memory._clock = self.clock
        swapped.enter_context(self._faults.on(store))
        swapped.enter_context(rewired(self.sessions, settings, store, self._now, self.events.append))

    def _settings(self) -> SessionSettings:
        """The provider's settings, with a secret."""
        settings, shared = self.sessions._settings, self.sessions._shared
        if self.sessions._missing is None and self.sessions._keys.can_sign:
            return settings
        if shared is not None and is_rewired(shared):
            return settings.model_copy(update={"secret": shared._settings.secret, "keys": shared._settings.keys})
        secret = SecretStr(new_key(settings.algorithm, "", as_pem=True))
        return settings.model_copy(update={"secret": secret, "keys": ()})

    def _store(self) -> SessionStore:
        if self._redis_url is not None:
            return RedisSessionStore(self._redis_url, keyspace=self._keyspace)
        shared = self.sessions._shared
        if shared is not None and is_rewired(shared) and isinstance(shared.store, InspectableStore):
            self._memory = shared.store
        return self._memory

    def _now(self) -> float:
        return self.clock.now - _ago.get()

    @property
    def _is_started(self) -> bool:
        return None in self.sessions._lifespan.admitted

    def _require_held(self) -> None:
        if self._holders == 0:
            raise NotStartedError(f"begin the test first: with {type(self).__name__}(sessions) as tester:")

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[None]:
        """Start the provider for one call, if no application has started it."""
        if self._is_started:
            yield
            return
        self._require_held()
        async with self.sessions:
            yield

    async def _log_in(
        self,
        session: S | Mapping[str, Any],
        claims: C | None,
        age: timedelta | float,
        auth_time: datetime | float | None,
        transport: Transport | None,
        max_age: int | timedelta | None,
    ) -> Login[S, C]:
        settings = self.sessions._settings
        if transport is not None and transport not in get_args(Transport):
            raise InvalidArgumentError('transport: must be "cookie" or "bearer"')
        if transport == "cookie" and "cookie" not in settings.token_sources:
            raise InvalidArgumentError('transport: "cookie" needs "cookie" in token_sources')
        if auth_time is not None:
            seconds = auth_time.timestamp() if isinstance(auth_time, datetime) else auth_time
            model: type[C] = self.sessions._wire.keywords["claims_model"]
            claims = (claims or model()).model_copy(update={"auth_time": int(seconds)})
        seconds_ago = age.total_seconds() if isinstance(age, timedelta) else age
        if seconds_ago < 0:
            raise InvalidArgumentError("age: must not be negative")
        async with self._started():
            manager = self.sessions._messages.visitor()
            if seconds_ago:
                self._require_held()
            before = _ago.set(seconds_ago)
            try:
                token = await manager.create(session, claims, max_age=max_age, transport="bearer")
            finally:
                _ago.reset(before)
            assert manager.id is not None  # noqa: S101
            assert manager.claims is not None  # noqa: S101
            made = manager.id, manager.require(), manager.claims
            if seconds_ago:
                await self._use_now(manager)
        first = "cookie" if settings.token_sources[0] == "cookie" else "bearer"
        return Login(token.access_token, *made, settings, (transport or first) == "cookie")

    @staticmethod
    async def _use_now(manager: SessionManager[S, C]) -> None:
        """Count the idle timeout from now, and not from the login. A token may have expired since."""
        try:
            await manager.touch()
        except ExpiredTokenError:
            return

    async def _manager(self, token: str | None) -> SessionManager[S, C]:
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        scope: dict[str, Any] = {"type": "http", "method": "GET", "headers": headers, "query_string": b""}
        return await self.sessions.get_manager(Request(scope))

    async def _revoke(self, login: Login[S, C]) -> bool:
        async with self._started():
            return await self.sessions.revoke(login.id)

    async def _expire(self, login: Login[S, C]) -> None:
        async with self._started():
            await self.sessions.store.destroy(login.id)

    async def _reload(self, login: Login[S, C]) -> S:
        async with self._started():
            session = await self.sessions.get(login.id)
        if session is None:
            raise SessionNotFoundError
        return session
