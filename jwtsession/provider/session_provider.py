"""`SessionProvider`: the one object that an application makes. It gives FastAPI's dependencies and admin methods."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Generic, Self, Unpack

from .._from_settings import make_store
from .._injectable import bind
from .._tracebacks import scrub_traceback
from .._types import C, MayImpersonate, S
from ..errors import ConfigurationError
from ..manager.session_manager import SessionManager
from ..manager.until_ended import until_ended
from ..models import Claims, Session
from ..observability import AuditTrail, SessionEvent
from ..sessions import Migrate
from ..settings import SessionSettings, SettingsOptions, settings_or_missing, shown_name
from ..stores import RedisClient, SessionStore
from ..sync import SyncSessionProvider
from ..web import FastAPI
from ..web.dependency import SessionDependency
from ..web.factories import makes_dependency
from ..web.injection import depends
from ..web.scopes import fresh_demand, level_demand
from .provided_routers import ProvidedRouters
from .wiring import Parts, wire


class SessionProvider(ProvidedRouters[S, C], Generic[S, C]):
    """Typed sessions for a FastAPI application.

    Args:
        session_model: The model of the stored data, a subclass of `Session`. Without it sessions are free-form.
        claims_model: The model of the JWT's claims, a subclass of `Claims`.
        settings: All settings. Without it the provider takes them from `options` and the environment.
        store: A store instead of the server at `settings.redis_url`: `MemorySessionStore` in tests.
        client: A `redis.asyncio` client instead of `settings.redis_url`. You close it, not the provider.
        shares_sessions_with: Another provider with the same `keyspace` in the same store, so that both use the same
            sessions. Without this argument an application refuses to start with two such providers.
        token_url: Path of the login endpoint, if it takes an OAuth2 password form: Swagger UI's "Authorize" uses it.
        scopes: What each scope permits, for OpenAPI: `{"orders:read": "See your orders"}`.
        migrate: A function for stored data that does not fit `session_model`, as an older version of the application
            wrote it. It returns data that fits. If it fails, the request gets a 401 and the store keeps the data.
        may_impersonate: A function `(admin, sub)` that says whether one user may act for another: for `impersonate()`,
            which refuses everybody without it. It may be a coroutine function.
        on_event: A function that gets every `SessionEvent`, in a thread of its own: for a SIEM.
        clock: Returns the time in seconds since the epoch.
        **options: Settings by name, as `SessionSettings` takes them: `SessionProvider(UserSession, secret=...)`.

    Without a secret a provider can be made, so that a module with one can be imported in tests and for an export of
    OpenAPI. It can't be started: that raises the error that says what is missing.

    Raises:
        ConfigurationError: A setting or a model can't work.
    """

    get_session: SessionDependency[S]
    """Dependency: the request's session. 401 without a session, 400 for two different tokens, 503 without the store."""

    get_editable_session: SessionDependency[S]
    """Dependency: as `get_session`, and what the request changes in the session is stored when its answer starts, if
    the status is below 400. 409 if another request changed the session meanwhile, 413 if it is too large."""

    peek_session: SessionDependency[S]
    """Dependency: as `get_session`, but the request does not restart the session's idle timeout. For polling."""

    get_optional_session: SessionDependency[S | None]
    """Dependency: the request's session; None if the token is missing or not valid. 400 and 503 as `get_session`."""

    get_manager: SessionDependency[SessionManager[S, C]]
    """Dependency: the request's manager, with or without a session. It does not refuse a token that is not valid."""

    get_required_manager: SessionDependency[SessionManager[S, C]]
    """Dependency for a log-out: the manager of a request with a genuine token. 401 without one, and OpenAPI shows that
    a token is needed. The session may be gone or not readable: `destroy()` works all the same."""

    @scrub_traceback
    def __init__(
        self,
        session_model: type[S] | None = None,
        claims_model: type[C] | None = None,
        *,
        settings: SessionSettings | None = None,
        store: SessionStore | None = None,
        client: RedisClient | None = None,
        shares_sessions_with: "SessionProvider[Any, Any] | None" = None,
        token_url: str | None = None,
        scopes: Mapping[str, str] | None = None,
        migrate: Migrate | None = None,
        may_impersonate: MayImpersonate | None = None,
        on_event: Callable[[SessionEvent], object] | None = None,
        clock: Callable[[], float] = time.time,
        **options: Unpack[SettingsOptions],
    ) -> None:
        if settings is not None and options:
            raise ConfigurationError(f"give either settings or {', '.join(map(shown_name, options))}, not both")
        if may_impersonate is not None and not callable(may_impersonate):
            raise ConfigurationError("may_impersonate: must be a function of two texts: who acts, and for whom")
        if not isinstance(shares_sessions_with, SessionProvider | None):
            raise ConfigurationError("shares_sessions_with: must be a SessionProvider")
        shared: SessionProvider[Any, Any] | None = shares_sessions_with
        model: type[S] = _subclass(session_model, Session, "session_model")
        claims: type[C] = _subclass(claims_model, Claims, "claims_model")
        missing = None
        if settings is None:
            settings, missing = settings_or_missing(options)
        self._settings, self._store = settings, make_store(settings, store, client, clock)
        self._model, self._clock, self._shared, self._missing = model, clock, shared, missing
        self._wire: partial[Parts[S, C]] = partial(
            wire,
            session_model=model,
            claims_model=claims,
            token_url=token_url,
            scopes=scopes or {},
            migrate=migrate,
            audit=partial(AuditTrail, on_event),
            may_impersonate=may_impersonate,
        )
        parts = self._wire(
            settings,
            store=self._store,
            shares_with=None if shared is None else shared._lifespan.tenant,
            clock=clock,
            missing=missing,
        )
        self._use(parts)
        self._dependencies = parts.dependencies
        self._impersonates = may_impersonate is not None
        self._entered: list[AbstractAsyncContextManager[None]] = []
        self.get_session = self._dependencies.session()
        self.get_editable_session = self._dependencies.editable_session()
        self.peek_session = self._dependencies.peeked_session()
        self.get_optional_session = self._dependencies.optional_session()
        self.get_manager = self._dependencies.manager()
        self.get_required_manager = self._dependencies.required_manager()
        bind(model, depends(self.get_session))

    def __repr__(self) -> str:
        return f"SessionProvider({self._model.__name__}, {self._store!r})"

    def _use(self, parts: Parts[S, C]) -> None:
        """Work by these parts from now on. The dependencies are apart: endpoints have them."""
        super().__init__(parts.lifespan, parts.admin, parts.messages)
        self._keys = parts.keys

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Open the store for as long as the application runs: `FastAPI(lifespan=sessions.lifespan)`.

        In a lifespan of your own, write `async with sessions.lifespan(app): yield`. The application starts even if the
        session server is down. Without an application, write `async with sessions:`.

        Raises:
            ConfigurationError: The secret is missing, a route takes a session or claims from the client (a forgotten
                `Depends()`), the embedded server can't be started, two providers of the application have the same
                `request_key` or overlapping keyspaces, or the provider is running on another event loop.
        """
        async with self._lifespan.run(app):
            yield

    async def __aenter__(self) -> Self:
        """Open the store without an application, for a script: `async with sessions: await sessions.revoke(...)`.

        Raises:
            ConfigurationError: The secret is missing, the embedded server can't be started, or the provider is running
                on another event loop.
        """
        running = self._lifespan.run()
        await running.__aenter__()
        self._entered.append(running)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the store, unless an application still uses the provider."""
        await self._entered.pop().__aexit__(None, None, None)

    @property
    def settings(self) -> SessionSettings:
        """The settings in use. They can't be changed.

        Raises:
            ConfigurationError: The secret is missing.
        """
        if self._missing is not None:
            raise ConfigurationError(str(self._missing))  # a new one: the frames of each caller stay with an error
        return self._settings

    @property
    def store(self) -> SessionStore:
        """The store in use. It can't be replaced; pass another store to the constructor: `store=`."""
        return self._store

    @property
    def sync(self) -> SyncSessionProvider[S]:
        """Blocking `get`, `list_sessions`, `set_label`, `revoke` and its siblings, for `def` endpoints."""
        return SyncSessionProvider(self, lambda: self._lifespan.loop)

    def document(self, app: FastAPI) -> None:
        """Complete the application's OpenAPI document: security schemes, and the answers of refused requests.

        `lifespan` calls this. A script that exports `app.openapi()` without starting the application calls it itself.

        Raises:
            ConfigurationError: A route takes a session or claims from the client (a forgotten `Depends()`).
        """
        self._lifespan.document(app)

    def until_ended(self, manager: SessionManager[S, C]) -> AbstractAsyncContextManager[None]:
        """Make a block that ends with the session: `async with sessions.until_ended(manager):` around a loop.

        When the session ends, whatever the block waits for is cancelled, and the code after the block runs, without an
        error. So it is as `asyncio.timeout`, but nothing is raised. The block also ends if the store has not answered
        for 30 seconds. An endpoint that waits for messages of its WebSocket, and an answer that is streamed, need no
        such block: they end by themselves.

        Args:
            manager: A manager with a session.

        Raises:
            AuthenticationError: There is no session.
        """
        return until_ended(manager)

    @makes_dependency
    def require_fresh(self, max_age: int | timedelta) -> SessionDependency[S]:
        """Make a dependency for sensitive endpoints: the session of a user who signed in at most `max_age` seconds ago.

        The claim `auth_time` holds the time of the sign-in. `create()` sets it if there is a `sub`; `regenerate()`
        keeps it. The dependency raises `StaleAuthenticationError` if the sign-in is older, or the token has no
        `auth_time`, and `ImpersonationError` if somebody acts for the user.

        Args:
            max_age: Seconds, or a `timedelta` of whole seconds.

        Raises:
            ConfigurationError: `max_age` is not a whole number of seconds.
        """
        # Not the clock itself: `jwtsession.testing` exchanges it.
        return self._dependencies.demanding_session(fresh_demand(max_age, lambda: self._clock()), "stale")

    @makes_dependency
    def require_level(self, *acr_values: str, amr: Sequence[str] = ()) -> SessionDependency[S]:
        """Make a dependency for sensitive endpoints: the session of a user who signed in strongly enough (RFC 9470).

        The claims `acr` (the level) and `amr` (the methods) hold how the user signed in. You set them by `create()`
        and `step_up()`. The dependency raises `InsufficientLevelError` if the sign-in does not suffice, or the token
        does not tell. For a sign-in that is also recent, ask for `require_fresh()` by a second dependency.

        Args:
            *acr_values: Every level that is enough: `require_level("aal2", "aal3")`. Levels have no order.
            amr: Methods that the user must have used, all of them: `["otp"]`.

        Raises:
            ConfigurationError: There is no level and no method, or one is no text that a challenge can have.
        """
        return self._dependencies.demanding_session(level_demand(acr_values, amr), "level")

    @makes_dependency
    def redirect_to_login(self, path: str) -> SessionDependency[S]:
        """Make a dependency for HTML pages: as `get_session`, but a browser without a session goes to the login page.

        A browser that opens a page gets a 303 to `path` with `?next=`, and any other request the 401. After the login,
        redirect to `safe_next(next)`.

        Args:
            path: The path of the login page.

        Raises:
            ConfigurationError: `path` is no path of this site.
        """
        return self._dependencies.redirecting_session(path)


def _subclass(given: Any, base: type, argument: str) -> Any:
    if given is None:
        return base
    if not (isinstance(given, type) and issubclass(given, base)):
        raise ConfigurationError(f"{argument}: must be a subclass of jwtsession.{base.__name__}")
    return given
