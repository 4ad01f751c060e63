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
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from jwtsession import AmbiguousTokenError, MemorySessionStore, MissingTokenError, Session, SessionProvider, Token
from jwtsession.credentials import MAX_BODY_BYTES, TokenFinder
from tests.conftest import SECRET

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
    ids=range(22),
)
async def test_what_is_no_token_is_missing(made: Any) -> None:
    """Empty values, other schemes, other content types, GET, bodies that are too long or of unknown length."""
    with pytest.raises(MissingTokenError):
        await finder(*EVERYWHERE).find(made())


@pytest.mark.parametrize(
    "made",
    [
        lambda: request(("Authorization", "Bearer t"), ("Authorization", "Bearer t")),
        lambda: request(("X-Access-Token", "t"), ("X-Access-Token", "u")),
        lambda: request(query="accessToken=t&accessToken=t"),
        lambda: request(body=b'{"accessToken": "t", "accessToken": "t"}', kind=JSON),
        lambda: request(body=b"accessToken=t&accessToken=u", kind=FORM),
        lambda: request(("Authorization", "Bearer t"), ("X-Access-Token", "t")),
        lambda: request(("Authorization", "Bearer t"), query="accessToken=t"),
        lambda: request(("Authorization", "Bearer t"), body=b'{"accessToken": "t"}', kind=JSON),
    ],
    ids=range(8),
)
async def test_two_tokens_are_ambiguous(made: Any) -> None:
    """More than one token, or one of them twice, is refused (RFC 6750 section 2)."""
    with pytest.raises(AmbiguousTokenError):
        await finder(*EVERYWHERE).find(made())


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


async def test_a_websocket_has_no_body() -> None:
    """For a WebSocket only headers and the query count."""
    scope = {"type": "websocket", "headers": [(b"content-type", JSON.encode())], "query_string": b"accessToken=t"}
    assert await finder("body", "query").find(HTTPConnection(scope)) == "t"


async def test_a_json_value_of_another_type_is_handed_on() -> None:
    """A number in the token's place is for the decoder to refuse."""
    assert await finder("body").find(request(body=b'{"accessToken": 5}', kind=JSON)) == 5


async def test_a_length_beyond_all_measure_is_too_long() -> None:
    """A Content-Length of thousands of digits is not searched, and no error."""
    found = request(("Content-Length", "9" * 5000), body=b'{"accessToken": "t"}', kind=JSON, length=False)
    with pytest.raises(MissingTokenError):
        await finder("body").find(found)


class Order(BaseModel):
    item: str


def application(*, middleware: bool) -> FastAPI:
    """Endpoints that read their body in every way there is, behind a session that looks for its token in it."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), token_sources=("body",))
    app = FastAPI(lifespan=sessions.lifespan)
    current = Annotated[Session, Depends(sessions.get_session)]

    if middleware:

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


@pytest.mark.parametrize(
    ("middleware", "path", "kind"),
    [
        *((middleware, path, "json") for middleware in (False, True) for path in ("none", "model", "body", "stream")),
        *((False, path, "form") for path in ("none", "form")),
        (True, "none", "form"),
        *((False, path, "form") for path in ("body", "stream")),
        *((True, path, "form") for path in ("form", "body", "stream")),
    ],
)
def test_the_endpoint_has_its_body_after_the_search(middleware: bool, path: str, kind: str) -> None:
    """However an endpoint reads its body: the token in it counts, and the body is the endpoint's as without it."""
    with TestClient(application(middleware=middleware), raise_server_exceptions=False) as client:
        token = client.post("/login").json()["access_token"]
        send = partial(client.post, f"/{path}")
        given = {"item": "tea", "accessToken": token}
        response = send(json=given) if kind == "json" else send(data=given)
        assert (response.status_code, response.json()) == (200, "tea")
        without = {"item": "tea"}
        refused = send(json=without) if kind == "json" else send(data=without)
        assert refused.status_code == 401
