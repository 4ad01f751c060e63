"""`ProvidedRouters`: the routers with ready-made endpoints that a provider makes."""

from collections.abc import Callable
from typing import Generic

from ._off_request import OffRequest
from ._tracebacks import scrub_traceback
from ._types import C, S
from .errors import ConfigurationError
from .manager import SessionManager
from .tokens import KeyRing
from .web import APIRouter, HTTPConnection, routers
from .web.dependencies import SessionDependency


class ProvidedRouters(OffRequest[S, C], Generic[S, C]):
    """The part of `SessionProvider` that makes routers."""

    get_required_manager: SessionDependency[SessionManager[S, C]]
    _keys: KeyRing
    _rotates: bool

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
        if not self._rotates:
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
