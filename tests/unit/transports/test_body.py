"""Tests of jwtsession.transports.body: what a search does to a request's body."""

import functools
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

from jwtsession import AmbiguousTokenError, MemorySessionStore, MissingTokenError, Session, SessionProvider, Token
from jwtsession.transports.body import MAX_BODY_BYTES
from tests.conftest import SECRET
from tests.unit.transports.conftest import EVERYWHERE, FORM, JSON, extractor, request


async def test_a_body_stays_readable_for_the_endpoint() -> None:
    """After the search the endpoint reads the same body, as bytes, JSON, form or stream."""
    body = b'{"accessToken": "t"}'
    found = request(body=body, kind=JSON)
    await extractor("body").extract(found)
    assert await found.body() == body
    assert await found.json() == {"accessToken": "t"}
    assert b"".join([chunk async for chunk in found.stream()]) == body
    form = request(body=urlencode({"accessToken": "t", "a": "ü"}).encode(), kind=FORM)
    await extractor("body").extract(form)
    assert (await form.form())["a"] == "ü"


async def test_a_body_that_is_not_searched_is_not_read() -> None:
    """A stream of unknown length is the endpoint's alone."""
    found = request(body=b"data", kind=JSON, length=False)
    with pytest.raises(MissingTokenError):
        await extractor("body").extract(found)
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
        await extractor("body").extract(made)
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
        await extractor("body").extract(made)
    with pytest.raises(ClientDisconnect):
        await made.body()


async def test_a_body_without_the_name_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large body costs a search for the name, not a parser's work."""
    monkeypatch.setattr("jwtsession.transports.body.json.loads", None)
    with pytest.raises(MissingTokenError):
        await extractor("body").extract(request(body=b"[" + b"{}," * 30_000 + b"{}]", kind=JSON))


async def test_a_websocket_has_no_body() -> None:
    """For a WebSocket only headers and the query count."""
    scope = {"type": "websocket", "headers": [(b"content-type", JSON.encode())], "query_string": b"accessToken=t"}
    assert await extractor("body", "query").extract(HTTPConnection(scope)) == ("t", "query")


@pytest.mark.parametrize("value", ["5", "NaN", "[" * 900 + "]" * 900, '{"a": 1}'])
async def test_a_json_value_of_another_type_is_handed_on(value: str) -> None:
    """What is no text is for the decoder to refuse, once or twice, and is not looked into."""
    for body in (f'{{"accessToken": {value}}}', f'{{"accessToken": {value}, "accessToken": {value}}}'):
        found, _ = await extractor("body").extract(request(body=body.encode(), kind=JSON))
        assert found is not None
        assert not isinstance(found, str)


@pytest.mark.parametrize(
    ("body", "kind"), [(rb'{"\u0061ccessToken": "t"}', JSON), (b"%61ccessToken=t", FORM)], ids=["json", "form"]
)
async def test_an_escaped_name_is_the_same_name(body: bytes, kind: str) -> None:
    """A token is found, and a second one is noticed, however the member's name is written."""
    assert await extractor("body").extract(request(body=body, kind=kind)) == ("t", "body")
    with pytest.raises(AmbiguousTokenError):
        await extractor(*EVERYWHERE).extract(request(("Authorization", "Bearer other"), body=body, kind=kind))


async def test_a_length_beyond_all_measure_is_too_long() -> None:
    """A Content-Length of thousands of digits is not searched, and no error."""
    found = request(("Content-Length", "9" * 5000), body=b'{"accessToken": "t"}', kind=JSON, length=False)
    with pytest.raises(MissingTokenError):
        await extractor("body").extract(found)


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


@functools.cache
def application(middleware: str | None) -> FastAPI:
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
    with TestClient(application(middleware), raise_server_exceptions=False) as client:
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
