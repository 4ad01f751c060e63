"""`AsyncSessionTester`: the test kit for tests that are coroutines."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Self

from .._types import C, S, Transport
from ..errors import NotStartedError
from ..manager import SessionManager
from ..web import FastAPI
from ..web.overrides import overridden
from ._bench import Bench
from ._lifespan import running
from .login import Login

if TYPE_CHECKING:
    from httpx2 import AsyncClient


class AsyncSessionTester(Bench[S, C], Generic[S, C]):
    """As `SessionTester`, for tests that are coroutines: `async with AsyncSessionTester(sessions) as tester:`.

    `async with` also starts the provider, so that `manager()` works without an application.
    Without `async with` the tester makes logins and managers of a provider that is running.
    """

    async def __aenter__(self) -> Self:
        """Begin the test, and start the provider.

        Raises:
            ConfigurationError: The provider is running, or has a tester already.
        """
        async with AsyncExitStack() as held:
            held.enter_context(self._holding())
            await held.enter_async_context(self.sessions)
            self._entered = [*getattr(self, "_entered", ()), held.pop_all()]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the provider and the test: the provider is as before."""
        await self._entered.pop().aclose()

    @asynccontextmanager
    async def client(
        self, app: Any, base_url: str = "https://testserver", **options: Any
    ) -> "AsyncIterator[AsyncClient]":
        """Start the application, and make a client of it: `async with tester.client(app) as client:`.

        Its requests are those of the application's own page, as those of `SessionTester.client`.

        Args:
            app: The application.
            base_url: The URL at which clients see the application.
            **options: As `httpx2.AsyncClient` takes them.

        Raises:
            NotStartedError: The application's lifespan does not start the provider.
        """
        from ._async_client import own_page_client  # needs httpx2

        with self._holding():
            lifespan = self.sessions._lifespan
            before = lifespan.starts
            async with running(app) as started:
                if lifespan.starts == before:
                    # The tester has started the provider, so that no request would show what is missing.
                    raise NotStartedError(
                        "the application does not start the provider: FastAPI(lifespan=sessions.lifespan)"
                    )
                async with own_page_client(started, base_url, options) as client:
                    yield client

    async def manager(self, token: str | None = None) -> SessionManager[S, C]:
        """Return the manager of a new request. The setting `token_sources` must have `bearer`.

        Args:
            token: The request's bearer token; None for a request without one.

        Raises:
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer.
        """
        return await self._manager(token)

    async def login(
        self,
        session: S | Mapping[str, Any],
        claims: C | None = None,
        *,
        age: timedelta | float = 0,
        auth_time: datetime | float | None = None,
        transport: Transport | None = None,
        max_age: int | timedelta | None = None,
        client: "AsyncClient | None" = None,
    ) -> Login[S, C]:
        """See `SessionTester.login`."""
        made = await self._log_in(session, claims, age, auth_time, transport, max_age)
        if client is not None:
            made.set_on(client)
        return made

    @asynccontextmanager
    async def as_user(
        self, app: FastAPI, session: S | Mapping[str, Any], claims: C | None = None
    ) -> AsyncIterator[Login[S, C]]:
        """See `SessionTester.as_user`."""
        made = await self.login(session, claims)
        with overridden(app, self.sessions._dependencies, made.token):
            yield made

    async def revoke(self, login: Login[S, C]) -> bool:
        """See `SessionTester.revoke`."""
        return await self._revoke(login)

    async def expire(self, login: Login[S, C]) -> None:
        """See `SessionTester.expire`."""
        await self._expire(login)

    async def reload(self, login: Login[S, C]) -> S:
        """See `SessionTester.reload`."""
        return await self._reload(login)
