"""`CookieDelivery`: gives the token of one request's session to the browser in a cookie, and takes it away again."""

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import Scope

from ..._types import Transport
from ...errors import ConfigurationError, InvalidArgumentError
from ...transports import CookieTransport, CSRFCheck
from ..outgoing import KEY, Outgoing


@dataclass(frozen=True, slots=True)
class CookiePolicy:
    """What all requests of a provider share, if a token may be in a cookie."""

    cookie: CookieTransport
    csrf: CSRFCheck
    by_default: Transport
    """How a new token is delivered if nobody chooses."""
    only_cookie: bool
    """Whether the cookie is the only source of tokens: no token would be accepted from anywhere else."""


class CookieDelivery:
    """The delivery of one request's tokens: `Delivery` for the manager.

    It does not refer to the request's scope: the scope refers to the manager, and so to this.

    Args:
        policy: The provider's.
        scope: The request's ASGI scope.
    """

    __slots__ = ("_headers", "_is_socket", "_outgoing", "_policy", "_scheme", "_shall_clear", "by_cookie")

    def __init__(self, policy: CookiePolicy, scope: Scope) -> None:
        self._policy = policy
        self._headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        self._scheme: str | None = scope.get("scheme")
        self._is_socket = scope["type"] == "websocket"
        self.by_cookie = False
        """Whether the session's token is in the cookie."""
        self._shall_clear = False
        self.attach(scope)

    def attach(self, scope: Scope) -> None:
        """Find the answer in the scope. For a manager that a middleware asked for, it is there only later."""
        self._outgoing: Outgoing | None = scope.get(KEY)
        if self._shall_clear:
            self._clear()

    def accept(self, scope: Scope) -> None:
        """Note that the request's token came in the cookie.

        Raises:
            CSRFError: Another site may have made the request.
        """
        self._policy.csrf.check_request(scope)
        self.by_cookie = True

    def choose(self, transport: Transport | None, *, allow_cross_site: bool) -> bool:
        """See `Delivery.choose`."""
        policy = self._policy
        by_cookie = (transport or self._asked() or policy.by_default) == "cookie"
        if not by_cookie:
            if policy.only_cookie:
                raise InvalidArgumentError('transport: "bearer" needs another source than the cookie in token_sources')
            return False
        self._require_answer()
        if not allow_cross_site:
            policy.csrf.check_login(self._headers, self._scheme)
        return True

    def prepare(self, token: str, expires_in: int | None, persistent: bool | None) -> bytes:
        """See `Delivery.prepare`."""
        self._require_answer()
        return self._policy.cookie.set(token, expires_in, persistent)

    def deliver(self, cookie: bytes | None) -> None:
        """See `Delivery.deliver`."""
        if self._outgoing is not None:
            if cookie is not None:
                self._outgoing.cookies[self._policy.cookie.name] = cookie
            elif self._outgoing.cookies.get(self._policy.cookie.name) != self._policy.cookie.clear():
                # An earlier session of this request may have set one, and has ended.
                self._outgoing.cookies.pop(self._policy.cookie.name, None)
        self.by_cookie = cookie is not None

    def replace(self, token: str, expires_in: int | None, persistent: bool | None) -> None:
        """See `Delivery.replace`."""
        if self._outgoing is not None:
            self._outgoing.cookies[self._policy.cookie.name] = self._policy.cookie.set(token, expires_in, persistent)

    def clear(self) -> None:
        """See `Delivery.clear`."""
        if self.by_cookie:
            self._clear()

    def _clear(self) -> None:
        self._shall_clear = self._outgoing is None  # a middleware's manager: the answer is attached later
        if self._outgoing is not None and not self._outgoing.started:
            self._outgoing.cookies[self._policy.cookie.name] = self._policy.cookie.clear()

    def _asked(self) -> Transport | None:
        """How the client asks to get the token, if it may choose."""
        if self._policy.only_cookie:
            return None
        asked = {value.strip().lower() for name, value in self._headers if name == b"session-transport"}
        return "cookie" if asked == {b"cookie"} else "bearer" if asked == {b"bearer"} else None

    def _require_answer(self) -> None:
        if self._is_socket:
            raise InvalidArgumentError(
                "the token would be in a cookie, and an open WebSocket can set none: log in and regenerate by a "
                'request, or write create(..., transport="bearer")'
            )
        if self._outgoing is None:
            raise ConfigurationError(
                "the token would be in a cookie, and nothing puts it on the answer: start the provider by the "
                "application, FastAPI(lifespan=sessions.lifespan), or write app.add_middleware(SessionMiddleware) "
                "after the line that adds a middleware which calls create() or regenerate()"
            )
        if self._outgoing.started:
            raise InvalidArgumentError("the token would be in a cookie, and the answer has already started")
