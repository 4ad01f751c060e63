"""`Lifespan`: a provider runs from the start of the first application that uses it to the end of the last one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import ConfigurationError, NotStartedError
from ..observability import ACCESS_LOGGERS, AuditTrail, TokenRedactionFilter
from ..sessions import EvictionWatch, SessionWatch
from ..stores import ServerStore
from . import openapi
from .collector import freeze_once
from .early import load_early
from .outgoing import wrapped
from .route_checks import check_routes
from .tenants import Tenant, admitted, place


class Lifespan:
    """Opens the store at the first start and closes it at the last end; knows which applications were checked.

    Args:
        tenant: The provider.
        audit: The audit trail. Its thread runs as long as the store is open.
        watch: Watches the sessions of open sockets. It stops before the store closes.
        request_arg: The URL parameter whose value access logs must not show.
        eviction: Checks the store's eviction policy; None if nothing depends on it.
        weaknesses: Warnings for the log at the start.
        arrivals: The clock for the times at which requests arrive; None if the provider does not ask for them.
        missing: The error to raise at the start, because a required setting is missing; None if none is.
        freezes: Whether the start freezes what there is: see `freeze_once`.
    """

    def __init__(
        self,
        tenant: Tenant,
        audit: AuditTrail,
        watch: SessionWatch,
        request_arg: str,
        eviction: EvictionWatch | None = None,
        weaknesses: Sequence[str] = (),
        arrivals: Callable[[], float] | None = None,
        missing: ConfigurationError | None = None,
        *,
        freezes: bool = False,
    ) -> None:
        self.tenant = tenant
        self.admitted: set[Any] = set()
        """The applications that were checked, and None while the provider runs. It is always the same set object,
        because `Dependencies` keeps it."""
        self._store = tenant.store
        self._audit = audit
        self._watch = watch
        self._request_arg = request_arg
        self._eviction = eviction
        self._weaknesses = weaknesses
        self._arrivals = arrivals
        self._missing = missing
        self._freezes = freezes
        self._running = 0
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gate = asyncio.Lock()
        self._late = ExitStack()

    @property
    def audit(self) -> AuditTrail:
        """The audit trail."""
        return self._audit

    @property
    def starts(self) -> int:
        """How many applications and blocks have started the provider, and have not ended."""
        return self._running

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop on which the provider was started.

        Raises:
            NotStartedError: The provider is not started, or the last application has ended.
        """
        self.require()
        assert self._loop is not None  # noqa: S101
        return self._loop

    def require(self) -> None:
        """Refuse to work before the start and after the end: nothing is checked and no store is open then.

        Raises:
            NotStartedError: The provider is not started. The message says how to start it.
        """
        if None not in self.admitted:
            raise NotStartedError(
                f"{self.tenant.name} is not started: its lifespan did not run, or has ended. The application that the "
                "server runs needs it, also if another one is mounted in it: FastAPI(lifespan=sessions.lifespan). "
                "In tests write `with TestClient(app) as client:`; in scripts and with ASGITransport write "
                "`async with sessions:`"
            )

    def is_started(self) -> bool:
        """Whether the provider is started. If not, this logs how to start it."""
        try:
            self.require()
        except NotStartedError as error:
            self._audit.log(logging.ERROR, "%s", error)
            return False
        return True

    async def ping(self) -> bool:
        """See `SessionProvider.ping`."""
        if not self.is_started():
            return False
        answers = await self._store.ping()
        if self._eviction is not None:
            await self._eviction.pinged(answers)
        return answers

    def document(self, app: FastAPI) -> None:
        """See `SessionProvider.document`."""
        check_routes(app)
        openapi.document(app)

    def admit(self, app: Any) -> None:
        """Check an application that did not start the provider itself, at its first request.

        Raises:
            NotStartedError: The provider is not started.
            ConfigurationError: The application can't work; see `SessionProvider.lifespan`.
        """
        self.require()
        if app is not None:
            self._late.enter_context(admitted(self.tenant, app, direct=False))
        self.admitted.add(app)
        if isinstance(app, FastAPI):
            openapi.document(app)
            self._late.enter_context(wrapped(app, self._arrivals))

    @asynccontextmanager
    async def run(self, app: Any = None) -> AsyncIterator[None]:
        """Run the provider for as long as the context lasts, with an application or without one.

        Raises:
            ConfigurationError: The application or the store can't work, a required setting is missing, or another event
                loop uses the store.
        """
        if self._missing is not None:
            raise ConfigurationError(str(self._missing))
        self._bind(asyncio.get_running_loop())
        async with AsyncExitStack() as ending:
            apps: list[Any] = []
            if app is not None:
                openapi.document(app)
                openapi.prune_dependants(app)
                load_early(app)
                ending.enter_context(wrapped(app, self._arrivals))
                apps = ending.enter_context(admitted(self.tenant, app))
                _give_own_states(app)
            ending.enter_context(self._redacted_access_logs())
            await self._start()
            ending.push_async_callback(self._end)
            self.admitted |= {None, *apps}
            if self._freezes:
                freeze_once()
            yield

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is loop:
            return
        if self._loop is None or not self._is_open or self._loop.is_closed():
            self._loop, self._gate = loop, asyncio.Lock()
        elif isinstance(self._store, ServerStore):
            raise ConfigurationError(
                f"{self.tenant.name} is started on another event loop of this process, and its connections belong to "
                "that one: end it first (two TestClients one after the other), or make a provider for each, in the "
                "function that makes the application"
            )

    async def _start(self) -> None:
        async with self._gate:
            if not self._is_open:
                await self._store.open()
                self._audit.open()
                self._is_open = True
                self._audit.log(logging.INFO, "%s: sessions are in %s", self.tenant.name, place(self._store))
                for each in self._weaknesses:
                    self._audit.log(logging.WARNING, "%s", each)
                self._weaknesses = ()  # once: some drivers (Mangum) start the application for each request
                if self._eviction is not None:
                    await self._eviction.pinged(True)
            self._running += 1

    async def _end(self) -> None:
        self._running -= 1
        async with self._gate:
            if self._running or not self._is_open:
                return
            self._is_open = False
            self.admitted.clear()
            self._late.close()
            async with AsyncExitStack() as ending:
                ending.push_async_callback(asyncio.to_thread, self._audit.close)
                ending.push_async_callback(self._store.close)
                ending.push_async_callback(self._watch.close)

    @contextmanager
    def _redacted_access_logs(self) -> Iterator[None]:
        # Also if `query` is no token source: a client may put its token into a URL by mistake, and the token is valid.
        # One filter for each start: if two applications use one provider, the first to end removes only its own.
        redaction = TokenRedactionFilter(self._request_arg)
        loggers = [logging.getLogger(name) for name in ACCESS_LOGGERS]
        for each in loggers:
            each.addFilter(redaction)
        try:
            yield
        finally:
            for each in loggers:
                each.removeFilter(redaction)


class _OwnState:
    """Gives each request a `scope["state"]` of its own, as ASGI requires. Some servers and drivers share one dict.

    This is the outermost middleware: all others see the same new dict.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            scope["state"] = dict(scope.get("state", ()))
        return self.app(scope, receive, send)


def _give_own_states(app: Any) -> None:
    stack = getattr(app, "middleware_stack", None)
    if stack is not None and not isinstance(stack, _OwnState):
        app.middleware_stack = _OwnState(stack)
