"""Tests of jwtsession.credentials."""

import json
from functools import partial
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

import pytest
from fastapi import Depends, FastAPI, Form
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response

from jwtsession import (
    AmbiguousTokenError,
    AuthenticationError,
    MemorySessionStore,
    MissingTokenError,
    Session,
    SessionProvider,
    Token,
)
from jwtsession.transports.extractor import MAX_BODY_BYTES, MAX_BODY_FIELDS, TokenFinder
from tests.conftest import SECRET
from tests.unit.conftest import World

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def request(
    *headers: tuple[str, str],
    query: str = "",
    body: bytes = b"",
    kind: str | None = None,
    method: str = "POST",
    length: bool = True,
) -> Request:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    if kind is not None:
        raw.append((b"content-type", kind.encode()))
    if length:
        raw.append((b"content-length", str(len(body)).encode()))
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop(0)

    scope = {"type": "http", "method": method, "path": "/", "query_string": query.encode(), "headers": raw}
    return Request(scope, receive)


def finder(*sources: str, first_wins: bool = False) -> TokenFinder:
    return TokenFinder(sources, header="x-access-token", name="accessToken", first_wins=first_wins)


EVERYWHERE = ("bearer", "header", "query", "body")


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("bearer", lambda: request(("Authorization", "Bearer t"))),
        ("bearer", lambda: request(("Authorization", "bEARER   t  "))),
        ("bearer", lambda: request(("Authorization", "Basic x"), ("Authorization", "Bearer t"))),
        ("header", lambda: request(("X-Access-Token", " t "))),
        ("query", lambda: request(query="a=b&accessToken=t")),
        ("query", lambda: request(query="access%54oken=t")),
        ("body", lambda: request(body=b'{"accessToken": "t", "x": 1}', kind=JSON)),
        ("body", lambda: request(body=b'{"accessToken": "t"}', kind="Application/JSON; charset=utf-8")),
        ("body", lambda: request(body=b"x=1&accessToken=t", kind=FORM)),
        ("body", lambda: request(body=b"accessToken=t", kind=FORM, method="DELETE")),
    ],
)
async def test_each_source_finds_its_token_and_no_other_source_does(source: str, made: Any) -> None:
    """A token is found where its source looks, and nowhere else."""
    assert await finder(source).find(made()) == "t"
    for other in set(EVERYWHERE) - {source}:
        with pytest.raises(MissingTokenError):
            await finder(other).find(made())


@pytest.mark.parametrize(
    "made",
    [
        lambda: request(),
        lambda: request(("Authorization", "Bearer")),
        lambda: request(("Authorization", "Bearer  ")),
        lambda: request(("Authorization", "Basic dDp0")),
        lambda: request(("X-Access-Token", "")),
        lambda: request(query="accessToken="),
        lambda: request(body=b'{"accessToken": ""}', kind=JSON),
        lambda: request(body=b'{"accessToken": null}', kind=JSON),
        lambda: request(body=b'{"nested": {"accessToken": "t"}}', kind=JSON),
        lambda: request(body=b'["accessToken"]', kind=JSON),
        lambda: request(body=b'{"accessToken": "t"', kind=JSON),
        lambda: request(body=b'[{"accessToken": "t"}]', kind=JSON),
        lambda: request(body=b'[["accessToken", "t"]]', kind=JSON),
        lambda: request(body=b"accessToken=t" + b"&a=b" * MAX_BODY_FIELDS, kind=FORM),
        lambda: request(body=b"accessToken=t" + b"&a=" + b"b" * MAX_BODY_BYTES, kind=FORM),
        lambda: request(("Transfer-Encoding", "chunked"), body=b'{"accessToken": "t"}', kind=JSON),
        lambda: request(("Authorization", "Bearer\tt")),
        lambda: request(body=b"[" * 5000, kind=JSON),
        lambda: request(body=b"\xff", kind=JSON),
        lambda: request(body=b'{"accessToken": "t"}'),
        lambda: request(body=b'{"accessToken": "t"}', kind="text/plain"),
        lambda: request(body=b'{"accessToken": "t"}', kind="application/jsonp"),
        lambda: request(body=b"accessToken=t", kind="multipart/form-data"),
        lambda: request(body=b'{"accessToken": "t"}', kind=JSON, method="GET"),
        lambda: request(body=b"accessToken=t", kind=FORM, method="HEAD"),
        lambda: request(body=b'{"accessToken": "t"}', kind=JSON, length=False),
        lambda: request(body=json.dumps({"accessToken": "t", "x": "y" * MAX_BODY_BYTES}).encode(), kind=JSON),
        lambda: request(("Content-Length", "+5"), body=b"accessToken=t", kind=FORM, length=False),
    ],
    ids=range(28),
)
async def test_what_is_no_token_is_missing(made: Any) -> None:
    """Empty values, other schemes, other content types, GET, bodies that are too long, or of unknown length."""
    with pytest.raises(MissingTokenError):
        await finder(*EVERYWHERE).find(made())


@pytest.mark.parametrize(
    "made",
    [
        lambda: request(("Authorization", "Bearer t"), ("Authorization", "Bearer u")),
        lambda: request(("Authorization", "Bearer"), ("Authorization", "Bearer t")),
        lambda: request(("X-Access-Token", "t"), ("X-Access-Token", "u")),
        lambda: request(query="accessToken=t&accessToken=u"),
        lambda: request(query="accessToken=&accessToken=t"),
        lambda: request(query="access%54oken=t&accessToken=u"),
        lambda: request(body=b'{"accessToken": "t", "accessToken": "u"}', kind=JSON),
        lambda: request(body=b'{"accessToken": null, "accessToken": "t"}', kind=JSON),
        lambda: request(body=b'{"accessToken": "t", "accessToken": {}}', kind=JSON),
        lambda: request(body=b'{"access\\u0054oken": "u", "accessToken": "t"}', kind=JSON),
        lambda: request(body=b"accessToken=t&accessToken=u", kind=FORM),
        lambda: request(body=b"accessToken=t&accessToken=", kind=FORM),
        lambda: request(body=b"access%54oken=u&accessToken=t", kind=FORM),
        lambda: request(("Authorization", "Bearer t"), ("X-Access-Token", "u")),
        lambda: request(("Authorization", "Bearer t"), query="accessToken=u"),
        lambda: request(("Authorization", "Bearer t"), body=b'{"accessToken": "u"}', kind=JSON),
        lambda: request(("Authorization", "Bearer t"), ("X-Access-Token", "t"), query="accessToken=u"),
    ],
    ids=range(17),
)
async def test_two_different_tokens_are_ambiguous(made: Any) -> None:
    """Two that differ are refused (RFC 6750 section 2), and so is one place with a token and something else."""
    with pytest.raises(AmbiguousTokenError):
        await finder(*EVERYWHERE).find(made())


@pytest.mark.parametrize(
    "made",
    [
        lambda: request(("Authorization", "Bearer t"), ("Authorization", "bearer  t")),
        lambda: request(query="accessToken=t&accessToken=t"),
        lambda: request(body=b'{"accessToken": "t", "accessToken": "t"}', kind=JSON),
        lambda: request(("Authorization", "Bearer t"), ("X-Access-Token", "t")),
        lambda: request(("Authorization", "Bearer t"), ("X-Access-Token", "")),
        lambda: request(("Authorization", "Bearer t"), query="accessToken=t"),
        lambda: request(("Authorization", "Bearer t"), body=b"accessToken=t", kind=FORM),
    ],
    ids=range(7),
)
async def test_the_same_token_twice_is_one_token(made: Any) -> None:
    """In one place or in two: generated clients fill in every place that they know."""
    assert await finder(*EVERYWHERE).find(made()) == "t"


@pytest.mark.parametrize("odd", ["\xa0", "\x85", "\x0b", "\x0c", "\x1f"])
@pytest.mark.parametrize("form", ["{odd}t", "t{odd}"])
async def test_only_http_s_own_whitespace_is_stripped(odd: str, form: str) -> None:
    """What Python takes for whitespace and HTTP does not stays in the token, which is none then."""
    value = form.format(odd=odd)
    assert await finder("bearer").find(request(("Authorization", f"Bearer {value}"))) == value
    assert await finder("header").find(request(("X-Access-Token", value))) == value
    with pytest.raises(MissingTokenError):
        await finder("bearer").find(request(("Authorization", f"Bearer{odd}t")))


@pytest.mark.parametrize(
    "value", ["Bearer {0},", "Bearer {0}, Bearer {0}", "Bearer {0},{0}", "Bearer \t{0}", "Bearer\t{0}"]
)
async def test_a_comma_or_a_tab_within_the_header_is_a_401(world: World, value: str) -> None:
    """Joined headers and other separators than a space make no token (RFC 9110 section 11.4)."""
    made = request(("Authorization", value.format(await world.log_in())), method="GET")
    with pytest.raises(AuthenticationError):
        await world.provider.get_session(made)


async def test_the_first_source_wins_where_it_may() -> None:
    """In the original's way the order of the sources decides; one source that holds two is refused all the same."""
    original = finder("header", "query", "body", first_wins=True)
    everything = {"query": "accessToken=q", "body": b'{"accessToken": "b"}', "kind": JSON}
    assert await original.find(request(("X-Access-Token", "h"), **everything)) == "h"
    assert await original.find(request(("X-Access-Token", ""), **everything)) == "q"
    assert await original.find(request(body=b'{"accessToken": "b"}', kind=JSON)) == "b"
    with pytest.raises(AmbiguousTokenError):
        await original.find(request(query="accessToken=a&accessToken=b"))


async def test_a_body_stays_readable_for_the_endpoint() -> None:
    """After the search the endpoint reads the same body, as bytes, JSON, form or stream."""
    body = b'{"accessToken": "t"}'
    found = request(body=body, kind=JSON)
    await finder("body").find(found)
    assert await found.body() == body
    assert await found.json() == {"accessToken": "t"}
    assert b"".join([chunk async for chunk in found.stream()]) == body
    form = request(body=urlencode({"accessToken": "t", "a": "ü"}).encode(), kind=FORM)
    await finder("body").find(form)
    assert (await form.form())["a"] == "ü"


async def test_a_body_that_is_not_searched_is_not_read() -> None:
    """A stream of unknown length is the endpoint's alone."""
    found = request(body=b"data", kind=JSON, length=False)
    with pytest.raises(MissingTokenError):
        await finder("body").find(found)
    assert b"".join([chunk async for chunk in found.stream()]) == b"data"


@pytest.mark.parametrize("length", [10, MAX_BODY_BYTES])
async def test_a_body_is_counted_as_it_comes(length: int) -> None:
    """A body that is longer than it says is not read beyond the limit, and the endpoint still has all of it."""
    sent = 0

    async def receive() -> Any:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": sent < 1000}

    headers = [(b"content-type", JSON.encode()), (b"content-length", str(length).encode())]
    made = Request({"type": "http", "method": "POST", "headers": headers, "query_string": b""}, receive)
    with pytest.raises(MissingTokenError):
        await finder("body").find(made)
    assert sent * 1000 <= MAX_BODY_BYTES + 1000
    assert len(await made.body()) == 1_000_000


async def test_a_client_that_leaves_in_the_middle_has_no_token() -> None:
    """The search ends, and the endpoint finds the client gone as without it."""
    messages: list[Any] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    headers = [(b"content-type", JSON.encode()), (b"content-length", b"20")]
    made = Request({"type": "http", "method": "POST", "headers": headers, "query_string": b""}, receive)
    with pytest.raises(MissingTokenError):
        await finder("body").find(made)
    with pytest.raises(ClientDisconnect):
        await made.body()


async def test_a_body_without_the_name_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large body costs a search for the name, not a parser's work."""
    monkeypatch.setattr("jwtsession.transports.extractor.json.loads", None)
    with pytest.raises(MissingTokenError):
        await finder("body").find(request(body=b"[" + b"{}," * 30_000 + b"{}]", kind=JSON))


async def test_a_websocket_has_no_body() -> None:
    """For a WebSocket only headers and the query count."""
    scope = {"type": "websocket", "headers": [(b"content-type", JSON.encode())], "query_string": b"accessToken=t"}
    assert await finder("body", "query").find(HTTPConnection(scope)) == "t"


@pytest.mark.parametrize("value", ["5", "NaN", "[" * 900 + "]" * 900, '{"a": 1}'])
async def test_a_json_value_of_another_type_is_handed_on(value: str) -> None:
    """What is no text is for the decoder to refuse, once or twice, and is not looked into."""
    for body in (f'{{"accessToken": {value}}}', f'{{"accessToken": {value}, "accessToken": {value}}}'):
        found = await finder("body").find(request(body=body.encode(), kind=JSON))
        assert found is not None
        assert not isinstance(found, str)


@pytest.mark.parametrize(
    ("body", "kind"), [(rb'{"\u0061ccessToken": "t"}', JSON), (b"%61ccessToken=t", FORM)], ids=["json", "form"]
)
async def test_an_escaped_name_is_the_same_name(body: bytes, kind: str) -> None:
    """A token is found, and a second one is noticed, however the member's name is written."""
    assert await finder("body").find(request(body=body, kind=kind)) == "t"
    with pytest.raises(AmbiguousTokenError):
        await finder(*EVERYWHERE).find(request(("Authorization", "Bearer other"), body=body, kind=kind))


async def test_a_length_beyond_all_measure_is_too_long() -> None:
    """A Content-Length of thousands of digits is not searched, and no error."""
    found = request(("Content-Length", "9" * 5000), body=b'{"accessToken": "t"}', kind=JSON, length=False)
    with pytest.raises(MissingTokenError):
        await finder("body").find(found)


class Order(BaseModel):
    item: str


class PureMiddleware:
    """Asks for the manager before the application, with a Request of its own."""

    def __init__(self, app: Any, sessions: SessionProvider[Session, Any]) -> None:
        self._app, self._sessions = app, sessions

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._sessions.get_manager(Request(scope, receive))
        await self._app(scope, receive, send)


def application(*, middleware: str | None) -> FastAPI:
    """Endpoints that read their body in every way there is, behind a session that looks for its token in it."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), token_sources=("bearer", "body"))
    app = FastAPI(lifespan=sessions.lifespan)
    current = Annotated[Session, Depends(sessions.get_session)]

    if middleware == "pure":
        app.add_middleware(PureMiddleware, sessions=sessions)
    elif middleware == "http":

        @app.middleware("http")
        async def look(request: Request, call_next: RequestResponseEndpoint) -> Response:
            await sessions.get_manager(request)
            return await call_next(request)

    @app.post("/login")
    async def log_in(manager: Annotated[Any, Depends(sessions.get_manager)]) -> Token:
        token: Token = await manager.create({"name": "ann"})
        return token

    @app.post("/none")
    async def nothing(session: current) -> str:
        return "tea"

    @app.post("/model")
    async def model(order: Order, session: current) -> str:
        return order.item

    @app.post("/form")
    async def form(item: Annotated[str, Form()], session: current) -> str:
        return item

    @app.post("/body")
    async def body(request: Request, session: current) -> str:
        return item_in(await request.body())

    @app.post("/stream")
    async def stream(request: Request, session: current) -> str:
        return item_in(b"".join([chunk async for chunk in request.stream()]))

    return app


def item_in(body: bytes) -> str:
    return str(json.loads(body)["item"]) if body.startswith(b"{") else parse_qs(body.decode())["item"][0]


@pytest.mark.parametrize("middleware", [None, "http", "pure"])
@pytest.mark.parametrize("path", ["none", "model", "form", "body", "stream"])
@pytest.mark.parametrize("kind", ["json", "form"])
def test_the_endpoint_has_its_body_after_the_search(middleware: str | None, path: str, kind: str) -> None:
    """However an endpoint reads its body, and whoever asked before: the token in it counts, and the body is whole."""
    if (path, kind) in (("model", "form"), ("form", "json")):
        return  # the endpoint's own 422
    with TestClient(application(middleware=middleware), raise_server_exceptions=False) as client:
        token = client.post("/login").json()["access_token"]
        send = partial(client.post, f"/{path}")
        given, without = {"item": "tea", "accessToken": token}, {"item": "tea"}

        def answer(data: dict[str, str], bearer: str | None = None) -> Any:
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            return send(json=data, headers=headers) if kind == "json" else send(data=data, headers=headers)

        for good in (answer(given), answer(without, token), answer(given, token)):
            assert (good.status_code, good.json()) == (200, "tea")
        assert answer(without).status_code == 401
        assert answer(without, "garbage").status_code == 401
        assert answer(given, "garbage").status_code == 400


def test_a_middleware_s_manager_gets_the_session_that_the_endpoint_finds() -> None:
    """A token in the body is found by the endpoint's dependency, and the middleware's manager is the same object."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), token_sources=("body",))
    app = FastAPI(lifespan=sessions.lifespan)
    seen: list[bool] = []

    @app.middleware("http")
    async def look(request: Request, call_next: RequestResponseEndpoint) -> Response:
        manager = await sessions.get_manager(request)
        seen.append(manager.session is not None)
        response = await call_next(request)
        seen.append(manager.session is not None)
        return response

    @app.post("/login")
    async def log_in(manager: Annotated[Any, Depends(sessions.get_manager)]) -> Token:
        token: Token = await manager.create({"name": "ann"})
        return token

    @app.post("/read", dependencies=[Depends(sessions.get_session)])
    async def read() -> None: ...

    with TestClient(app) as client:
        token = client.post("/login").json()["access_token"]
        del seen[:]
        assert client.post("/read", json={"accessToken": token}).status_code == 200
    assert seen == [False, True]
