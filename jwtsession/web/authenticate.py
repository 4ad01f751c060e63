"""`Authenticator`: from a request to its manager, in one straight function. HTTP and WebSockets go the same way."""

from typing import Generic

from starlette.requests import HTTPConnection

from .._request import NOT_CAPTURED, Components, emit_refused, replace_authentication
from .._types import C, S
from ..errors import AmbiguousTokenError, AuthenticationError, MissingTokenError
from ..manager import SessionManager
from ..observability import client_address
from ..transports import TokenExtractor
from .scopes import Demand


class Authenticator(Generic[S, C]):
    """Finds out whose request it is.

    Args:
        components: Of the provider.
        extractor: Looks for the token.
        capture_client: Keep the client's address and user agent for the user's index.
    """

    def __init__(self, components: Components[S, C], extractor: TokenExtractor, *, capture_client: bool) -> None:
        self._components = components
        self._codec, self._repository, self._lifecycle = components
        self._has_index = self._lifecycle.has_index
        self._extractor = extractor
        self._capture_client = capture_client
        self.reads_bodies = extractor.reads_bodies
        """Whether the token may stand in a request's body."""

    async def authenticate(
        self,
        connection: HTTPConnection,
        token: object = None,
        *,
        body: bool = True,
        before: SessionManager[S, C] | None = None,
        demand: Demand | None = None,
        extend: bool = True,
    ) -> tuple[SessionManager[S, C], object]:
        """The manager of a request or a WebSocket, with its session where there is one; and the request's token.

        Args:
            connection: The request.
            token: Its token, where that was found already.
            body: Look for the token in the body too.
            before: Its manager before somebody changed its headers, which still is the one where the token is the same.
            demand: What the endpoint asks of the token. Where it is not met, the request is no use of the session.
            extend: Whether the request counts as a use of the session, which starts its idle timeout again.

        Raises:
            AmbiguousTokenError: The request has two different tokens.
            StoreUnavailableError: The store did not answer.
        """
        address = connection.scope.get("client")
        host = address[0] if address else None
        captured = NOT_CAPTURED
        if self._capture_client:
            captured = client_address(host), connection.headers.get("user-agent")
        verified = record = refusal = None
        try:
            if token is None:
                token = await self._extractor.extract(connection, body=body)
                if before is not None and before.token == token:
                    return before, token
            verified = self._codec.verify(token)
            # Before the load, which extends the idle timeout. Whoever asked refuses afterwards: a session that is gone
            # is a 401 all the same.
            extend = extend and (demand is None or demand(verified) is None)
            record = await self._repository.load(verified, allow_cached=True, extend=extend)
        except AuthenticationError as error:
            # Without the frames that raised it: they hold the token, and later this manager in a cycle.
            error.__context__ = None
            refusal = error.with_traceback(None)
            if not isinstance(error, MissingTokenError):  # that is an event only where a token is required
                self._lifecycle.emit("refused", None if verified is None else verified.session_id, error.code, host)
        except AmbiguousTokenError as error:
            self._lifecycle.emit("refused", None, error.code, host)
            raise
        else:
            if self._has_index and extend:
                await self._lifecycle.note_use(verified)
        return SessionManager(self._components, host, captured, verified, record, refusal, extend), token

    async def search_body(
        self, manager: SessionManager[S, C], found: object, connection: HTTPConnection, *, extend: bool
    ) -> None:
        """Look into the body for the token of a manager that a middleware asked for: it could not read the body.

        Args:
            manager: The request's. Its session stays, where it has one.
            found: The token that was found without the body.
            connection: The request.
            extend: As for `authenticate`.

        Raises:
            AmbiguousTokenError: The request has two different tokens.
            StoreUnavailableError: The store did not answer.
        """
        try:
            token = await self._extractor.extract(connection)
        except MissingTokenError:
            return
        except AmbiguousTokenError as error:
            emit_refused(manager, error)
            raise
        if token != found and manager.session is None:
            replace_authentication(manager, (await self.authenticate(connection, token, extend=extend))[0])
