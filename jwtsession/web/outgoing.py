"""`SessionMiddleware`: puts on every answer what the request's dependencies want there, whatever the endpoint returns.

FastAPI adds the headers of its injected `Response` only to answers that it makes itself: not to a `Response` that an
endpoint returns, to an error or to a stream. So the dependencies leave their headers in the request's scope, and this
middleware adds them when the answer starts.
"""

from asyncio import current_task
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..manager import SessionManager
from ..manager.issuing import has_successor
from ..settings import SessionSettings
from .answers.headers import Headers, merged
from .answers.streams import WITHOUT_BODY, Stream
from .answers.successors import with_successors
from .kept import attach_answers
from .sockets.protocol import TakesTokenProtocols
from .sockets.websocket import ClosesSockets


class BeforeStart(Protocol):
    """What an answer waits for."""

    async def __call__(self, status: int, send: Send) -> Exception | None:
        """Do what must be done before the answer starts, or send the answer of an error instead.

        Args:
            status: The status of the application's answer.
            send: Sends another answer.

        Returns:
            The error that was answered. The application gets it as if it had raised it.
        """
        ...

    def finished(self) -> None:
        """Take note that the application has returned. This is not called if it raised an error."""
        ...


_OURS = frozenset({b"cache-control", b"vary", b"referrer-policy"})
"""The names of the headers that `response_headers` makes."""

KEY = "jwtsession_outgoing"
"""The name of a request's `Outgoing` in its scope."""


def response_headers(settings: SessionSettings) -> Headers:
    """The headers that keep answers out of caches (RFC 6749 section 5.1), and tokens in URLs out of other sites' logs.

    `Vary` names the headers that may have the token. With tokens in the query, `Referrer-Policy` forbids the browser to
    send the URL to other sites (RFC 9700 section 4.3.2).
    """
    places = {"bearer": "Authorization", "header": settings.header_name, "cookie": "Cookie"}
    vary = [header for source, header in places.items() if source in settings.token_sources]
    headers = [(b"cache-control", b"no-store")]
    if vary:
        headers.append((b"vary", ", ".join(vary).encode()))
    if "query" in settings.token_sources:
        headers.append((b"referrer-policy", b"no-referrer"))
    return headers


Completer = Callable[[Headers], list[tuple[bytes, bytes]]]
"""Returns the headers of an answer, completed."""


class Outgoing:
    """What the dependencies of one request want on its answer.

    The request's scope refers to it. So it refers to the scope, and to the server's `send`, which knows the scope, only
    while the request runs: a cycle would wait for Python's garbage collector.
    """

    __slots__ = (
        "_headers",
        "_send",
        "_task",
        "answered",
        "arrived",
        "before_start",
        "completers",
        "cookies",
        "scope",
        "started",
        "stream",
        "successors",
    )

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._task = current_task()
        self.scope: Scope | None = scope
        """The request's ASGI scope; None when the application has returned."""
        self.arrived: float | None = None
        """When the request arrived, in seconds since the epoch; None if nobody asks for it."""
        self.stream: Stream | None = None
        """The answer, if it is streamed and there is a session."""
        self._headers: Headers = ()
        self.answered: Exception | None = None
        """The error whose answer took the place of the application's."""
        self.cookies: dict[str, bytes] = {}
        """By each cookie's name the value of its `Set-Cookie` header. The last one counts (RFC 6265 section 4.1.1)."""
        self.completers: tuple[Completer, ...] = ()
        """Called with the headers of the answer, one after the other."""
        self.before_start: BeforeStart | None = None
        self.successors: tuple[SessionManager[Any, Any], ...] = ()
        """The managers whose client gets a new token by the answer, if the answer is no error."""
        self.started = False
        """Whether the answer has started: nothing can be added to it any more."""

    def add(self, headers: Headers) -> None:
        """Add headers to the answer. A provider gives the same object each time."""
        if self._headers is not headers:
            self._headers = merged(self._headers, headers) if self._headers else headers

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on a message of the application, the first one with the headers."""
        if message["type"] == "http.response.start" and self.answered is None:
            self.started = True
            if self.before_start is not None or self.successors:
                return self._start(message)
            message = self._completed(message)
        if self.stream is not None:
            return self.stream.send(message)
        return self._send(message) if self.answered is None else _nothing()

    async def _start(self, message: Message) -> None:
        before_start, self.before_start = self.before_start, None  # for `send`, which goes on below
        successors, self.successors = self.successors, ()
        if before_start is not None:
            self.answered = await before_start(message["status"], self._pass_on)
            if self.answered is not None:
                # A stream does not begin, background tasks do not run, and dependencies with `yield` can roll back.
                raise self.answered
        if successors and message["status"] < 400 and self.scope is not None:
            message = await with_successors(message, successors, self.scope)
        await self.send(message)
        self.before_start = before_start

    async def absorbs(self, error: BaseException) -> bool:
        """Whether the application's error is no failure: it was answered, or it is the end of the session's stream."""
        stream, answered = self.stream, self.answered
        self.stream = self.before_start = self.answered = None
        self.successors = ()  # they refer to this
        return _is_due_to(error, answered) or (stream is not None and await stream.close(error))

    async def finished(self) -> None:
        """The application has returned."""
        stream, before_start = self.stream, self.before_start
        self.stream = self.before_start = None
        if stream is not None:
            await stream.close(None)
        if before_start is not None:
            before_start.finished()

    def _pass_on(self, message: Message) -> Awaitable[None]:
        return self._send(self._completed(message) if message["type"] == "http.response.start" else message)

    def _completed(self, message: Message) -> Message:
        """A copy of the answer's first message, with the headers. An application may use the same message again."""
        if not self._headers and not self.cookies and (self.scope is None or "jwtsession" not in self.scope):
            return message  # nobody asked for a session
        headers = [*message.get("headers", ())]
        names = {header[0].lower() for header in headers}
        if b"content-length" not in names and message["status"] not in WITHOUT_BODY:
            self._begin_stream()
        headers = [*headers, *self._headers] if names.isdisjoint(_OURS) else merged(headers, self._headers)
        if self.cookies:
            headers += [(b"set-cookie", value) for value in self.cookies.values()]
            self.cookies.clear()  # an outer middleware has the same cookies
        for complete in self.completers:
            headers = complete(headers)
        return {**message, "headers": headers}

    def _begin_stream(self) -> None:
        """Let the streamed answer end with the request's session: nobody knows how long it will be."""
        # A mounted application has a middleware of its own, whose `Outgoing` is in the scope then.
        if self.scope is not None and self.scope.get(KEY) is self:
            self.stream = Stream(self.scope, self._send, self._task)


class SessionMiddleware:
    """ASGI middleware that completes answers, closes WebSockets, and takes tokens out of their subprotocols.

    The provider's lifespan puts it into a FastAPI application. If an application does not run that lifespan, add it
    yourself: `app.add_middleware(SessionMiddleware)`. Do so too if a middleware of your own calls `create()`,
    `regenerate()` or `destroy()` and the token is in a cookie; this one must be outside of that middleware.

    Args:
        app: The next ASGI application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._sockets = TakesTokenProtocols(ClosesSockets(app))
        self._users = 0
        self._clock: Callable[[], float] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] != "http":
            await self._sockets(scope, receive, send)
            return
        outer: Outgoing | None = scope.get(KEY)
        outgoing = scope[KEY] = Outgoing(send, scope)
        if outer is not None and outer.scope is not None:  # else a driver uses the scope again
            outgoing.cookies = outer.cookies  # whichever of the two starts an answer has all of them
            outgoing.arrived = outer.arrived
        if self._clock is not None and outgoing.arrived is None:
            outgoing.arrived = self._clock()
        if "jwtsession" in scope:
            outgoing.successors = tuple(filter(has_successor, attach_answers(scope)))
        try:
            await self.app(scope, receive, outgoing.send)
        except BaseException as error:
            if not await outgoing.absorbs(error):
                raise
        else:
            if outgoing.stream is not None or outgoing.before_start is not None:
                await outgoing.finished()
        finally:
            outgoing.scope = outgoing.answered = outgoing._task = None
            outgoing._send = _too_late


def hand_out(manager: SessionManager[Any, Any], scope: Scope) -> None:
    """Let the request's answer take the manager's new token to the client, if it has one.

    For a manager that a middleware asked for, the answer is there only later, and finds the manager itself. An answer
    that has started already takes nothing: the next one does.
    """
    outgoing: Outgoing | None = scope.get(KEY)
    if outgoing is not None and not outgoing.started and has_successor(manager):
        outgoing.successors += (manager,)


@contextmanager
def wrapped(app: Any, clock: Callable[[], float] | None = None) -> Iterator[None]:
    """Put `SessionMiddleware` around an application's routes, once for all providers, until the last of them ends.

    It is inside of FastAPI's own and the application's middlewares, so that those which keep answers see the headers.

    Args:
        app: The application.
        clock: Tells when each request arrives: see `Outgoing.arrived`. None if the provider does not ask.
    """
    router = app.router
    middleware = router.middleware_stack
    if not isinstance(middleware, SessionMiddleware):
        middleware = router.middleware_stack = SessionMiddleware(middleware)
    middleware._users += 1
    middleware._clock = middleware._clock or clock
    try:
        yield
    finally:
        middleware._users -= 1
        if not middleware._users and router.middleware_stack is middleware:
            router.middleware_stack = middleware.app


def _is_due_to(error: BaseException | None, answered: Exception | None) -> bool:
    """Whether an error is the one that was answered, or Starlette's complaint that it has a handler for that one."""
    while error is not None and error is not answered:
        error = error.__cause__
    return error is not None


async def _too_late(message: Message) -> None:
    raise RuntimeError(f"{message['type']} was sent after the application had returned")


async def _nothing() -> None:
    """Take the place of a message that is not sent."""
