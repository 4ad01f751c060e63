"""Tests of jwtsession.web.outgoing: what dependencies want on an answer is there, whatever the endpoint returns."""

import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from jwtsession import Claims, SessionMiddleware, SessionSettings
from jwtsession.web.outgoing import KEY, Outgoing, response_headers
from tests.asgi import Answer, ask, call, scope_of
from tests.conftest import SECRET, Clock

from .site import NAME, OWN, Site, UserSession, is_cleared, value_of

# --- whatever the endpoint returns -----------------------------------------------------------------------------------


async def _pages() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"


def _refuse() -> Response:
    raise HTTPException(418, headers={"x-own": "1"})


ANSWERS: dict[str, tuple[int, Callable[[], Any]]] = {
    "a model": (200, UserSession),
    "nothing": (200, lambda: None),
    "a Response": (200, lambda: Response(b"x")),
    "JSON": (200, lambda: JSONResponse({"a": 1})),
    "HTML": (200, lambda: HTMLResponse("<p>")),
    "a redirect": (303, lambda: RedirectResponse("/", 303)),
    "no content": (204, lambda: Response(status_code=204)),
    "a stream": (200, lambda: StreamingResponse(_pages())),
    "a file": (200, lambda: FileResponse(__file__)),
    "an HTTPException": (418, _refuse),
    "a server's error as a Response": (500, lambda: Response(status_code=500)),
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def site() -> AsyncIterator[Site]:
    site = Site()
    routes = APIRouter()

    @routes.post("/answer")
    async def answer(kind: str, manager: site.manager) -> Any:  # type: ignore[name-defined]
        await manager.create(UserSession(), Claims(sub="ann"))
        return ANSWERS[kind][1]()

    @routes.post("/invalid")
    async def invalid(manager: site.manager, number: int) -> None: ...  # type: ignore[name-defined]

    @routes.get("/bare")
    async def bare() -> None: ...

    inner = APIRouter()
    inner.include_router(routes, prefix="/inner")
    sub, deep = FastAPI(), FastAPI()
    deep.include_router(routes)
    sub.include_router(routes)
    sub.mount("/deep", deep)
    site.app.include_router(routes)
    site.app.include_router(routes, prefix="/v1")
    site.app.include_router(inner, prefix="/v2")
    site.app.mount("/sub", sub)
    site.app.mount("/plain", Starlette(routes=[Mount("/api", app=sub)]))
    async with site.running():
        yield site


def is_complete(answer: Answer) -> bool:
    """Whether the answer has the headers of this package, each once."""
    return answer.all("cache-control") == ["no-store"] and answer.all("vary") == ["Authorization, Cookie"]


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("place", ["", "/v1", "/v2/inner", "/sub", "/sub/deep", "/plain/api"])
async def test_the_cookie_and_the_headers_are_on_every_answer(site: Site, place: str, kind: str) -> None:
    """Models, own responses, redirects, streams, files and errors; of routers, included routers and mounts."""
    answer = await site.ask("POST", f"{place}/answer", query=f"kind={kind}")
    assert answer.status == ANSWERS[kind][0]
    assert is_complete(answer)
    assert (await site.ask("GET", "/session", cookie=value_of(answer))).status == 200
    if kind == "an HTTPException":
        assert answer.all("x-own") == ["1"]


@pytest.mark.parametrize("place", ["", "/v1", "/sub"])
async def test_an_invalid_request_is_a_complete_answer_too(site: Site, place: str) -> None:
    """A 422 of an endpoint that asks for a session is kept by no cache; an expired cookie is cleared by it."""
    token = await site.token()
    site.clock.advance(5000)
    answer = await site.ask("POST", f"{place}/invalid", query="number=x", cookie=token)
    assert answer.status == 422
    assert is_complete(answer)
    assert is_cleared(answer)


async def test_what_asks_for_no_session_is_left_alone(site: Site) -> None:
    """Neither an endpoint without a session, nor a path that is not there, nor the document gets a header."""
    for path in ("/bare", "/nowhere", "/openapi.json"):
        answer = await site.ask("GET", path, cookie=await site.token())
        assert answer.all("cache-control") == answer.all("vary") == answer.cookies == []


# --- headers that are there already ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ([], {"cache-control": "no-store", "vary": "Authorization, Cookie"}),
        ([("Vary", "Accept")], {"vary": "Accept, Authorization, Cookie"}),
        ([("VARY", "cookie, Accept")], {"vary": "cookie, Accept, Authorization"}),
        ([("vary", "Accept"), ("Vary", "Origin")], {"vary": "Accept, Origin, Authorization, Cookie"}),
        ([("vary", "*")], {"vary": "*"}),
        ([("vary", "Accept, *")], {"vary": "Accept, *"}),
        ([("vary", "Authorization,Cookie")], {"vary": "Authorization,Cookie"}),
        ([("Cache-Control", "private, max-age=60")], {"cache-control": "private, max-age=60, no-store"}),
        ([("cache-control", "No-Store, private")], {"cache-control": "No-Store, private"}),
        ([("cache-control", "no-storeroom")], {"cache-control": "no-storeroom, no-store"}),
    ],
)
async def test_headers_are_merged_with_the_endpoint_s_own(
    clock: Clock, own: list[tuple[str, str]], expected: dict[str, str]
) -> None:
    """Each header stands once; what the endpoint says itself stays, and nothing is said twice."""
    site = Site(clock)

    @site.app.get("/own")
    async def answer(manager: site.manager) -> Response:  # type: ignore[name-defined]
        response = Response()
        response.raw_headers += [(name.encode(), value.encode()) for name, value in own]
        return response

    async with site.running():
        answer_ = await site.ask("GET", "/own")
        for name, value in ({"cache-control": "no-store", "vary": "Authorization, Cookie"} | expected).items():
            assert answer_.all(name) == [value]


async def test_an_endpoint_s_own_cookies_stay(clock: Clock) -> None:
    """`Set-Cookie` is the one header that can't be joined (RFC 6265 section 3): ours is one more."""
    site = Site(clock)

    @site.app.post("/own")
    async def answer(manager: site.manager) -> Response:  # type: ignore[name-defined]
        await manager.create(UserSession())
        response = Response()
        response.set_cookie("theme", "dark")
        response.set_cookie("lang", "de")
        return response

    async with site.running():
        names = [each.partition("=")[0] for each in (await site.ask("POST", "/own")).cookies]
        assert names == ["theme", "lang", NAME]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["bearer"], [("cache-control", "no-store"), ("vary", "Authorization")]),
        (["cookie"], [("cache-control", "no-store"), ("vary", "Cookie")]),
        (["header", "bearer"], [("cache-control", "no-store"), ("vary", "Authorization, x-access-token")]),
        (["query"], [("cache-control", "no-store"), ("referrer-policy", "no-referrer")]),
        (["body"], [("cache-control", "no-store")]),
    ],
)
def test_the_headers_follow_from_the_sources(sources: Any, expected: list[tuple[str, str]]) -> None:
    """`Vary` names the headers that may have the token; a token in the URL is told to no other site."""
    headers = response_headers(SessionSettings(secret=SECRET, token_sources=sources))
    assert [(name.decode(), value.decode()) for name, value in headers] == expected


# --- any ASGI application --------------------------------------------------------------------------------------------


def raw_application(message: dict[str, Any]) -> Any:
    """An ASGI application of a site's owner, which wants headers of us and sends the same message each time."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        outgoing: Outgoing = scope[KEY]
        outgoing.add(((b"cache-control", b"no-store"), (b"vary", b"Cookie")))
        outgoing.cookies["a"] = b"a=1"
        await send(message)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body"})

    return app


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Vary", b"Accept")],
        ((b"Vary", b"Accept"),),
        [[b"Vary", b"Accept"]],
        [(b"vary", b"Accept")],
    ],
)
async def test_a_message_that_is_used_again_keeps_nothing_of_ours(headers: Any) -> None:
    """Lists or tuples, in any case: the application's message stays as it was, and each answer is complete."""
    message = {"type": "http.response.start", "status": 200, "headers": headers, "own": 1}
    before = repr(message)
    app = SessionMiddleware(raw_application(message))
    for _ in range(3):
        answer = await ask(app)
        assert (answer.all("vary"), answer.cookies, answer.body) == (["Accept, Cookie"], ["a=1"], b"x")
        assert repr(message) == before


async def test_an_answer_without_headers_gets_ours() -> None:
    """`headers` may be left out (the ASGI specification), or be an iterator."""
    for message in ({}, {"headers": iter([(b"vary", b"Accept")])}):
        app = SessionMiddleware(raw_application({"type": "http.response.start", "status": 200} | message))
        assert (await ask(app)).all("cache-control") == ["no-store"]


async def test_headers_that_can_be_read_once_stay_in_an_answer_with_a_session(site: Site) -> None:
    """They tell whether the answer is streamed, and go out all the same."""

    class Once(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": iter([(b"x-own", b"1")])})
            await send({"type": "http.response.body", "body": b"x"})

    @site.app.get("/once")
    async def once(session: site.session) -> Once:  # type: ignore[name-defined]
        return Once()

    answer = await site.ask("GET", "/once", cookie=await site.token())
    assert (answer.all("x-own"), answer.body) == (["1"], b"x")


async def test_a_response_that_is_returned_again_keeps_nothing_of_ours(clock: Clock) -> None:
    """One Response object for all requests: nobody gets the cookie of somebody else."""
    site, shared = Site(clock), PlainTextResponse("x", headers={"vary": "Accept"})

    @site.app.post("/shared")
    async def answer(manager: site.manager, log_in: bool = False) -> Response:  # type: ignore[name-defined]
        if log_in:
            await manager.create(UserSession())
        return shared

    async with site.running():
        before = [*shared.raw_headers]
        first, second = [value_of(await site.ask("POST", "/shared", query="log_in=1")) for _ in range(2)]
        assert first != second
        assert (await site.ask("POST", "/shared")).cookies == []
        assert shared.raw_headers == before


@pytest.mark.parametrize("kind", ["base", "gzip"])
async def test_middlewares_of_the_application_see_the_complete_answer(clock: Clock, kind: str) -> None:
    """Those that cache, compress or rewrite answers are outside of ours."""
    site, seen = Site(clock), []

    class Looks(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            answer: Response = await call_next(request)
            seen.append(answer.headers["cache-control"])
            return answer

    if kind == "base":
        site.app.add_middleware(Looks)
    else:
        site.app.add_middleware(GZipMiddleware, minimum_size=1)
    async with site.running():
        answer = await site.ask("POST", "/session", ("accept-encoding", "gzip"))
        assert len(answer.cookies) == 1
        assert seen == (["no-store"] if kind == "base" else [])
        if kind == "gzip":
            assert answer.all("vary") == ["Authorization, Cookie, Accept-Encoding"]


async def test_added_by_hand_it_is_enough(clock: Clock) -> None:
    """For those who build ASGI themselves: a Starlette application without our lifespan, and its sockets."""
    site = Site(clock)

    async def log_in(request: Request) -> Response:
        manager = await site.sessions.get_manager(request)
        await manager.create(UserSession())
        return PlainTextResponse("in")

    async def read(request: Request) -> Response:
        return PlainTextResponse(str((await site.sessions.get_session(request)).user_id))

    app = Starlette(routes=[Route("/in", log_in, methods=["POST"]), Route("/", read)])
    app.add_middleware(SessionMiddleware)
    async with site.sessions:
        answer = await ask(app, "POST", "/in", OWN)
        assert is_complete(answer)
        answer = await ask(app, "GET", "/", ("cookie", f"{NAME}={value_of(answer)}"))
        assert (answer.status, answer.body) == (200, b"1")


async def test_twice_is_as_good_as_once(clock: Clock) -> None:
    """By hand and by the lifespan: every header stands once."""
    site = Site(clock)
    site.app.add_middleware(SessionMiddleware)
    async with site.running():
        answer = await site.ask("POST", "/session")
        assert is_complete(answer)
        assert len(answer.cookies) == 1


async def test_other_calls_pass_through() -> None:
    """The lifespan, and what nobody has invented yet."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], KEY in scope))

    for kind in ("lifespan", "webtransport"):
        await SessionMiddleware(app)({"type": kind}, None, None)  # type: ignore[arg-type]
    assert seen == [("lifespan", False), ("webtransport", False)]


# --- where it stands -------------------------------------------------------------------------------------------------


def wrappers(app: FastAPI) -> int:
    """How many of ours stand around an application's routes."""
    found, layer = 0, app.router.middleware_stack
    while isinstance(layer, SessionMiddleware):
        found, layer = found + 1, layer.app
    return found


async def test_it_is_there_once_as_long_as_a_provider_runs(clock: Clock) -> None:
    """Two providers share it, whichever ends first; a second start of the application has it again."""
    site, other = Site(clock), Site(clock, request_key="admin")
    before = site.app.router.middleware_stack
    for first, second in ((site, other), (other, site)):
        outer, inner = first.sessions.lifespan(site.app), second.sessions.lifespan(site.app)
        await outer.__aenter__()
        await inner.__aenter__()
        assert wrappers(site.app) == 1
        await outer.__aexit__(None, None, None)
        assert wrappers(site.app) == 1
        await inner.__aexit__(None, None, None)
        assert wrappers(site.app) == 0
        assert site.app.router.middleware_stack == before


async def test_an_application_that_did_not_start_the_provider_gets_it_for_as_long(clock: Clock) -> None:
    """From its first request to the provider's end."""
    site, app = Site(clock), FastAPI()

    @app.get("/")
    async def read(manager: site.manager) -> Response:  # type: ignore[name-defined]
        return Response()

    async with site.sessions:
        assert wrappers(app) == 0
        await ask(app)
        assert wrappers(app) == 1
        assert is_complete(await ask(app))
    assert wrappers(app) == 0


async def test_a_start_that_fails_leaves_nothing_behind(clock: Clock) -> None:
    """The application's routes are as they were."""

    class Broken(type(Site(clock).store)):  # type: ignore[misc]
        async def open(self) -> None:
            raise OSError

    site = Site(clock, store=Broken(clock))
    with pytest.raises(OSError):  # noqa: PT011
        async with site.running():
            raise AssertionError
    assert wrappers(site.app) == 0


async def test_a_request_leaves_nothing_to_the_collector(site: Site) -> None:
    """What was made for an answer is freed when the request ends, without a cycle."""
    kept: list[weakref.ref[Any]] = []

    @site.app.get("/kept")
    async def read(request: Request, manager: site.manager) -> None:  # type: ignore[name-defined]
        kept.append(weakref.ref(manager))

    gc.collect()
    gc.disable()
    try:
        await site.ask("GET", "/kept", cookie=await site.token())
        assert kept[0]() is None
    finally:
        gc.enable()


async def test_what_comes_after_the_end_is_an_error() -> None:
    """An application that sends when it has returned is told so. The request's end has let go of the server."""
    kept: list[Send] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("a")(scope, receive, send)
        kept.append(send)

    assert (await call(SessionMiddleware(app), scope_of())).body == b"a"
    with pytest.raises(RuntimeError, match="body was sent after the application had returned"):
        await kept[0]({"type": "http.response.body", "body": b"b"})


async def test_a_socket_is_no_answer(site: Site) -> None:
    """A handshake has no `Outgoing`: its headers are the endpoint's."""
    seen = []

    @site.app.websocket("/socket")
    async def socket(socket: WebSocket, manager: site.manager) -> None:  # type: ignore[name-defined]
        seen.append(KEY in socket.scope)
        await socket.accept()

    scope = scope_of(path="/socket", headers=[OWN], scheme="wss", kind="websocket")
    assert (await call(site.app, scope)).accepted
    assert seen == [False]
