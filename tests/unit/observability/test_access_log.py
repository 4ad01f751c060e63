"""Tests of jwtsession.observability.access_log."""

import io
import logging
import time
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote, unquote_plus

import httpx2
import pytest
import uvicorn
from fastapi import Depends, FastAPI, WebSocket
from uvicorn.logging import AccessFormatter
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from jwtsession import (
    Claims,
    MemorySessionStore,
    Session,
    SessionManager,
    SessionProvider,
    Ticket,
    Token,
    TokenRedactionFilter,
)
from jwtsession.observability.access_log import ACCESS_LOGGERS
from tests.conftest import SECRET
from tests.security.forge import signed
from tests.web import bearer, serving

TOKEN = signed()
TICKET = "Zm9vYmFyYmF6_-Zm9vYmFyYmF6Zm9vYmFyYmF6MTIzN"


def record(message: object, *args: object) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.access", logging.INFO, "", 0, message, args, None)  # type: ignore[arg-type]


class Text:
    """Something that is no string before it is logged."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def shown(message: object, *args: object) -> str:
    """What becomes of a message."""
    each = record(message, *args)
    assert TokenRedactionFilter("accessToken").filter(each)
    return each.getMessage()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a?accessToken=canary", "/a?accessToken=[redacted]"),
        ("/a?x=1&accessToken=canary&y=2", "/a?x=1&accessToken=[redacted]&y=2"),
        ("/a?access%54oken=canary", "/a?access%54oken=[redacted]"),
        ("/a?%61ccessToken=canary#x", "/a?%61ccessToken=[redacted]#x"),
        ("/a?%61%63%63%65%73%73%54%6f%6B%65%6e=canary", "/a?%61%63%63%65%73%73%54%6f%6B%65%6e=[redacted]"),
        ("/a?accessToken=canary&accessToken=canary", "/a?accessToken=[redacted]&accessToken=[redacted]"),
        ("/a?accessToken=c%61nary=canary&x=1=2", "/a?accessToken=[redacted]&x=1=2"),
        ("/a?x&accessToken=canary", "/a?x&accessToken=[redacted]"),
        ("/a?x=&accessToken=canary", "/a?x=&accessToken=[redacted]"),
        ("/a=b?accessToken=canary", "/a=b?accessToken=[redacted]"),
        ("/a;v=1/b=?accessToken=canary", "/a;v=1/b=?accessToken=[redacted]"),
        ("/a?myaccessToken=kept&accesstoken=kept", "/a?myaccessToken=kept&accesstoken=kept"),
        ("/a?accessToken%3Dcanary=1&xaccessToken=kept", "/a?accessToken%3D[redacted]&xaccessToken=kept"),
        ("/a?%3Dkept=1&xaccessToken%3Dkept", "/a?%3Dkept=1&xaccessToken%3Dkept"),
        ("/accessToken=kept", "/accessToken=kept"),
        ("/a?accessToken=", "/a?accessToken=[redacted]"),
        ("/a?accessToken", "/a?accessToken"),
        ("accessToken=canary&x=1", "accessToken=[redacted]&x=1"),
        (f"/a?next={TOKEN}&x=1", "/a?next=[redacted]&x=1"),
        (f"/a/{TOKEN}/b", "/a/[redacted]/b"),
        (f"/a?ticket={TICKET}", "/a?ticket=[redacted]"),
        (f"/a?x=1&ticket={TICKET}&y=2", "/a?x=1&ticket=[redacted]&y=2"),
        (f"/a?t%69cket={TICKET[:-1]}%4e", "/a?t%69cket=[redacted]"),
        (f"/a?next=%2Fb%3Fticket%3D{TICKET}", "/a?next=%2Fb%3Fticket%3D[redacted]"),
        (f"/a?ticket=4711&ticket={TICKET}", "/a?ticket=4711&ticket=[redacted]"),
        (f"/a?my_ticket={TICKET}", f"/a?my_ticket={TICKET}"),
        (f"authorization: Bearer {TOKEN}", "authorization: Bearer [redacted]"),
    ],
)
def test_the_tokens_value_is_redacted_and_nothing_else(path: str, expected: str) -> None:
    """In arguments, in dictionaries of arguments and in whole messages, however the name is spelled."""
    for line in (
        shown('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", path, "1.1", 200),
        shown("%(path)s", {"path": path}),
        shown(f'"GET {path} HTTP/1.1" 200'),
        shown("%s", [path]),
        shown("%s %s", Text(path), 5),
        shown("scope=%s", {"query_string": path.encode()}),
    ):
        assert expected in line
        assert "canary" not in line
        assert TOKEN not in line


def test_a_placeholder_in_the_tokens_place_stays_one() -> None:
    """A format with the parameter in it gets its arguments all the same, and they are redacted."""
    assert shown("/a?accessToken=%s&x=%d", "canary", 5) == "/a?accessToken=[redacted]&x=5"
    assert shown("100 %% of /a?accessToken=%s", Text("canary")) == "100 % of /a?accessToken=[redacted]"
    assert shown("100 % of /a?accessToken=canary") == "100 % of /a?accessToken=[redacted]"


def test_a_dictionary_of_a_servers_own_stays_of_its_kind() -> None:
    """Those of gunicorn and hypercorn answer for names that they do not hold; the caller's own is not changed."""

    class Atoms(dict[str, Any]):
        def __init__(self, request: str) -> None:
            super().__init__(r=request)

        def __getitem__(self, name: str) -> Any:
            return super().__getitem__(name) if name in self else "-"

    atoms = Atoms("GET /a?accessToken=canary")
    assert shown('"%(r)s" %({x-request-id}i)s', atoms) == '"GET /a?accessToken=[redacted]" -'
    assert atoms["r"].endswith("canary")


def test_a_record_that_can_not_be_formatted_is_loggings_to_tell_of() -> None:
    """Where the arguments do not fit the message the filter raises nothing and keeps the record."""

    class Broken:
        def __str__(self) -> str:
            raise KeyError("mine")

    for message, *args in (("%s %s", 1), ("%d", "x"), ("%(x)s", {"y": 1}), ("%s", Broken()), (Broken(),)):
        assert TokenRedactionFilter("accessToken").filter(record(message, *args))


def test_uvicorns_own_formatter_still_gets_its_arguments() -> None:
    """Its five arguments stay in their places, also for a request that looks odd."""
    formatter = AccessFormatter('%(client_addr)s "%(request_line)s" %(status_code)s', use_colors=False)
    for path in ("/a?accessToken=canary", f"/{TOKEN}", "/accessToken=%s%d%(x)s?accessToken=canary"):
        each = record('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", path, "1.1", 200)
        TokenRedactionFilter("accessToken").filter(each)
        line = formatter.format(each)
        assert line.startswith('1.2.3.4 "GET /')
        assert line.endswith('HTTP/1.1" 200 OK')
        assert "canary" not in line
        assert TOKEN not in line


def encoded(text: str, characters: str) -> str:
    """The text with each of these characters percent-encoded, which need not be."""
    return "".join(f"%{ord(each):02X}" if each in characters else each for each in text)


@pytest.mark.parametrize("times", [1, 2, 3, 6])
@pytest.mark.parametrize(
    ("before", "token", "after"),
    [
        ("/log-in?next=", quote(f"/me?accessToken={TOKEN}", safe=""), "&x=1"),
        ("/log-in?next=", quote("/me?accessToken=canary", safe=""), "&x=1"),
        ("/log-in/", quote("/me?x=1&accessToken=canary", safe=""), ""),
        ("/a?next=%22", TOKEN, "%22"),
        ("/a?next=%7B%22accessToken%22:%22", TOKEN, "%22%7D"),
        ("/a?authorization=Bearer%20", TOKEN, "&x=1"),
        ("/a?authorization=Bearer+", TOKEN, "&x=1"),
        ("/a?next=", encoded(TOKEN, "e"), "&x=1"),
        ("/a?next=", encoded(TOKEN, "."), "&x=1"),
        ("/a?next=", encoded(TOKEN, "eyJ.") + "/x", "&x=1"),
        ("/a?next=", encoded(TOKEN, TOKEN), "&x=1"),
        ("/a?next=", encoded(TOKEN, TOKEN).lower(), "&x=1"),
        ("/a/", f"x.eyJ{TOKEN}.x", "/x"),
    ],
)
def test_no_encoding_hides_a_token(before: str, token: str, after: str, times: int) -> None:
    """A URL in a URL, a token between encoded quotes or of encoded characters, encoded once more for each redirect."""
    inner = token.replace("%", "%" + "25" * (times - 1))
    line = shown('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", before + inner + after, "1.1", 200)
    assert line.startswith(f'1.2.3.4 - "GET {before[:3]}')
    assert line.endswith(f'{after} HTTP/1.1" 200')
    assert "[redacted]" in line
    decoded = line
    for _ in range(times):
        decoded = unquote_plus(decoded)
    assert "canary" not in decoded
    assert TOKEN not in decoded
    assert TOKEN.rpartition(".")[2] not in decoded


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/static/app.min.js?v=1.2.3",
        "/caf%C3%A9/100%25?q=a%20b%26c",
        "/a?next=%2Fme%3Fpage%3D2",
        "/keyJ.js",
        "/a?q=%",
        "/a?q=%2",
        "/100%-of-it",
    ],
)
def test_what_is_no_token_stays(path: str) -> None:
    """An encoded URL without a token is logged as it is."""
    assert shown("GET %s", path) == f"GET {path}"


@pytest.mark.parametrize(
    "odd",
    [
        "?",
        "&",
        "=",
        "a",
        "&a",
        "&a=",
        "eyJ",
        "eyJ.",
        ".eyJ.",
        "%61",
        '"',
        "?=&",
        "eyJa.eyJb.",
        "%65",
        "%25",
        "25",
        "%2525",
        "%26a",
        "%65%79%4A.",
        "%2",
        "%26accessToke",
        "&%61%63%63%65%73%73%54%6f%6B%65",
    ],
)
def test_no_url_holds_the_server_up(odd: str) -> None:
    """The longest URL that a server takes is looked at in a moment, whatever it is made of: it is on the event loop."""
    path = "/a?x=1&" + odd * (65_536 // len(odd))
    start = time.perf_counter()
    shown('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", path, "1.1", 200)
    shown("%s", "%" + path)
    assert time.perf_counter() - start < 10  # milliseconds; minutes, were it to try again from each character


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything that the server logs, as text, at DEBUG."""
    for name in ("uvicorn", *ACCESS_LOGGERS):
        # As new, whatever configured it before.
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
    text = io.StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    handler.addFilter(lambda record: not record.name.startswith(("httpcore", "httpx", "websockets.client")))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    names = ("uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi")
    for name in names:
        # A server that ran before with uvicorn's own configuration has left it there.
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    yield text
    root.setLevel(level)
    root.removeHandler(handler)
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)


def shop(**options: Any) -> FastAPI:
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), **options)
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create({"name": "ann"})

    @app.post("/ticket")
    async def ticket(manager: manager_) -> Ticket:
        return await manager.ticket()

    @app.get("/session")
    async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> Session:
        return session

    @app.websocket("/ws")
    async def live(websocket: WebSocket, session: Annotated[Session, Depends(sessions.get_session)]) -> None:
        await websocket.accept()
        await websocket.close()

    return app


def visit(client: httpx2.Client, ws: str, token: str) -> None:
    """A WebSocket with this token in its URL."""
    url = f"ws://127.0.0.1:{client.base_url.port}/ws?page=3&{ws}={token}"
    with connect(url) as websocket, pytest.raises(Exception, match="1000"):
        websocket.recv()


@pytest.mark.server
@pytest.mark.parametrize("level", ["info", "debug", "trace"])
def test_a_real_servers_log_has_no_token(log: io.StringIO, level: str) -> None:
    """What uvicorn logs of requests and WebSockets, good ones and refused ones, shows everything but the token."""
    app = shop(token_sources=("query", "bearer"), websocket={"sources": ["query", "bearer", "protocol"]})
    with serving(app, log_level=level, log_config=None) as client:
        token = client.post("/session").json()["access_token"]
        tampered = token[:-4] + "AAAA"
        assert client.get("/session", params={"page": "2", "accessToken": token}).status_code == 200
        assert client.get(f"/session?access%54oken={token}&page=2").status_code == 200
        assert client.get(f"/session?accessToken={token}&accessToken={tampered}&page=2").status_code == 400
        assert client.get("/session", params={"accessToken": tampered}).status_code == 401
        assert client.get(f"/nowhere/{token}").status_code == 404
        visit(client, "accessToken", token)
        visit(client, "access%54oken", token)
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{client.base_url.port}/ws?accessToken={tampered}")
        with connect(f"ws://127.0.0.1:{client.base_url.port}/ws", additional_headers=bearer(token)):
            pass
        offered = [Subprotocol("jwtsession"), Subprotocol(f"jwtsession.token.{token}")]
        with connect(f"ws://127.0.0.1:{client.base_url.port}/ws", subprotocols=offered):
            pass
        ticket = client.post("/ticket", headers=bearer(token)).json()["ticket"]
        visit(client, "ticket", ticket)
        stream = {"Accept": "text/event-stream"}
        assert client.get("/session", params={"page": "2", "ticket": ticket}, headers=stream).status_code == 401
    lines = log.getvalue()
    assert lines.count("GET /session?") >= 4
    assert lines.count("page=2") >= 3
    assert lines.count("/ws?") >= 3
    assert "page=3" in lines
    for secret in (ticket, token, tampered, token.rpartition(".")[2], token.split(".")[1]):
        assert secret not in lines


@pytest.mark.server
def test_the_filter_goes_with_the_application() -> None:
    """It is there as long as the application runs, on every logger, and not longer."""

    def present() -> set[bool]:
        return {
            any(isinstance(each, TokenRedactionFilter) for each in logging.getLogger(name).filters)
            for name in ACCESS_LOGGERS
        }

    app = shop(token_sources=("query",))
    assert present() == {False}
    for _ in range(2):
        with serving(app) as client:
            assert client.get("/session").status_code == 401
            assert present() == {True}
        assert present() == {False}


def test_uvicorn_logs_where_the_filter_is() -> None:
    """The loggers' names are those of the installed uvicorn."""
    assert {"uvicorn.access", "uvicorn.error", "uvicorn.asgi"} <= set(ACCESS_LOGGERS)
    assert set(uvicorn.config.LOGGING_CONFIG["loggers"]) - {"uvicorn"} <= set(ACCESS_LOGGERS)


@pytest.mark.server
def test_a_token_in_a_url_by_mistake_is_redacted_too(log: io.StringIO) -> None:
    """Where tokens in URLs are off a client may still send one there, and it is a good one in a header."""
    with serving(shop(), log_level="info", log_config=None) as client:
        token = client.post("/session").json()["access_token"]
        assert client.get("/session", params={"accessToken": token}).status_code == 401
    assert "GET /session?accessToken=[redacted]" in log.getvalue()
    assert token not in log.getvalue()


async def test_two_applications_with_one_provider_are_both_covered() -> None:
    """When the first one ends, the second one keeps its filter."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), token_sources=("query",))
    logger = logging.getLogger("uvicorn.access")
    async with sessions.lifespan(FastAPI()):
        async with sessions.lifespan(FastAPI()):
            pass
        assert any(isinstance(each, TokenRedactionFilter) for each in logger.filters)
    assert not any(isinstance(each, TokenRedactionFilter) for each in logger.filters)
