"""`ProvidedRouters`: the routers with ready-made endpoints that a provider makes."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Any, Generic, get_args

from .._from_settings import make_csrf_check
from .._tracebacks import scrub_traceback
from .._types import C, S
from ..errors import ConfigurationError
from ..manager import SessionManager
from ..settings import SessionSettings
from ..stores import SessionStore, has_tickets
from ..tokens import KeyRing
from ..web import APIRouter, HTTPConnection, routers
from ..web.dependency import SessionDependency
from ..web.routers import SessionEndpoint
from .off_request import OffRequest

Impersonate = Callable[[str], S | tuple[S, C] | Awaitable[S | tuple[S, C] | None] | None]
"""Returns the data of a session in which somebody acts for the user, and claims for its token."""


class ProvidedRouters(OffRequest[S, C], Generic[S, C]):
    """The part of `SessionProvider` that makes routers."""

    get_manager: SessionDependency[SessionManager[S, C]]
    get_required_manager: SessionDependency[SessionManager[S, C]]
    get_session: SessionDependency[S]
    redirect_to_login: Callable[[str], SessionDependency[S]]
    require_fresh: Callable[[int | timedelta], SessionDependency[S]]
    _impersonates: bool
    _keys: KeyRing
    _settings: SessionSettings
    _store: SessionStore
    _clock: Callable[[], float]

    def router(
        self,
        prefix: str = "",
        *,
        include: Collection[SessionEndpoint] | None = None,
        fresh: int | timedelta | None = None,
        pages: bool = False,
        login: str | None = None,
        locate: routers.Locate | None = None,
        tags: Sequence[str] = ("session",),
    ) -> APIRouter:
        """Make a router for a user's own sessions. Each endpoint that changes something refuses other sites' requests.

        | name | endpoint | what it does |
        |---|---|---|
        | `read` | `GET /session` | who am I: when the user signed in, when the session ends, how the token came |
        | `log_out` | `DELETE /session` | logs out |
        | `list` | `GET /sessions` | the user's sessions on all devices: a list of `SessionView` |
        | `end_others` | `DELETE /sessions` | ends the other sessions, and with `?all=true` this one too |
        | `end` | `DELETE /sessions/{handle}` | ends one of the user's sessions |
        | `label` | `PATCH /sessions/{handle}` | names one: `{"label": "My phone"}` |
        | `refresh` | `POST /session/refresh` | replaces the token |
        | `ticket` | `POST /session/ticket` | a ticket for a WebSocket |

        `list`, `end_others`, `end` and `label` need the setting `user_index`, `refresh` needs `rotation.after`. The
        answers have no session's id, and no token but that of `refresh`.

        With `pages=True` there is also a page for browsers, "Your sessions", at `/devices`. It is plain HTML, and has
        buttons for those of `log_out`, `end_others`, `end` and `label` that are included.

        Args:
            prefix: The beginning of the paths, such as `/account`.
            include: The names of the endpoints. None: all that the settings permit.
            fresh: Whoever ends other sessions than by `log_out` must have signed in at most so many seconds ago: see
                `require_fresh`.
            pages: Whether there is the page. It needs `list`, and `cookie` in `token_sources`.
            login: The path of the login page. The page sends visitors there: see `redirect_to_login`.
            locate: Returns the place of an IP address for people, or None if it does not know it. It may be a coroutine
                function. With `capture_client="coarse"` it gets the first address of the network.
            tags: The tags of the endpoints in OpenAPI.

        Raises:
            ConfigurationError: An argument can't work, or needs a setting that is off.
        """
        endpoints = self._endpoints(include)
        if fresh is not None and endpoints.isdisjoint({"end", "end_others"}):
            raise ConfigurationError("router: fresh: none of the endpoints ends other sessions")
        if login is not None and not pages:
            raise ConfigurationError("router: login: needs pages=True")
        access, views = self._access(), self._views("router", locate, is_used="list" in endpoints)
        recent, page = None if fresh is None else self.require_fresh(fresh), None
        if pages:
            if "list" not in endpoints or "cookie" not in self._settings.token_sources:
                raise ConfigurationError('router: pages: needs user_index=True, and "cookie" in token_sources')
            user = self.get_session if login is None else self.redirect_to_login(login)
            page = routers.page_router(access, views, endpoints, user=user, fresh=recent, login=login)
        return routers.session_router(
            access,
            views,
            endpoints,
            fresh=recent,
            page=page,
            prefix=routers.checked_prefix("router", prefix),
            tags=tags,
        )

    def admin_router(
        self,
        guard: Any,
        prefix: str = "",
        *,
        impersonate: Impersonate[S, C] | None = None,
        locate: routers.Locate | None = None,
        tags: Sequence[str] = ("admin",),
    ) -> APIRouter:
        """Make a router for administrators. Each request must pass the guard, and the check for other sites' requests.

        `GET /users/{sub}/sessions` lists a user's sessions, `DELETE /users/{sub}/sessions` ends all of them,
        `DELETE /users/{sub}/sessions/{handle}` ends one. With the setting `revoke_before`, `POST /revoke-before` logs
        out everybody. With `impersonate`, `POST /users/{sub}/impersonate` begins a session in which the administrator
        acts for the user: see `SessionManager.impersonate`. Nobody administers while they act for somebody.

        In the path, `sub` is percent-encoded: `encodeURIComponent(sub)`.

        Args:
            guard: A dependency that refuses everybody but administrators: `Depends(require_admin)`,
                `Security(sessions.get_session, scopes=["admin"])`, or a callable. It may authenticate a machine by a
                key, without a session.
            prefix: The beginning of the paths.
            impersonate: Returns what the session of this user would hold, alone or with claims for the token, or None
                if there is no such user. It may be a coroutine function. It needs `may_impersonate`, which decides.
            locate: See `router`.
            tags: The tags of the endpoints in OpenAPI.

        Raises:
            ConfigurationError: The setting `user_index` is off, or the guard is no dependency or lets users in who are
                no administrators.
        """
        if not self._settings.user_index:
            raise ConfigurationError("admin_router: needs user_index=True")
        if impersonate is not None and not (callable(impersonate) and self._impersonates):
            raise ConfigurationError("admin_router: impersonate: must be a function, and needs may_impersonate")
        return routers.admin_router(
            self._access(),
            self._views("admin_router", locate, is_used=True),
            guard,
            impersonate=impersonate,
            revoke_before=self._settings.revoke_before,
            prefix=routers.checked_prefix("admin_router", prefix),
            tags=tags,
        )

    def jwks_router(self, path: str = "/.well-known/jwks.json") -> APIRouter:
        """Make a router that publishes the public keys (RFC 7517), so that other services can verify tokens.

        It never publishes a symmetric key: with an HMAC algorithm the set of keys is empty.
        """
        return routers.jwks_router(lambda: self._keys.jwks(), path)  # `jwtsession.testing` exchanges the keys

    def refresh_router(self, path: str = "/session/refresh") -> APIRouter:
        """Make a router with `POST /session/refresh`, by which a client replaces its token: `SessionManager.refresh()`.

        The answer is the `Token`; a token in the cookie is replaced there. 401 with `token_reused` for a token that
        was replaced while the new one is in use, 409 while it may be a request of the same client.

        Args:
            path: The endpoint's path.

        Raises:
            ConfigurationError: The setting `rotation.after` is not set.
        """
        if self._settings.rotation.after is None:
            raise ConfigurationError("refresh_router: needs rotation.after")
        return routers.refresh_router(self.get_required_manager, path)

    def health_router(self, path: str = "/healthz") -> APIRouter:
        """Make a router that tells a load balancer whether the store answers: 200 or 503, within the store's deadline.

        The endpoint asks for no session and never raises.
        """
        return routers.health_router(self.ping, path)

    def token_router(
        self,
        authenticate_client: Callable[..., object],
        *,
        introspect_path: str = "/introspect",
        revoke_path: str = "/revoke",
        extend: bool = False,
    ) -> APIRouter:
        """Make a router at which a gateway or another service asks about a token, or ends its session.

        The first is introspection (RFC 7662), the second is revocation (RFC 7009).

        A token that must not be accepted, for whatever reason, is `{"active": false}`. Whoever may call these
        endpoints may end every session whose token it has: tokens don't say for which client they are.

        Args:
            authenticate_client: A dependency that refuses callers with a 401: `client_credentials(...)`, or your own.
            introspect_path: The path of the introspection.
            revoke_path: The path of the revocation.
            extend: Whether the introspection counts as a use of the session, which restarts its idle timeout. For a
                gateway in front of services that don't ask for the session themselves.

        Raises:
            ConfigurationError: `authenticate_client` lets callers pass that it has not authenticated.
        """

        @scrub_traceback
        async def introspect(connection: HTTPConnection, token: str) -> C | None:
            self._lifespan.require()
            return await self._messages.introspect(connection, token, extend)

        @scrub_traceback
        async def revoke(connection: HTTPConnection, token: str) -> None:
            self._lifespan.require()
            await self._messages.revoke(connection, token)

        return routers.token_router(introspect, revoke, authenticate_client, introspect_path, revoke_path)

    def _access(self) -> routers.SessionAccess:
        # Lenient, also where `csrf` is strict: the check covers a guard's own cookie too, and machines, which an
        # administrator's guard may let in, send neither `Origin` nor `Sec-Fetch-Site`.
        check = make_csrf_check(self._settings, "off" if self._settings.csrf == "off" else "lenient")
        return routers.SessionAccess(
            get_manager=self.get_manager,
            get_required_manager=self.get_required_manager,
            list_sessions=self.list_sessions,
            revoke_handle=self.revoke_handle,
            revoke_all=self.revoke_all,
            revoke_before=self.revoke_before,
            set_label=self.set_label,
            now=lambda: self._clock(),
            check_origin=check.check_request,
        )

    def _views(self, method: str, locate: routers.Locate | None, *, is_used: bool) -> routers.Views:
        if locate is not None and not (is_used and self._settings.capture_client):
            raise ConfigurationError(f"{method}: locate: needs capture_client, and an endpoint that lists sessions")
        if locate is not None and not callable(locate):
            raise ConfigurationError(f"{method}: locate: must be a function")
        return routers.Views(locate)

    def _endpoints(self, include: Collection[SessionEndpoint] | None) -> set[SessionEndpoint]:
        """The endpoints of `router`.

        Raises:
            ConfigurationError: There is no such endpoint, or it needs a setting that is off.
        """
        missing: dict[SessionEndpoint, str] = {}
        if not self._settings.user_index:
            missing |= dict.fromkeys(("list", "end_others", "end", "label"), "user_index=True")
        if self._settings.rotation.after is None:
            missing["refresh"] = "rotation.after"
        if not has_tickets(self._store):
            missing["ticket"] = "a store with the methods of TicketStore"
        known = get_args(SessionEndpoint)
        if include is None:
            return {each for each in known if each not in missing}
        if isinstance(include, str) or not include or not all(each in known for each in include):
            raise ConfigurationError(f"router: include: give a set of one or more of {', '.join(known)}")
        for each in include:
            if each in missing:
                raise ConfigurationError(f"router: include: {each!r} needs {missing[each]}")
        return set(include)
