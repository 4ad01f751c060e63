"""`SessionProvider`: the one object that an application makes. FastAPI's dependencies, and the way around a request."""

import importlib.util
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, overload

from fastapi import Depends, FastAPI
from redis.asyncio import Redis, RedisCluster
from starlette.requests import HTTPConnection
from starlette.responses import Response

from . import models, openapi
from .credentials import TokenFinder
from .errors import AuthenticationError, ConfigurationError
from .injection import bind
from .manager import SessionManager, Sessions
from .models import Claims, Session
from .settings import SessionSettings
from .stores import RedisSessionStore, SessionStore
from .tokens import TokenCodec, is_session_id

S = TypeVar("S", bound=Session)
C = TypeVar("C", bound=Claims)
T = TypeVar("T")


class SessionDependency(openapi.Documented, Generic[T]):
    """What stands in `Depends(...)`: `SessionProvider.get_session` and its siblings."""

    def __init__(self, resolve: Callable[[HTTPConnection, Response], Awaitable[T]], **documentation: Any) -> None:
        super().__init__(**documentation)
        self._resolve = resolve
        self.sign(connection=HTTPConnection, response=Response)

    async def __call__(self, connection: HTTPConnection, response: Response, **_schemes: None) -> T:
        """Resolve for a request or a WebSocket. FastAPI calls this."""
        return await self._resolve(connection, response)


class SessionProvider(Generic[S, C]):
    """Typed sessions for a FastAPI application.

    Args:
        session_model: The stored data, a subclass of `Session`. Without it sessions are free-form.
        claims_model: The JWT's claims, a subclass of `Claims`.
        settings: All settings. Without it they are taken from `options` and the environment.
        store: Another store than the Redis of `settings.redis_url`: `MemorySessionStore` in tests.
        client: A `redis.asyncio` client of your own instead of `settings.redis_url`; it stays yours to close.
        token_url: Path of the login endpoint, if it takes an OAuth2 password form: Swagger UI's "Authorize" uses it.
        clock: The time in seconds since the epoch.
        **options: Settings by name, as `SessionSettings` takes them: `SessionProvider(UserSession, secret=...)`.

    Raises:
        ConfigurationError: A setting or a model can't work.
    """

    get_session: SessionDependency[S]
    """Dependency: the request's session. 401 where there is none, 400 for two tokens, 503 without the store."""

    get_optional_session: SessionDependency[S | None]
    """Dependency: the request's session, or None for a missing and a dead token alike. 400 and 503 as above."""

    get_manager: SessionDependency[SessionManager[S, C]]
    """Dependency: the request's manager, with or without a session; never refuses a request for a dead token."""

    @overload
    def __init__(
        self: "SessionProvider[Session, Claims]",
        session_model: None = None,
        claims_model: None = None,
        *,
        settings: SessionSettings | None = None,
        store: SessionStore | None = None,
        client: "Redis | RedisCluster | None" = None,
        token_url: str | None = None,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None: ...

    @overload
    def __init__(
        self: "SessionProvider[S, Claims]",  # pyright: ignore[reportInvalidTypeVarUse]
        session_model: type[S],
        claims_model: None = None,
        *,
        settings: SessionSettings | None = None,
        store: SessionStore | None = None,
        client: "Redis | RedisCluster | None" = None,
        token_url: str | None = None,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None: ...

    @overload
    def __init__(
        self,
        session_model: type[S],
        claims_model: type[C],
        *,
        settings: SessionSettings | None = None,
        store: SessionStore | None = None,
        client: "Redis | RedisCluster | None" = None,
        token_url: str | None = None,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None: ...

    def __init__(
        self,
        session_model: Any = None,
        claims_model: Any = None,
        *,
        settings: SessionSettings | None = None,
        store: SessionStore | None = None,
        client: "Redis | RedisCluster | None" = None,
        token_url: str | None = None,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        session_model = _subclass(session_model, Session, "session_model")
        claims_model = _subclass(claims_model, Claims, "claims_model")
        models.check_model(session_model)
        if settings is not None and options:
            raise ConfigurationError(f"give either settings or {', '.join(options)}, not both")
        if store is not None and client is not None:
            raise ConfigurationError("give either store or client, not both")
        settings = settings or SessionSettings(**options)
        if "body" in settings.token_sources and importlib.util.find_spec("python_multipart") is None:
            raise ConfigurationError("token_sources: body needs python-multipart: pip install 'jwtsession[form]'")
        if store is None:
            url = None if client is not None else settings.redis_url.get_secret_value()
            store = RedisSessionStore(url, client=client, keyspace=settings.keyspace)
        codec: TokenCodec[C] = TokenCodec(
            settings.secret.get_secret_value().encode(),
            settings.algorithm,
            claims_model,
            issuer=settings.issuer,
            audience=settings.audience,
            absolute_max_age=settings.absolute_max_age,
            leeway=settings.leeway,
            clock=clock,
        )
        self._sessions: Sessions[S, C] = Sessions(
            session_model,
            codec,
            store,
            max_age=settings.max_age,
            touch_interval=settings.touch_interval,
            clock=clock,
        )
        self._store = store
        self._request_key = settings.request_key
        self._finder = TokenFinder(
            settings.token_sources,
            header=settings.header_name,
            name=settings.request_arg,
            first_wins=settings.multiple_tokens == "first",
        )
        self._headers = _response_headers(settings)
        shown: dict[str, Any] = {
            "schemes": openapi.schemes(settings, token_url),
            "body_name": settings.request_arg if "body" in settings.token_sources else None,
        }
        self.get_session = SessionDependency(self._get_session, optional=False, answers=(400, 401, 503), **shown)
        self.get_optional_session = SessionDependency(
            self._get_optional_session, optional=True, answers=(400, 503), **shown
        )
        self.get_manager = SessionDependency(
            self._get_manager, optional=True, answers=(400, 401, 409, 413, 503), **shown
        )
        bind(session_model, Depends(self.get_session))

    def __repr__(self) -> str:
        return f"SessionProvider({self._sessions.model.__name__}, {self._store!r})"

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Open the store for as long as the application runs: `FastAPI(lifespan=sessions.lifespan)`.

        In a lifespan of your own: `async with sessions.lifespan(app): yield`. A server that is down does not stop the
        application from starting.

        Raises:
            ConfigurationError: The embedded server can't be started, or two providers share a `request_key`.
        """
        taken = app.state._state.setdefault("jwtsession_request_keys", {})
        if taken.setdefault(self._request_key, self) is not self:
            raise ConfigurationError(f"request_key: {self._request_key!r} is another provider's in this application")
        self.document(app)
        openapi.spare(app)
        await self._store.open()
        try:
            yield
        finally:
            await self._store.close()
            del taken[self._request_key]

    def document(self, app: FastAPI) -> None:
        """Complete the application's OpenAPI document: alternatives, optional sessions, the 400, 401 and 503 answers.

        `lifespan` does it; a script that exports `app.openapi()` without starting the application calls it itself.
        """
        openapi.document(app)

    async def ping(self) -> bool:
        """Whether the store answers; never raises."""
        return await self._store.ping()

    async def get(self, session_id: str) -> S | None:
        """A session by its id, outside a request; None where it is gone. Its idle timeout goes on.

        Raises:
            SessionCorruptError: It can't be read.
            StoreUnavailableError: The store did not answer.
        """
        value = await self._store.load(session_id) if is_session_id(session_id) else None
        return None if value is None else models.load(self._sessions.model, value)

    async def revoke(self, session_id: str) -> bool:
        """End a session by its id: its token is worth nothing from now on. False where it is gone already.

        Raises:
            StoreUnavailableError: The store did not answer; the session may still be there.
        """
        return is_session_id(session_id) and await self._store.destroy(session_id)

    async def _get_session(self, connection: HTTPConnection, response: Response) -> S:
        return (await self._get_manager(connection, response)).require()

    async def _get_optional_session(self, connection: HTTPConnection, response: Response) -> S | None:
        return (await self._get_manager(connection, response)).session

    async def _get_manager(self, connection: HTTPConnection, response: Response) -> SessionManager[S, C]:
        manager = getattr(connection.state, self._request_key, None)
        if isinstance(manager, SessionManager):
            return manager
        response.raw_headers.extend(self._headers)
        manager = SessionManager(self._sessions)
        try:
            token = await self._finder.find(connection)
        except AuthenticationError as error:
            manager.refuse(error)
        else:
            await manager.authenticate(token)
        setattr(connection.state, self._request_key, manager)
        return manager


def _subclass(given: Any, base: type[T], argument: str) -> type[T]:
    if given is None:
        return base
    if not (isinstance(given, type) and issubclass(given, base)):
        raise ConfigurationError(f"{argument}: must be a subclass of jwtsession.{base.__name__}")
    return given


def _response_headers(settings: SessionSettings) -> list[tuple[bytes, bytes]]:
    """On every answer of an endpoint that asks for a session (RFC 6749 section 5.1, RFC 9700 section 4.3.2)."""
    vary = ["Authorization"] if "bearer" in settings.token_sources else []
    if "header" in settings.token_sources:
        vary.append(settings.header_name)
    headers = [(b"cache-control", b"no-store")]
    if vary:
        headers.append((b"vary", ", ".join(vary).encode()))
    if "query" in settings.token_sources:
        headers.append((b"referrer-policy", b"no-referrer"))
    return headers
