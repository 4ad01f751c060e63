"""`Authenticator`: makes a manager in one straight function, for HTTP, for WebSockets and for tokens in messages."""

from typing import TYPE_CHECKING, Any, Generic, Protocol

from starlette.requests import HTTPConnection
from starlette.types import Scope

from .._types import C, S
from ..errors import (
    AmbiguousTokenError,
    AuthenticationError,
    CSRFError,
    ExpiredTokenError,
    MissingTokenError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from ..manager import SessionManager
from ..manager.request import (
    Components,
    came_by,
    deliver_by,
    emit_refused,
    emit_refused_token,
    possession_of,
    replace_authentication,
    unmet,
)
from ..tokens import VerifiedToken
from ..transports import Found, TokenExtractor
from .answers.delivery import CookieDelivery, CookiePolicy
from .checks import TokenChecks, waited
from .outgoing import hand_out
from .scopes import Demand
from .tickets import redeem

if TYPE_CHECKING:
    from ..observability import Resolutions


class Keeper(Protocol):
    """Keeps the managers of requests."""

    def keep(self, scope: Scope, manager: SessionManager[Any, Any], token: object, searched: bool) -> None:
        """Keep a request's manager.

        Args:
            scope: The request's ASGI scope.
            manager: The manager.
            token: The request's token; None if it has none.
            searched: Whether all places were searched for the token, the body too.
        """
        ...


class Authenticator(Generic[S, C]):
    """Finds a request's token, verifies it, loads its session, and makes the request's manager.

    Args:
        components: The provider's shared parts.
        extractor: Finds the token in a request.
        cookies: What the provider does with cookies; None if no cookie is a token source.
        checks: What else is asked of a token; None for nothing.
        resolutions: Counts how requests are answered; None without OpenTelemetry.
    """

    def __init__(
        self,
        components: Components[S, C],
        extractor: TokenExtractor,
        cookies: CookiePolicy | None = None,
        checks: TokenChecks | None = None,
        resolutions: "Resolutions | None" = None,
    ) -> None:
        self._components = components
        self._codec, self._repository, self._lifecycle = components.codec, components.repository, components.lifecycle
        self._has_index = self._lifecycle.has_index
        self._extractor = extractor
        self._cookies = cookies
        self._checks = checks
        self._resolutions = resolutions
        self.reads_bodies = extractor.reads_bodies
        """Whether the token may be in a request's body."""

    async def authenticate(
        self,
        connection: HTTPConnection,
        found: Found | None = None,
        body: bool = True,
        before: SessionManager[S, C] | None = None,
        demand: Demand | None = None,
        extend: bool = True,
        keeper: Keeper | None = None,
    ) -> SessionManager[S, C]:
        """Make the manager of a request or a WebSocket.

        Args:
            connection: The request or the WebSocket.
            found: The token and its source, if they are known; None to look for them.
            body: Whether to look for the token in the body too.
            before: The manager from before somebody changed the headers. It is returned if the token is the same.
            demand: The endpoint's demand on the token. If the token does not meet it, the request is no use of the
                session.
            extend: Whether the request counts as a use of the session, which restarts its idle timeout.
            keeper: Keeps the manager. A caller that did it would have to wait for the manager, in one coroutine more.

        Returns:
            The manager, with a session if there is one.

        Raises:
            AmbiguousTokenError: The request has two different tokens.
            CSRFError: The token came in the cookie, and another site may have made the request.
            StoreUnavailableError: The store did not answer.
        """
        address = connection.scope.get("client")
        host = address[0] if address else None
        headers = connection.scope["headers"]
        delivery = None if self._cookies is None else CookieDelivery(self._cookies, connection.scope)
        checks = self._checks
        proof = None if checks is None else checks.proof_of(connection.scope)
        verified = record = refusal = token = check = None
        source = "none"
        try:
            token, source = (
                found or self._extractor.find_usual(headers) or await self._extractor.search(connection, body)
            )
            if delivery is not None and source == "cookie":
                delivery.accept(connection.scope)
            if (
                before is not None
                and found is None
                and came_by(before, token, source)
                and (proof is None or proof.came_as(possession_of(before)))
            ):
                # The same token may come in another way now, and by another request of a driver that shares scopes.
                deliver_by(before, delivery, proof)
                if extend and (demand is None or unmet(before, demand) is None):
                    await before.extend()
                self._count(source, "ok")
                if keeper is not None:
                    keeper.keep(connection.scope, before, token, body or not self.reads_bodies)
                return before
            if source != "ticket":
                verified = self._codec.verify(token)
            else:
                verified, by_cookie = await redeem(self._components, token, headers)
                if delivery is not None:
                    delivery.by_cookie = by_cookie
            # Check the demand before the load, because the load restarts the idle timeout. The dependency refuses the
            # request later: a session that is gone is a 401 even if the demand is not met.
            extend = extend and (demand is None or demand(verified) is None)
            check = None if checks is None else checks.begin(connection.scope, verified, source, proof)
            record = await self._repository.load(verified, allow_cached=True, extend=extend, check=check)
        except AuthenticationError as error:
            # Drop the frames that raised the error: they hold the token, and would hold this manager in a cycle.
            error.__context__ = None
            refusal = error.with_traceback(None)
        except (AmbiguousTokenError, CSRFError) as error:
            emit_refused_token(self._lifecycle, error, None, host)
            self._count(source, error.code)
            raise
        except StoreUnavailableError as error:
            self._count(source, error.code)
            raise
        try:
            if refusal is not None:
                refusal = await self._explained(refusal, verified, host, connection.scope)
            elif self._has_index and extend and verified is not None:
                await self._lifecycle.note_use(verified, host, headers)
        except StoreUnavailableError as error:
            self._count(source, error.code)
            raise
        if refusal is not None:
            if proof is not None and not proof.permits:
                verified = None  # who does not have the token's key must not even end its session
            if delivery is not None and isinstance(refusal, ExpiredTokenError):
                delivery.clear()  # no other 401 clears the cookie: another request may just have replaced it
        manager = SessionManager(self._components, host, headers, verified, record, refusal, extend, delivery, proof)
        if check is not None and checks is not None and record is not None:
            checks.end(check, manager, connection.scope)
        if self._resolutions is not None:
            self._resolutions[source, "ok" if record is not None else _outcome(refusal)].count += 1
        if keeper is not None:
            keeper.keep(connection.scope, manager, token, body or not self.reads_bodies)
        return manager

    def _count(self, source: str, outcome: str) -> None:
        if self._resolutions is not None:
            self._resolutions[source, outcome].count += 1

    async def _explained(
        self, refusal: AuthenticationError, verified: VerifiedToken | None, host: str | None, scope: Scope
    ) -> AuthenticationError:
        """Emit the events of a refused token, and return the error that says best why it is refused.

        Raises:
            StoreUnavailableError: The session is gone, and the store did not say whether its token was replaced.
        """
        # Nobody gets a ticket by a replaced token: one that comes later is of a request that was under way.
        if verified is not None and not verified.is_ticket and isinstance(refusal, SessionNotFoundError):
            since = waited(scope, self._repository.timeouts.now())
            refusal = await self._components.reuse.judge(refusal, verified, host, since)
        if not isinstance(refusal, MissingTokenError):  # `require()` emits that event, if the endpoint needs a token
            emit_refused_token(self._lifecycle, refusal, verified, host)
        return refusal

    async def search_body(
        self,
        manager: SessionManager[S, C],
        found: object,
        connection: HTTPConnection,
        demand: Demand | None,
        extend: bool,
    ) -> None:
        """Look for the token in the body, for a manager that was made in a middleware, which must not read the body.

        Args:
            manager: The request's manager. A session that it has stays, but for one from the cookie.
            found: The token that was found without the body; None if there was none.
            connection: The request.
            demand: See `authenticate`.
            extend: See `authenticate`.

        Raises:
            AmbiguousTokenError: The request has two different tokens.
            StoreUnavailableError: The store did not answer.
        """
        try:
            token, source = await self._extractor.extract(connection)
        except MissingTokenError:
            return
        except AmbiguousTokenError as error:
            emit_refused(manager, error)
            raise
        if token != found and (manager.session is None or manager.token == found):
            other = await self.authenticate(connection, (token, source), demand=demand, extend=extend)
            replace_authentication(manager, other)
            hand_out(manager, connection.scope)

    def visitor(self) -> SessionManager[S, C]:
        """Return the manager of a client that has sent nothing and gets no answer: for tests."""
        return SessionManager(self._components)

    async def authenticate_token(self, token: object) -> SessionManager[S, C]:
        """See `SessionProvider.authenticate`. This is for an authenticator that knows no cookies."""
        nothing = HTTPConnection({"type": "http", "headers": [], "query_string": b""})
        manager = await self.authenticate(nothing, (token, "message") if token else None)
        manager.require()
        return manager

    async def introspect(self, connection: HTTPConnection, token: str, extend: bool) -> C | None:
        """Return the claims of a token about which another service asks; None if it must not be accepted.

        Args:
            connection: The other service's request.
            token: The token.
            extend: Whether this counts as a use of the session.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        manager = await self.authenticate(connection, (token, "introspection"), extend=extend)
        try:
            return manager.claims
        except AuthenticationError:  # a validator of the application refuses now what it accepted before
            return None

    async def revoke(self, connection: HTTPConnection, token: str) -> None:
        """End the session of a token that another service presents. Does nothing for a token that is not valid.

        Args:
            connection: The other service's request.
            token: The token.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        address = connection.scope.get("client")
        try:
            verified = self._codec.verify(token)
        except AuthenticationError:
            return
        await SessionManager(self._components, address[0] if address else None, (), verified).destroy()


def _outcome(refusal: AuthenticationError | None) -> str:
    """Why a request has no session, for telemetry."""
    return "anonymous" if refusal is None or isinstance(refusal, MissingTokenError) else refusal.code
