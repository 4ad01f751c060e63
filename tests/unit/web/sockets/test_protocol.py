"""Tests of jwtsession.web.sockets.protocol, and of which sources count for a WebSocket."""

import contextlib
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.testclient import WebSocketDenialResponse
from starlette.types import Receive, Scope, Send

from jwtsession import (
    ConfigurationError,
    MemorySessionStore,
    Session,
    SessionManager,
    SessionMiddleware,
    SessionProvider,
    Token,
)
from tests.conftest import SECRET, Clock
from tests.unit.conftest import World


def shop(**options: Any) -> FastAPI:
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), **options)
    app, inner = FastAPI(lifespan=sessions.lifespan), FastAPI()

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager, Depends(sessions.get_manager)]) -> Token:
        return await manager.create({"name": "ann"}, transport="bearer")

    @app.websocket("/ws")
    @inner.websocket("/ws")
    async def live(websocket: WebSocket, session: Annotated[Session, Depends(sessions.get_session)]) -> None:
        await websocket.accept()
        offered = websocket.headers.getlist("sec-websocket-protocol")
        await websocket.send_json({"header": offered, "scope": [*websocket.scope["subprotocols"]]})

    @app.websocket("/picks")
    async def picks(websocket: WebSocket, session: Annotated[Session, Depends(sessions.get_session)]) -> None:
        await websocket.accept("chat")

    app.mount("/inner", inner)
    return app


def token_of(client: TestClient) -> str:
    token: str = client.post("/session").json()["access_token"]
    return token


@pytest.mark.parametrize("path", ["/ws", "/inner/ws"])
@pytest.mark.parametrize("outside", [False, True])
def test_a_browser_gets_in_and_its_token_is_nowhere(path: str, outside: bool) -> None:
    """The endpoint sees the other subprotocols alone, and the client's `jwtsession` is answered, by one middleware."""
    app = shop()
    if outside:
        app.add_middleware(SessionMiddleware)
    with TestClient(app) as client:
        offered = ["jwtsession", f"jwtsession.token.{token_of(client)}"]
        with client.websocket_connect(path, subprotocols=offered) as socket:
            assert socket.accepted_subprotocol == "jwtsession"
            assert socket.receive_json() == {"header": ["jwtsession"], "scope": ["jwtsession"]}


def test_an_endpoint_picks_its_own_subprotocol() -> None:
    """What the endpoint picks stays, and nothing is answered that the client did not offer."""
    app = shop()
    with TestClient(app) as client:
        proof = f"jwtsession.token.{token_of(client)}"
        with client.websocket_connect("/picks", subprotocols=["jwtsession", proof, "chat"]) as socket:
            assert socket.accepted_subprotocol == "chat"
        with client.websocket_connect("/ws", subprotocols=["chat", proof]) as socket:
            assert socket.accepted_subprotocol is None


def test_a_cookies_socket_is_answered_too() -> None:
    """A client that offers `jwtsession` and no token gets its answer."""
    app = shop()
    with TestClient(app) as client:
        headers = {"Authorization": f"Bearer {token_of(client)}"}
        with client.websocket_connect("/ws", subprotocols=["jwtsession"], headers=headers) as socket:
            assert socket.accepted_subprotocol == "jwtsession"


def test_two_tokens_are_denied_with_400_and_a_bad_one_with_401() -> None:
    """Before the socket opens."""
    app = shop()
    with TestClient(app) as client:
        token = token_of(client)
        for offered, status in (
            ([f"jwtsession.token.{token}", "jwtsession.token.other"], 400),
            (["jwtsession.token.bad"], 401),
            (["jwtsession"], 401),
        ):
            with (
                pytest.raises(WebSocketDenialResponse) as denied,
                client.websocket_connect("/ws", subprotocols=offered),
            ):
                pass
            assert denied.value.status_code == status
        headers = {"Authorization": f"Bearer {token}"}
        with client.websocket_connect("/ws", subprotocols=[f"jwtsession.token.{token}"], headers=headers):
            pass  # the same token in two places is one


def test_another_sites_page_gets_in_by_its_own_token_alone() -> None:
    """A page must know the token, so a subprotocol needs no check of the origin; the user's cookie does."""
    app = shop(token_sources=["cookie", "bearer"])
    elsewhere = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    with TestClient(app, base_url="https://testserver") as client:
        token = token_of(client)
        offered = ["jwtsession", f"jwtsession.token.{token}"]
        with client.websocket_connect("wss://testserver/ws", subprotocols=offered, headers={**elsewhere}):
            pass
        headers = elsewhere | {"Cookie": f"__Host-Http-session={token}"}
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect("wss://testserver/ws", headers=headers),
        ):
            pass
        assert denied.value.status_code == 403


async def test_an_application_without_the_middleware_finds_the_token(clock: Clock) -> None:
    """Then it is in the header, and the header stays."""
    world = World(clock)
    token = await world.log_in()
    headers = [(b"sec-websocket-protocol", f"jwtsession, jwtsession.token.{token}".encode())]
    scope: Scope = {"type": "websocket", "headers": headers, "query_string": b""}
    manager = await world.provider.get_manager(HTTPConnection(scope))
    assert manager.token == token
    assert scope["headers"] is headers


async def test_a_manager_of_an_outer_middleware_is_the_endpoints(clock: Clock) -> None:
    """Its session is loaded once, though the headers change in between, and the scope can be used again."""
    world = World(clock)
    token = await world.log_in()
    managers: list[Any] = []

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        managers.append(await world.provider.get_manager(HTTPConnection(scope)))

    async def nothing(*_: Any) -> Any: ...

    headers = [(b"sec-websocket-protocol", f"jwtsession.token.{token}".encode())]
    scope: Scope = {"type": "websocket", "headers": headers, "query_string": b"", "subprotocols": []}
    outer = await world.provider.get_manager(HTTPConnection(scope))
    await SessionMiddleware(endpoint)(scope, nothing, nothing)
    assert managers == [outer]
    scope["headers"] = [(b"host", b"of somebody else")]
    await SessionMiddleware(endpoint)(scope, nothing, nothing)
    assert managers[1].session is None, "a driver used the scope again, for another client"


# --- which sources count ---------------------------------------------------------------------------------------------


HERE = {"Origin": "https://testserver"}


@pytest.mark.parametrize(
    ("token_sources", "sources", "where", "enters"),
    [
        (["bearer"], None, "bearer", True),
        (["bearer"], None, "protocol", True),
        (["bearer"], None, "header", False),
        (["bearer"], None, "cookie", False),
        (["bearer", "header", "cookie"], None, "header", True),
        (["bearer", "header", "cookie"], None, "cookie", True),
        (["bearer", "query"], None, "query", False),
        (["bearer", "query"], ["query"], "query", True),
        (["bearer", "query"], ["query"], "bearer", False),
        (["bearer", "query"], ["query"], "protocol", False),
        (["bearer", "cookie"], ["bearer"], "cookie", False),
        (["body"], None, "protocol", True),
    ],
)
def test_the_sources_that_count(token_sources: Any, sources: Any, where: str, enters: bool) -> None:
    """Those of `websocket.sources` that `token_sources` has too, and `protocol`; a query only if somebody names it."""
    websocket = {} if sources is None else {"websocket": {"sources": sources}}
    app = shop(token_sources=token_sources, **websocket)
    with TestClient(app, base_url="https://testserver") as client:
        token = token_of(client)
        headers = {
            "bearer": {"Authorization": f"Bearer {token}"},
            "header": {"x-access-token": token},
            "cookie": {"Cookie": f"__Host-Http-session={token}"},
        }.get(where, {})
        url = f"wss://testserver/ws?accessToken={token}" if where == "query" else "wss://testserver/ws"
        offered = [f"jwtsession.token.{token}"] if where == "protocol" else None
        expected: Any = contextlib.nullcontext() if enters else pytest.raises(WebSocketDenialResponse)
        with expected, client.websocket_connect(url, subprotocols=offered, headers=HERE | headers):
            pass


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "websocket.sources: must name one or more"),
        (["bearer", "bearer"], "websocket.sources: must name one or more"),
        (["body"], "websocket.sources"),
        (["ticket"], "websocket.sources"),
        (["cookie"], 'websocket.sources: "cookie" needs "cookie" in token_sources'),
        (["protocol", "query"], 'websocket.sources: "query" needs "query" in token_sources'),
    ],
)
def test_sources_that_can_not_work_are_refused(sources: Any, message: str) -> None:
    """None, one twice, one that no handshake can have, and one that the deployment has not on."""
    with pytest.raises(ConfigurationError, match=message):
        SessionProvider(secret=SECRET, websocket={"sources": sources})


async def test_a_source_that_does_not_count_is_not_found_later(clock: Clock) -> None:
    """A body may have a token, so the endpoint looks again where a middleware found none; but a socket has no body."""
    world = World(clock, token_sources=["bearer", "query", "body"])
    query = f"accessToken={await world.log_in()}".encode()
    connection = HTTPConnection({"type": "websocket", "headers": [(b"host", b"a")], "query_string": query})
    assert (await world.provider.get_manager(connection)).session is None
    assert (await world.provider.get_manager(connection, Response())).session is None
