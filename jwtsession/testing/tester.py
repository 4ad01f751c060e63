"""`SessionTester`: the test kit for tests that are plain functions."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from anyio.from_thread import start_blocking_portal

from .._types import C, S, Transport
from ..web import FastAPI
from ..web.overrides import overridden
from ._bench import Bench
from .login import Login

if TYPE_CHECKING:
    from starlette.testclient import TestClient

T = TypeVar("T")


class SessionTester(Bench[S, C], Generic[S, C]):
    """Tests an application with its own provider, also one that is a module's global and has no settings.

    For as long as `with` lasts, the provider keeps its sessions in memory, by a clock that the test moves, and has a
    secret: `with SessionTester(sessions) as tester:`. Then it is as before. `with tester.client(app)` does the same.

    The tester does not start the application, and does not hide that it lacks its lifespan: a request raises
    `NotStartedError` then, as in production.
    """

    def __enter__(self) -> Self:
        """Begin the test.

        Raises:
            ConfigurationError: The provider is running, or has a tester already.
        """
        holding = self._holding()
        holding.__enter__()
        self._entered = [*getattr(self, "_entered", ()), holding]
        return self

    def __exit__(self, *error: Any) -> None:
        """End the test: the provider is as before."""
        self._entered.pop().__exit__(*error)

    def client(self, app: Any, base_url: str = "https://testserver", **options: Any) -> "TestClient":
        """Return a client of the application: `with tester.client(app) as client:` runs its lifespan.

        Its requests are those of the application's own page (`Sec-Fetch-Site: same-origin`), so CSRF is checked, and
        over HTTPS, so cookies work, in WebSockets too.

        Args:
            app: The application.
            base_url: The URL at which clients see the application.
            **options: As `starlette.testclient.TestClient` takes them.
        """
        from ._client import HoldingClient  # needs httpx2

        return HoldingClient(self._holding, app, base_url, options)

    def login(
        self,
        session: S | Mapping[str, Any],
        claims: C | None = None,
        *,
        age: timedelta | float = 0,
        auth_time: datetime | float | None = None,
        transport: Transport | None = None,
        max_age: int | timedelta | None = None,
        client: "TestClient | None" = None,
    ) -> Login[S, C]:
        """Create a session with `SessionManager.create()`, as an endpoint does, with the user's index and all limits.

        This works before the application starts, and while it runs.

        Args:
            session: The session's data.
            claims: The token's claims.
            age: How long ago the login happened, in seconds or as a `timedelta`: the token is so old. The session was
                in use meanwhile, so its idle timeout counts from now.
            auth_time: When the user signed in, if that was not the login.
            transport: `cookie` or `bearer`: how `login.headers` and `client` send the token. None: as the provider
                delivers it, so in the cookie if `token_sources` begins with `cookie`.
            max_age: The session's own idle timeout, in seconds or as a `timedelta`. None uses the provider's.
            client: A client to log in: each of its requests has the token from now on.

        Raises:
            InvalidArgumentError: The session or the claims can't be stored or signed.
            NotStartedError: The test has not begun.
            SessionTooLargeError: The session is larger than 65,536 bytes.
            TooManySessionsError: The user already has `max_sessions` sessions.
            StoreUnavailableError: The store did not answer.
        """
        made = self._run(lambda: self._log_in(session, claims, age, auth_time, transport, max_age))
        if client is not None:
            made.set_on(client)
        return made

    @contextmanager
    def as_user(self, app: FastAPI, session: S | Mapping[str, Any], claims: C | None = None) -> Iterator[Login[S, C]]:
        """Make a block in which each request is this user's, whatever the client sends.

        This overrides all dependencies of the provider in this application: `get_session` and its siblings, the
        managers, `require_fresh(...)`, and `Depends()` on the session's class. The session is a real one, so the
        manager's verbs work.

        Args:
            app: The application. Those that are mounted in it are not part of it.
            session: The session's data.
            claims: The token's claims.
        """
        made = self.login(session, claims)
        with overridden(app, self.sessions._dependencies, made.token):
            yield made

    def revoke(self, login: Login[S, C]) -> bool:
        """End a session, as `SessionProvider.revoke()` does. Return whether it was there."""
        return self._run(lambda: self._revoke(login))

    def expire(self, login: Login[S, C]) -> None:
        """Remove a session from the store, as its idle timeout does. No event tells of it."""
        self._run(lambda: self._expire(login))

    def reload(self, login: Login[S, C]) -> S:
        """Return what is stored now. This is no use of the session.

        Raises:
            SessionNotFoundError: The session has ended, or `regenerate()` has moved it.
        """
        return self._run(lambda: self._reload(login))

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the application's event loop, or on one of its own if no application runs."""
        loop = self.sessions._lifespan.loop if self._is_started else None
        if loop is not None and loop.is_running():
            if asyncio._get_running_loop() is loop:
                raise RuntimeError("a SessionTester would wait for itself here: use AsyncSessionTester, and await")
            return asyncio.run_coroutine_threadsafe(work(), loop).result()
        with ExitStack() as ending:
            # In a thread of its own: the test may be a coroutine, and sees no event loop otherwise.
            made: T = ending.enter_context(start_blocking_portal()).call(work)
            return made
