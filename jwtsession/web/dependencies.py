"""`Dependencies`: what a provider has for `Depends(...)`. Each gives an endpoint the session or the manager."""

from collections.abc import Awaitable, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from .._types import C, S
from ..errors import AuthenticationError, LoginRequiredError
from ..manager import SessionManager
from ..manager.request import emit_refused, unmet
from .answers.headers import Headers
from .answers.saving import Saving
from .authenticate import Authenticator
from .dependency import Give, Manager, SessionDependency
from .kept import Kept, is_of, kept_of
from .lifespan import Lifespan
from .login_redirect import check_login_path, login_location
from .outgoing import KEY, Outgoing
from .scopes import Demand

T = TypeVar("T")


class Dependencies(Generic[S, C]):
    """The dependencies of one provider.

    Args:
        authenticator: Makes the managers of requests.
        sockets: Makes the managers of WebSockets.
        lifespan: Refuses requests before the start; knows which applications were checked.
        request_key: The manager is stored at `request.state.<request_key>`.
        request_arg: The parameter of a URL that may have a token.
        headers: The headers of every answer.
        impersonates: Whether somebody may act for a user.
        max_sessions: Whether a login may be refused because the user has too many sessions.
        hands_out: Whether any answer may have a new token in its header `Session-Token`.
        shown: What OpenAPI shows for every dependency: keyword arguments of `Documented`.
    """

    def __init__(
        self,
        authenticator: Authenticator[S, C],
        sockets: Authenticator[S, C],
        lifespan: Lifespan,
        *,
        request_key: str,
        request_arg: str,
        headers: Headers,
        impersonates: bool,
        max_sessions: bool,
        hands_out: bool,
        shown: dict[str, Any],
    ) -> None:
        self._authenticator = authenticator
        self._sockets = sockets
        self._lifespan = lifespan
        self._admitted = lifespan.admitted
        self._request_key = request_key
        self._hidden = (request_arg,)
        self._headers = headers
        self._acting = ("impersonated",) if impersonates else ()
        self._too_many = ("too_many",) if max_sessions else ()
        self._always = ("ambiguous", "unavailable", "successor") if hands_out else ("ambiguous", "unavailable")
        self._shown = shown
        self.made: WeakSet[SessionDependency[Any]] = WeakSet()
        """What was made of these, and is still in use."""

    def session(self) -> SessionDependency[S]:
        """See `SessionProvider.get_session`."""
        return self._shown_as(_required, optional=False, answers=("no_session",))

    def editable_session(self) -> SessionDependency[S]:
        """See `SessionProvider.get_editable_session`."""

        def give(connection: HTTPConnection, manager: Manager, demand: Demand | None) -> S:
            session: S = _required(connection, manager, demand)
            Saving.of(connection).add(manager)
            return session

        return self._shown_as(give, optional=False, saves=True, answers=("no_session",))

    def peeked_session(self) -> SessionDependency[S]:
        """See `SessionProvider.peek_session`."""
        return self._shown_as(_required, extend=False, optional=False, answers=("no_session",))

    def demanding_session(self, demand: Demand, answer: str) -> SessionDependency[S]:
        """See `SessionProvider.require_fresh` and `require_level`.

        Args:
            demand: What the token must meet.
            answer: What OpenAPI shows for a token that does not meet it.
        """
        answers = ("no_session", answer, *self._acting)
        return self._shown_as(_required, demand=demand, optional=False, answers=answers)

    def redirecting_session(self, login: str) -> SessionDependency[S]:
        """See `SessionProvider.redirect_to_login`."""
        check_login_path(login)

        def give(connection: HTTPConnection, manager: Manager, demand: Demand | None) -> S:
            try:
                session: S = _required(connection, manager, demand)
                return session
            except AuthenticationError:
                location = login_location(connection, login, self._hidden)
                if location is None:
                    raise
            raise LoginRequiredError(location)

        return self._shown_as(give, optional=False, answers=("login", "no_session"))

    def optional_session(self) -> SessionDependency[S | None]:
        """See `SessionProvider.get_optional_session`."""

        def give(_: HTTPConnection, manager: Manager, demand: Demand | None) -> S | None:
            _meet(manager, demand)
            return manager.session

        return self._shown_as(give, optional=True)

    def manager(self) -> SessionDependency[SessionManager[S, C]]:
        """See `SessionProvider.get_manager`."""
        answers = ("too_large", *self._too_many, *self._acting)
        return self._shown_as(_any_manager, optional=True, changes=True, answers=answers)

    def required_manager(self) -> SessionDependency[SessionManager[S, C]]:
        """See `SessionProvider.get_required_manager`."""

        def give(connection: HTTPConnection, manager: Manager, demand: Demand | None) -> SessionManager[S, C]:
            _any_manager(connection, manager, demand).require_token()
            return manager

        return self._shown_as(give, optional=False, changes=True, answers=("no_session",))

    def _shown_as(
        self,
        give: "Give[T]",
        *,
        demand: Demand | None = None,
        extend: bool = True,
        optional: bool,
        changes: bool = False,
        saves: bool = False,
        answers: Sequence[str] = (),
    ) -> SessionDependency[T]:
        shown = self._shown | {"answers": (*answers, *self._always)}
        made = SessionDependency(
            self._manager,
            give,
            demand=demand,
            extend=extend,
            reads_bodies=self._authenticator.reads_bodies,
            optional=optional,
            changes=changes,
            saves=saves,
            **shown,
        )
        self.made.add(made)
        return made

    def _manager(
        self, connection: HTTPConnection, response: Response | None, demand: Demand | None, extend: bool
    ) -> Awaitable[SessionManager[S, C]]:
        """Return the request's manager. The first call in a request makes it and loads its session.

        A request whose token does not meet the demand will be refused, so it does not restart the idle timeout.
        """
        # Every request runs this: it calls few functions, all with positional arguments.
        scope = connection.scope
        outgoing: Outgoing | None = scope.get(KEY)
        if outgoing is not None:
            outgoing.add(self._headers)
        elif response is not None:  # the first request of an application that did not start the provider
            response.raw_headers += self._headers
        # The managers are in the scope itself, since some drivers share its `state`.
        managers: dict[object, Kept] = scope.setdefault("jwtsession", {})
        kept = managers.get(self)
        # `is_of` compares the header objects: drivers may share the scope, but another request has other headers.
        if kept is not None and is_of(kept, scope):
            return self._kept_manager(kept, connection, response, demand, extend)
        if scope.get("app") not in self._admitted:
            self._lifespan.admit(scope.get("app"))
        before = None if kept is None else kept[0]
        body = response is not None  # in an endpoint: only its own `Request` keeps a body that was read
        is_socket = outgoing is None and scope["type"] == "websocket"
        authenticator = self._sockets if is_socket else self._authenticator
        return authenticator.authenticate(connection, None, body, before, demand, extend, self)

    def keep(self, scope: Scope, manager: SessionManager[Any, Any], token: object, searched: bool) -> None:
        """See `Keeper`."""
        scope["jwtsession"][self] = kept_of(scope, manager, token, searched)
        # Only for the application to read: this package never reads it back. The dict belongs to this request alone
        # (see `_OwnState` in `lifespan.py`).
        scope.setdefault("state", {})[self._request_key] = manager

    async def _kept_manager(
        self,
        kept: Kept,
        connection: HTTPConnection,
        response: Response | None,
        demand: Demand | None,
        extend: bool,
    ) -> SessionManager[S, C]:
        manager, token, searched = kept[0], kept[4], kept[5]
        if response is not None and not searched:
            await self._authenticator.search_body(manager, token, connection, demand, extend)
            connection.scope["jwtsession"][self] = (*kept[:-1], True)
        if extend and (demand is None or unmet(manager, demand) is None):
            await manager.extend()
        return manager


def _required(connection: HTTPConnection, manager: Manager, demand: Demand | None) -> Any:
    """Return the session, or refuse the request."""
    session = manager.require()
    if demand is not None:
        _meet(manager, demand)
    return session


def _any_manager(connection: HTTPConnection, manager: Manager, demand: Demand | None) -> Manager:
    """Return the manager. Only a demand of scopes refuses requests: also those that have no session at all."""
    if demand is not None:
        manager.require()
        _meet(manager, demand)
    return manager


def _meet(manager: SessionManager[Any, Any], demand: Demand | None) -> None:
    """Refuse a session whose token does not meet the demand."""
    error = None if demand is None else unmet(manager, demand)
    if error is not None:
        emit_refused(manager, error)
        raise error
