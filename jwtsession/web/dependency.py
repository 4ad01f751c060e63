"""`SessionDependency`: the object for `Depends(...)`, which gives an endpoint the session or the manager."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection
from starlette.responses import Response

from .._tracebacks import clear_frame_locals
from ..errors import JWTSessionError
from ..manager import SessionManager
from . import openapi
from .scopes import Demand, both, scope_demand

T = TypeVar("T")

Manager = SessionManager[Any, Any]
Ask = Callable[[HTTPConnection, Response | None, Demand | None, bool], Awaitable[Manager]]
Give = Callable[[HTTPConnection, Manager, Demand | None], T]


class SessionDependency(openapi.Documented, Generic[T]):
    """A dependency for `Depends(...)`: `SessionProvider.get_session` and its siblings.

    Args:
        ask: Returns the request's manager, to be awaited.
        give: Makes what the endpoint gets of the manager, or raises the request's error.
        demand: What the token must meet, besides the scopes of the endpoint.
        extend: Whether the request counts as a use of the session.
        reads_bodies: Whether the token may be in a request's body, which only FastAPI's own `Request` may read.
    """

    def __init__(
        self,
        ask: Ask,
        give: "Give[T]",
        *,
        demand: Demand | None = None,
        extend: bool = True,
        reads_bodies: bool = False,
        **documentation: Any,
    ) -> None:
        super().__init__(**documentation)
        self._ask, self._give, self._demand, self._extend = ask, give, demand, extend
        self.reads_bodies = reads_bodies
        self.early_key = f"jwtsession_early_{id(self)}"
        """The name in a request's scope of what this dependency gets: a manager, or the error to raise; see `early.py`.
        Each has its own, so that no other one takes it, above all none of another provider."""
        self.set_signature(connection=HTTPConnection, response=Response, scopes=SecurityScopes)

    def early(self, scopes: Sequence[str]) -> Callable[[HTTPConnection], Awaitable[Manager]]:
        """Return what makes the manager that a call with these scopes will find. Only for who reads no bodies."""
        demand = both(self._demand, scope_demand(scopes))
        return lambda connection: self._ask(connection, None, demand, self._extend)

    async def __call__(
        self,
        connection: HTTPConnection,
        response: Response | None = None,
        scopes: SecurityScopes | None = None,
        **_schemes: None,
    ) -> T:
        """Resolve for a request or a WebSocket. FastAPI calls this; a middleware may too: `await get_manager(request)`.

        Args:
            connection: The request or the WebSocket.
            response: FastAPI's response, which gets this package's headers. None in a middleware.
            scopes: The scopes of `Security(..., scopes=[...])`.

        Returns:
            The session or the manager.

        Raises:
            AuthenticationError: The request has no usable session, and the dependency requires one.
            InsufficientScopeError: `Security(..., scopes=[...])` demands more than the token's `scope` permits.
            AmbiguousTokenError: The request has two different tokens.
            CSRFError: The token came in the cookie, and another site may have made the request.
            NotStartedError: The provider is not started.
            ConfigurationError: The application did not start the provider itself, and something in it can't work.
            StoreUnavailableError: The store did not answer.
        """
        manager = connection.scope.pop(self.early_key, None)
        try:
            demand = self._demand
            if scopes is not None and scopes.scopes:
                demand = both(demand, scope_demand(scopes.scopes))
            if manager is None:
                manager = await self._ask(connection, response, demand, self._extend)
            elif isinstance(manager, Exception):
                try:
                    raise manager
                finally:
                    manager = None  # the error refers to this frame, and a cycle waits for the garbage collector
            return self._give(connection, manager, demand)
        except JWTSessionError as error:
            del connection, response, scopes, manager  # or the traceback refers to the request, and its token
            clear_frame_locals(error)  # as `scrub_traceback`, without one more call for each request
            raise
