"""`SessionProvider`: the one object that an application makes. FastAPI's dependencies, and the way around a request."""

import operator
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar, Unpack

from fastapi import APIRouter, Depends, FastAPI
from fastapi.security import SecurityScopes
from redis.asyncio import Redis, RedisCluster
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from . import openapi, startup
from ._durations import seconds
from ._options import SettingsOptions
from ._types import C, S
from .audit import AuditTrail, SessionEvent, client_address, hashed
from .encryption import Encryption, Plain, Sealer
from .errors import (
    AmbiguousTokenError,
    AuthenticationError,
    ConfigurationError,
    InsufficientScopeError,
    InvalidArgumentError,
    JWTSessionError,
    MissingTokenError,
    StaleAuthenticationError,
    discreet,
    forget_locals,
)
from .eviction import EvictionWatch
from .injection import bind
from .lifespan import Lifespan
from .manager import SessionManager, Sessions
from .models import Claims, Session
from .roundtrip import check_model
from .serialization import Migrate, SessionSerializer
from .settings import SessionSettings
from .sockets import close_failed_sockets
from .startup import Tenant
from .stores import CachedSessionStore, RedisSessionStore, SessionStore, has_user_index
from .sync import SyncSessionProvider
from .tokens import KeyRing, KeySpec, TokenCodec, is_session_id
from .transports import TokenFinder
from .users import SessionInfo, UserIndex, check_sub

T = TypeVar("T")

JWKS_MAX_AGE = 300
"""Seconds for which other services may keep the published keys."""


class SessionDependency(openapi.Documented, Generic[T]):
    """What stands in `Depends(...)`: `SessionProvider.get_session` and its siblings."""

    def __init__(self, resolve: "Resolve[T]", **documentation: Any) -> None:
        super().__init__(**documentation)
        self._resolve = resolve
        self.sign(connection=HTTPConnection, response=Response, scopes=SecurityScopes)

    async def __call__(
        self,
        connection: HTTPConnection,
        response: Response | None = None,
        scopes: SecurityScopes | None = None,
        **_schemes: None,
    ) -> T:
        """Resolve for a request or a WebSocket. FastAPI calls this; a middleware may: `await get_manager(request)`.

        Raises:
            InsufficientScopeError: `Security(..., scopes=[...])` demands more than the token's `scope` permits.
        """
        try:
            return await self._resolve(connection, response, scopes.scopes if scopes is not None else ())
        except JWTSessionError as error:
            forget_locals(error)  # as `discreet` does it, without a call more on the way to an endpoint
            raise


Resolve = Callable[[HTTPConnection, Response | None, Sequence[str]], Awaitable[T]]


class SessionProvider(Generic[S, C]):
    """Typed sessions for a FastAPI application.

    Args:
        session_model: The stored data, a subclass of `Session`. Without it sessions are free-form.
        claims_model: The JWT's claims, a subclass of `Claims`.
        settings: All settings. Without it they are taken from `options` and the environment.
        store: Another store than the Redis of `settings.redis_url`: `MemorySessionStore` in tests.
        client: A `redis.asyncio` client of your own instead of `settings.redis_url`; it stays yours to close.
        shares_sessions_with: Another provider that has the same sessions on purpose: the same `keyspace` in the same
            store. Without it an application refuses to start with two such providers.
        token_url: Path of the login endpoint, if it takes an OAuth2 password form: Swagger UI's "Authorize" uses it.
        scopes: What each scope permits, for OpenAPI: `{"orders:read": "See your orders"}`.
        migrate: Called with stored data that does not fit `session_model` (of an older version of the application);
            returns data that does. What it can't upgrade is a 401, and kept.
        on_event: Called with every `SessionEvent`, in a thread of its own: for a SIEM.
        clock: The time in seconds since the epoch.
        **options: Settings by name, as `SessionSettings` takes them: `SessionProvider(UserSession, secret=...)`.

    Raises:
        ConfigurationError: A setting or a model can't work.
    """

    get_session: SessionDependency[S]
    """Dependency: the request's session. 401 where there is none, 400 for two different ones, 503 without the store."""

    peek_session: SessionDependency[S]
    """Dependency: as `get_session`, but not a use of the session: its idle timeout goes on. For polling."""

    get_optional_session: SessionDependency[S | None]
    """Dependency: the request's session, or None for a missing and a dead token alike. 400 and 503 as above."""

    get_manager: SessionDependency[SessionManager[S, C]]
    """Dependency: the request's manager, with or without a session; never refuses a request for a dead token."""

    get_required_manager: SessionDependency[SessionManager[S, C]]
    """Dependency: the manager of a request with a genuine token, for a log-out; 401 where there is none, and OpenAPI
    shows that one is needed. The session may be gone, or not be readable: `destroy()` works all the same."""

    @discreet
    def __init__(
        self,
        session_model: type[S] | None = None,
        claims_model: type[C] | None = None,
        *,
        settings: SessionSettings | None = None,
        store: SessionStore | None = None,
        client: "Redis | RedisCluster | None" = None,
        shares_sessions_with: "SessionProvider[Any, Any] | None" = None,
        token_url: str | None = None,
        scopes: Mapping[str, str] | None = None,
        migrate: Migrate | None = None,
        on_event: Callable[[SessionEvent], object] | None = None,
        clock: Callable[[], float] = time.time,
        **options: Unpack[SettingsOptions],
    ) -> None:
        model: type[S] = _subclass(session_model, Session, "session_model")
        claims: type[C] = _subclass(claims_model, Claims, "claims_model")
        check_model(claims)
        if settings is not None and options:
            raise ConfigurationError(f"give either settings or {', '.join(options)}, not both")
        if store is not None and client is not None:
            raise ConfigurationError("give either store or client, not both")
        settings = settings or SessionSettings(**options)
        if store is None:
            url = None if client is not None else settings.redis_url.get_secret_value()
            store = redis = RedisSessionStore(url, client=client, keyspace=settings.keyspace)
            if settings.near_cache_bytes:
                store = CachedSessionStore(redis, settings.near_cache_bytes)
        self._keys = KeyRing(_key_specs(settings), settings.algorithm)
        codec: TokenCodec[C] = TokenCodec(
            self._keys,
            claims,
            issuer=settings.issuer,
            audience=settings.audience,
            absolute_max_age=settings.absolute_max_age,
            leeway=settings.leeway,
            cache_bytes=settings.token_cache_bytes,
            clock=clock,
        )
        sealer = _sealer(settings)
        index = None
        if settings.user_index:
            if not has_user_index(store):
                raise ConfigurationError(
                    f"user_index: {type(store).__name__} does not have all methods of UserIndexStore"
                )
            index = UserIndex(
                store,
                sealer,
                keys=_index_keys(settings, self._keys),
                max_sessions=settings.max_sessions,
                evict=settings.too_many_sessions == "evict",
                touch_interval=min(settings.touch_interval, settings.max_age / 4),
                max_age=settings.max_age,
                clock=clock,
            )
        self._eviction = EvictionWatch(store, clock) if settings.user_index else None
        self._captures = settings.capture_client
        self._sessions: Sessions[S, C] = Sessions(
            SessionSerializer(model, migrate, node_compatible=settings.is_node_compatible),
            codec,
            store,
            sealer=sealer,
            index=index,
            audit=AuditTrail(on_event),
            max_age=settings.max_age,
            max_age_limit=settings.max_age_limit or settings.max_age,
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
        name = f"SessionProvider({model.__name__}, request_key={settings.request_key!r})"
        if not isinstance(shares_sessions_with, SessionProvider | None):
            raise ConfigurationError("shares_sessions_with: must be a SessionProvider")
        shared = None if shares_sessions_with is None else shares_sessions_with._lifespan.tenant
        tenant = Tenant(name, settings.request_key, model, store, codec, shared)
        self._lifespan: Lifespan = Lifespan(tenant, self._sessions.audit, settings.request_arg, self._eviction)
        self._admitted = self._lifespan.admitted
        self._entered: list[AbstractAsyncContextManager[None]] = []
        schemes = openapi.schemes(settings, token_url, scopes or {})
        self._shown: dict[str, Any] = {"schemes": schemes, "body_name": None if schemes else settings.request_arg}
        always = ("ambiguous", "unavailable")
        self.get_session = SessionDependency(
            self._get_session, optional=False, answers=("no_session", *always), **self._shown
        )
        self.peek_session = SessionDependency(
            self._peek_session, optional=False, answers=("no_session", *always), **self._shown
        )
        self.get_optional_session = SessionDependency(
            self._get_optional_session, optional=True, answers=always, **self._shown
        )
        login = ("too_large",) if settings.max_sessions is None else ("too_large", "too_many")
        self.get_manager = SessionDependency(
            self._get_manager, optional=True, changes=True, answers=(*always, *login), **self._shown
        )
        self.get_required_manager = SessionDependency(
            self._get_required_manager, optional=False, changes=True, answers=("no_session", *always), **self._shown
        )
        bind(model, Depends(self.get_session))

    def __repr__(self) -> str:
        return f"SessionProvider({self._sessions.serializer.model.__name__}, {self._store!r})"

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Open the store for as long as the application runs: `FastAPI(lifespan=sessions.lifespan)`.

        In a lifespan of your own: `async with sessions.lifespan(app): yield`. A server that is down does not stop the
        application from starting. Without an application: `async with sessions:`.

        Raises:
            ConfigurationError: A route takes a session or claims from the client (a forgotten `Depends()`), the
                embedded server can't be started, two providers of the application have the same `request_key` or
                overlapping keyspaces, or the provider is started on another event loop.
        """
        openapi.document(app)
        openapi.spare(app)
        close_failed_sockets(app)
        async with self._lifespan.run(app):
            yield

    async def __aenter__(self) -> Self:
        """Open the store without an application, for a script: `async with sessions: await sessions.revoke(...)`.

        Raises:
            ConfigurationError: The embedded server can't be started, or the provider is started on another event loop.
        """
        running = self._lifespan.run()
        await running.__aenter__()
        self._entered.append(running)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the store, unless an application goes on."""
        await self._entered.pop().__aexit__(None, None, None)

    @property
    def store(self) -> SessionStore:
        """The store in use. It can't be replaced: give another one to the constructor, as `store=`."""
        return self._store

    @property
    def sync(self) -> SyncSessionProvider[S]:
        """`get`, `revoke`, `revoke_all` and `list_sessions` for `def` endpoints and other threads: each blocks."""
        return SyncSessionProvider(self, lambda: self._lifespan.loop)

    def document(self, app: FastAPI) -> None:
        """Complete the application's OpenAPI document: alternatives, optional sessions, the 400, 401 and 503 answers.

        `lifespan` does it; a script that exports `app.openapi()` without starting the application calls it itself.

        Raises:
            ConfigurationError: A route takes a session or claims from the client (a forgotten `Depends()`).
        """
        startup.check_routes(app)
        openapi.document(app)

    async def ping(self) -> bool:
        """Whether the store answers; never raises. False before the start and after the end, and the log tells why."""
        if not self._lifespan.is_started():
            return False
        answers = await self._store.ping()
        if self._eviction is not None:
            await self._eviction.pinged(answers)
        return answers

    @discreet
    async def get(self, session_id: str) -> S | None:
        """A session by its id, outside a request; None where it is gone. Its idle timeout goes on.

        Raises:
            InvalidArgumentError: The id is no text.
            SessionCorruptError: It can't be read.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer.
        """
        self._lifespan.require()
        value = await self._store.load(session_id) if _can_be_id(session_id) else None
        return None if value is None else self._sessions.record(session_id, value).session

    @discreet
    async def revoke(self, session_id: str, *, sub: str | None = None, wait_replicas: int = 0) -> bool:
        """End a session by its id: its token is worth nothing from now on. False where it is gone already.

        Args:
            session_id: The `jti` of its token.
            sub: The user whose session it must be, as the claim of that name; False where the user's index does not
                name it. Without it any session is ended: don't pass on an id that a client has chosen.
            wait_replicas: How many replicas must have it too, so that a failover can't bring the session back.

        Raises:
            InvalidArgumentError: The id or `sub` is no text, or there is a `sub` and no `user_index`.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer, or too few replicas did; the session may still be there.
        """
        self._lifespan.require()
        index = None if sub is None else self._index()
        if not _can_be_id(session_id) or (index is not None and not await index.has(check_sub(sub), session_id)):
            return False
        ended = await self._store.destroy(session_id, wait_replicas)
        if index is not None:
            await index.leave(check_sub(sub), session_id)
        if ended:
            self._tell_destroyed(session_id)
        return ended

    @discreet
    async def list_sessions(self, sub: str) -> list[SessionInfo]:
        """A user's sessions, the one used last first. Read page by page: two round trips for each hundred, and one.

        Args:
            sub: The user, as the claim of that name.

        Raises:
            InvalidArgumentError: There is no `user_index`, or no user can have this `sub`.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer.
        """
        return await self._index().sessions(sub)

    @discreet
    async def revoke_all(self, sub: str, except_id: str | None = None) -> int:
        """End a user's sessions: log them out everywhere, now. How many there were.

        Page by page, so that others are served meanwhile.

        Args:
            sub: The user, as the claim of that name.
            except_id: A session that goes on.

        Raises:
            InvalidArgumentError: There is no `user_index`, no user can have this `sub`, or `except_id` is no text.
            NotStartedError: The provider is not started.
            StoreUnavailableError: The store did not answer. The error's `ended` tells how many have ended; to call it
                again goes on with the rest.
        """
        if except_id is not None:
            _can_be_id(except_id)
        return await self._index().revoke_all(sub, except_id, self._tell_destroyed)

    def _tell_destroyed(self, session_id: str) -> None:
        self._sessions.audit.tell(SessionEvent("destroyed", hashed(session_id)))

    def _index(self) -> UserIndex:
        self._lifespan.require()
        if self._sessions.index is None:
            raise InvalidArgumentError("the sessions of a user are not known: set user_index=True")
        return self._sessions.index

    def require_fresh(self, max_age: int | timedelta) -> SessionDependency[S]:
        """A dependency for sensitive endpoints: the session of a user who signed in within the last seconds.

        The sign-in is the claim `auth_time`; `create()` sets it where there is a `sub`, `regenerate()` keeps it.

        Args:
            max_age: Seconds, or a `timedelta` of whole seconds.

        Raises:
            ConfigurationError: `max_age` is no whole number of seconds.
            StaleAuthenticationError: By the dependency: the sign-in is longer ago, or the token does not tell.
        """
        try:
            allowed = seconds(max_age)
        except ValueError as error:
            raise ConfigurationError(f"require_fresh: max_age: {error}") from None
        if type(allowed) is not int or allowed < 0:
            raise ConfigurationError("require_fresh: max_age: must be whole seconds, or a timedelta of them")

        def stale(claims: Claims) -> JWTSessionError | None:
            fresh = claims.auth_time is not None and self._sessions.now() - claims.auth_time <= allowed
            return None if fresh else StaleAuthenticationError(allowed)

        def resolve(connection: HTTPConnection, response: Response | None, scopes: Sequence[str]) -> Awaitable[S]:
            permits = _demand(scopes)
            demand = stale if permits is None else lambda claims: permits(claims) or stale(claims)
            return self._required(connection, response, demand)

        return SessionDependency(
            resolve, optional=False, answers=("no_session", "stale", "ambiguous", "unavailable"), **self._shown
        )

    def jwks_router(self, path: str = "/.well-known/jwks.json") -> APIRouter:
        """A router that publishes the public keys (RFC 7517), so that other services can verify tokens.

        Never a symmetric key: with an HMAC algorithm the set is empty.
        """
        router = APIRouter()
        keys = self._keys.jwks()

        @router.get(path, tags=["keys"], summary="Public keys that verify this service's tokens")
        async def read_public_keys(response: Response) -> dict[str, list[dict[str, Any]]]:
            response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE}"
            return keys

        return router

    def health_router(self, path: str = "/healthz") -> APIRouter:
        """A router that tells a load balancer whether the store answers: 200 or 503, within the store's deadline.

        It asks for no session and never raises.
        """
        router = APIRouter()

        def answer(description: str, status: str) -> dict[str, Any]:
            example = {"application/json": {"example": {"status": status}}}
            return {"description": description, "model": dict[str, str], "content": example}

        answers: dict[int | str, dict[str, Any]] = {
            200: answer("The store answers", "ok"),
            503: answer("The store does not answer", "unavailable"),
        }

        @router.get(path, tags=["health"], summary="Whether the session store answers", responses=answers)
        async def read_health(response: Response) -> dict[str, str]:
            """For a load balancer: 200, or 503."""
            response.headers["Cache-Control"] = "no-store"
            if await self.ping():
                return {"status": "ok"}
            response.status_code = 503
            return {"status": "unavailable"}

        return router

    def _admit(self, app: Any) -> None:
        """At the first request of an application that did not start with the provider."""
        self._lifespan.admit(app)
        if isinstance(app, FastAPI):
            openapi.document(app)
            close_failed_sockets(app)

    def _get_session(
        self, connection: HTTPConnection, response: Response | None, scopes: Sequence[str]
    ) -> Awaitable[S]:
        return self._required(connection, response, _demand(scopes) if scopes else None)

    def _peek_session(
        self, connection: HTTPConnection, response: Response | None, scopes: Sequence[str]
    ) -> Awaitable[S]:
        return self._required(connection, response, _demand(scopes), extend=False)

    async def _required(
        self, connection: HTTPConnection, response: Response | None, demand: "_Demand | None", extend: bool = True
    ) -> S:
        manager = await self._manager(connection, response, demand, extend)
        session = manager.require()
        if demand is not None:
            _meet(manager, demand)
        return session

    async def _get_optional_session(
        self, connection: HTTPConnection, response: Response | None, scopes: Sequence[str]
    ) -> S | None:
        demand = _demand(scopes)
        manager = await self._manager(connection, response, demand)
        if demand is not None and manager.session is not None:
            _meet(manager, demand)
        return manager.session

    async def _get_manager(
        self, connection: HTTPConnection, response: Response | None, scopes: Sequence[str]
    ) -> SessionManager[S, C]:
        demand = _demand(scopes)
        manager = await self._manager(connection, response, demand)
        if demand is not None:
            # Else a guard would let in those who have no session at all.
            manager.require()
            _meet(manager, demand)
        return manager

    async def _get_required_manager(
        self, connection: HTTPConnection, response: Response | None, scopes: Sequence[str]
    ) -> SessionManager[S, C]:
        manager = await self._get_manager(connection, response, scopes)
        manager.require_token()
        return manager

    async def _manager(
        self,
        connection: HTTPConnection,
        response: Response | None,
        demand: "_Demand | None" = None,
        extend: bool = True,
    ) -> SessionManager[S, C]:
        """The request's manager, made and loaded by whoever asks first.

        A request that does not meet the demand is refused, and refused requests keep no session alive.
        """
        if response is not None:
            raw = response.raw_headers
            raw += [header for header in self._headers if header not in raw] if raw else self._headers
        scope = connection.scope
        # In the scope itself: some drivers share `scope["state"]` between requests.
        managers: _Managers = scope.setdefault("jwtsession", {})
        kept = managers.get(self._sessions)
        # The very headers: whatever else is shared, another request has others.
        if kept is not None and _is_of(kept, scope):
            manager: SessionManager[S, C] = kept[0]
            if response is not None and not kept[-1]:
                await self._search_body(connection, kept, extend)
            if extend and (demand is None or manager.claims is None or demand(manager.claims) is None):
                await manager.extend()
            return manager
        if scope.get("app") not in self._admitted:
            self._admit(scope.get("app"))
        address = scope.get("client")
        client = address[0] if address else None
        captured = (client_address(client), connection.headers.get("user-agent")) if self._captures else (None, None)
        manager = SessionManager(self._sessions, client, captured)
        try:
            token = await self._finder.find(connection, body=response is not None)
        except AuthenticationError as error:
            token = None
            manager.refuse(error)
        except AmbiguousTokenError as error:
            manager.tell_refused(error.code)
            raise
        else:
            if kept is not None and kept[0].token == token:  # a middleware has changed other headers
                manager = kept[0]
            else:
                # The demand is looked at before the load, which extends the idle timeout, and met after it: a session
                # that is gone is a 401 all the same.
                await manager.authenticate(token, extend and (demand is None or (lambda found: demand(found) is None)))
        looked = response is not None or not self._finder.reads_bodies
        headers = scope["headers"]
        managers[self._sessions] = manager, headers, tuple(headers), scope.get("query_string"), token, looked
        # To be seen only, nothing is decided by it. It is this request's own: see `Lifespan`.
        scope.setdefault("state", {})[self._request_key] = manager
        return manager

    async def _search_body(self, connection: HTTPConnection, kept: "_Kept", extend: bool) -> None:
        """Finish the search for the token of a manager that a middleware asked for: it left out the body."""
        manager, found = kept[0], kept[4]
        try:
            token = await self._finder.find(connection)
        except MissingTokenError:
            pass
        except AmbiguousTokenError as error:
            manager.tell_refused(error.code)
            raise
        else:
            if token != found and manager.session is None:
                await manager.authenticate(token, extend)
        connection.scope["jwtsession"][self._sessions] = (*kept[:-1], True)


_Kept = tuple[SessionManager[Any, Any], object, tuple[object, ...], object, object, bool]
"""A request's manager; the headers, what was in them, the query and the token that it was made from; and whether the
token was looked for in the body too. A plain tuple: one with names takes a tenth of the time of a load to make."""

_Managers = dict[Sessions[Any, Any], _Kept]
"""Of one request: one for each provider."""


def _is_of(kept: _Kept, scope: Scope) -> bool:
    """Whether a manager was made from what the request still says: a scope, or its headers, may be used again.

    By the very objects: Starlette's `request.headers` puts a copy of the list into the scope.
    """
    _, headers, items, query, *_ = kept
    now: Sequence[object] = scope["headers"]
    is_same = len(now) == len(items) and all(map(operator.is_, now, items))
    # Two empty lists tell nothing.
    return is_same and bool(items or now is headers) and scope.get("query_string") == query


_Demand = Callable[[Any], JWTSessionError | None]
"""What an endpoint asks of the token's claims: the error of a request that does not meet it, or None."""


def _demand(scopes: Sequence[str]) -> _Demand | None:
    """That a token permits these scopes (RFC 6750 section 3.1)."""
    if not scopes:
        return None

    def insufficient(claims: Claims) -> JWTSessionError | None:
        # RFC 6749 section 3.3: a space separates them, and nothing else does.
        granted = {scope for scope in (claims.scope or "").split(" ") if scope}
        return None if granted.issuperset(scopes) else InsufficientScopeError(scopes)

    return insufficient


def _meet(manager: SessionManager[Any, Any], demand: _Demand) -> None:
    """Refuse a session whose token does not meet the demand."""
    error = demand(manager.claims)
    if error is not None:
        manager.tell_refused(error.code)
        raise error


def _can_be_id(session_id: object) -> bool:
    """Whether it can be a session's id at all.

    Raises:
        InvalidArgumentError: It is no text.
    """
    if not isinstance(session_id, str):
        raise InvalidArgumentError(f"a session's id is a text, not {type(session_id).__name__}")
    return is_session_id(session_id)


def _key_specs(settings: SessionSettings) -> list[KeySpec]:
    specs = [KeySpec(key.kid, key.secret.get_secret_value(), key.verify_only) for key in settings.keys]
    if settings.secret is not None:
        specs.append(KeySpec(None, settings.secret.get_secret_value()))
    return specs


def _index_keys(settings: SessionSettings, ring: KeyRing) -> list[bytes]:
    own = settings.user_index_key
    derived = ring.derived(b"jwtsession user index")
    return derived if own is None else [own.get_secret_value().encode(), *derived]


def _sealer(settings: SessionSettings) -> Sealer:
    if not settings.encryption_keys:
        return Plain()
    keys = [key.get_secret_value() for key in settings.encryption_keys]
    return Encryption(keys, settings.keyspace, settings.encryption_mode)


def _subclass(given: Any, base: type, argument: str) -> Any:
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
