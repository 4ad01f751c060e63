"""Tests of jwtsession.accesslog."""

import logging
from typing import Annotated

import pytest
import uvicorn
from fastapi import Depends, FastAPI

from jwtsession import MemorySessionStore, Session, SessionProvider, TokenRedactionFilter
from jwtsession.accesslog import ACCESS_LOGGERS
from tests.conftest import SECRET
from tests.web import serving


def record(message: object, *args: object) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.access", logging.INFO, "", 0, message, args, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a?accessToken=canary", "/a?accessToken=[redacted]"),
        ("/a?x=1&accessToken=canary&y=2", "/a?x=1&accessToken=[redacted]&y=2"),
        ("/a?access%54oken=canary", "/a?access%54oken=[redacted]"),
        ("/a?%61ccessToken=canary#x", "/a?%61ccessToken=[redacted]#x"),
        ("/a?accessToken=canary&accessToken=canary", "/a?accessToken=[redacted]&accessToken=[redacted]"),
        ("/a?myaccessToken=kept&accesstoken=kept", "/a?myaccessToken=kept&accesstoken=kept"),
        ("/accessToken=kept", "/accessToken=kept"),
        ("/a?accessToken=", "/a?accessToken=[redacted]"),
    ],
)
def test_the_tokens_value_is_redacted_and_nothing_else(path: str, expected: str) -> None:
    """In arguments, in dictionaries of arguments and in whole messages, however the name is spelled."""
    found = TokenRedactionFilter("accessToken")
    by_argument = record('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", path, "1.1", 200)
    by_name = record("%(path)s", {"path": path})
    by_message = record(f'"GET {path} HTTP/1.1" 200')
    for each in (by_argument, by_name, by_message):
        assert found.filter(each)
        assert expected in each.getMessage()
        assert "canary" not in each.getMessage()


def test_a_real_servers_access_log_has_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """With tokens in URLs uvicorn's log of requests and WebSockets shows none; the filter goes with the application."""
    lines: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, entry: logging.LogRecord) -> None:
            lines.append(entry.getMessage())

    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), token_sources=("query",))
    app = FastAPI(lifespan=sessions.lifespan)

    @app.get("/session")
    async def read(session: Annotated[Session | None, Depends(sessions.get_optional_session)]) -> None: ...

    original = uvicorn.Config.__init__

    def with_log(self: uvicorn.Config, *args: object, **options: object) -> None:
        original(self, *args, **(options | {"log_level": "info", "access_log": True, "log_config": None}))  # type: ignore[arg-type]
        logging.getLogger("uvicorn.access").addHandler(handler)
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)

    handler = Collecting()
    monkeypatch.setattr(uvicorn.Config, "__init__", with_log)
    try:
        with serving(app) as client:
            client.get("/session", params={"accessToken": "canary", "page": "2"})
            client.get("/session?access%54oken=canary")
    finally:
        logging.getLogger("uvicorn.access").removeHandler(handler)
    assert len([line for line in lines if "/session" in line]) == 2
    assert "page=2" in "".join(lines)
    assert "canary" not in "".join(lines)
    for name in ACCESS_LOGGERS:
        assert not any(isinstance(each, TokenRedactionFilter) for each in logging.getLogger(name).filters)
