"""docs/migrate/from-flask.md."""

import contextlib
import pickle
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx2
import jwt
import pytest
from fastapi.testclient import TestClient

from tests import servers

from .conftest import FOREIGN, OWN, Load, in_parallel

pytestmark = [pytest.mark.ci, pytest.mark.filterwarnings("ignore:The 'use_signer' option is deprecated")]
LOGIN = {"name": "ann", "password": "secret"}


@pytest.fixture(autouse=True)
def package() -> None:
    servers.package("flask_session", "migrations")


@pytest.fixture(params=["", "1"], ids=["the cookie is the id", "the cookie is signed"])
def signer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_USE_SIGNER", request.param)


@contextlib.contextmanager
def browser(load: Load, version: str, cookies: dict[str, str] | None = None) -> Iterator[httpx2.Client]:
    app = load(f"flask_session.{version}").app
    options: dict[str, Any] = {"base_url": "https://testserver", "headers": OWN, "cookies": cookies}
    if version == "after":
        with TestClient(app, **options) as client:
            yield client
    else:
        with httpx2.Client(transport=httpx2.WSGITransport(app), **options) as flask:
            yield flask
        app.config["SESSION_REDIS"].close()


@pytest.mark.parametrize("version", ["before", "after"])
def test_pages_see_the_same_api(load: Load, version: str) -> None:
    """Login, cart and logout answer as they did; the cookie alone is another one."""
    with browser(load, version) as client:
        assert client.get("/cart").status_code == 401
        assert client.post("/login", params=LOGIN | {"password": "guess"}).status_code == 401
        assert client.post("/login", params=LOGIN).status_code == 204
        assert client.post("/cart", params={"item": "tea"}).json() == {"user_id": 1, "cart": ["tea"]}
        assert client.get("/cart").json() == {"user_id": 1, "cart": ["tea"]}
        assert client.post("/logout").status_code == 204
        assert client.get("/cart").status_code == 401


@pytest.fixture
def old(load: Load) -> dict[str, str]:
    """The cookies of a user who is logged in at the Flask application, with tea in the cart."""
    return log_in(load)


def log_in(load: Load) -> dict[str, str]:
    with browser(load, "before") as client:
        client.post("/login", params=LOGIN)
        client.post("/cart", params={"item": "tea"})
        return dict(client.cookies)


@pytest.mark.usefixtures("signer")
def test_a_user_who_is_logged_in_stays_so(load: Load, old: dict[str, str], valkey: servers.Server) -> None:
    """The first request with Flask's cookie gets the cart and the new cookie; ten seconds later the old one is dead."""
    (key,) = valkey.ask("KEYS", "session:*")
    with browser(load, "after", old) as client:
        assert client.post("/cart", params={"item": "cup"}).json() == {"user_id": 1, "cart": ["tea", "cup"]}
        assert "__Host-Http-session" in client.cookies
        assert 0 < valkey.ask("TTL", key) <= 10
        valkey.ask("PEXPIRE", key, 0)
        assert client.get("/cart").json()["cart"] == ["tea", "cup"]
        client.cookies.clear()
        assert client.get("/cart", headers={"Cookie": f"session={old['session']}"}).status_code == 401


@pytest.mark.usefixtures("signer")
def test_a_logout_and_a_new_login_end_the_old_session(load: Load, valkey: servers.Server) -> None:
    """So it can't come back when the new session has ended."""
    for path in ("/logout", "/login"):
        with browser(load, "before") as client:
            client.post("/login", params=LOGIN)
            old = dict(client.cookies)
        with browser(load, "after", old) as client:
            assert client.post(path, params=LOGIN).status_code == 204
            assert valkey.ask("KEYS", "session:*") == []
            assert client.get("/cart").status_code == (401 if path == "/logout" else 200)


def test_requests_at_the_same_time_are_all_answered(load: Load, old: dict[str, str]) -> None:
    """Each takes the same old session over, for the same user."""
    answers = in_parallel(load("flask_session.after").app, "/cart", old)
    assert [answer.json() for answer in answers] == [{"user_id": 1, "cart": ["tea"]}] * 4


def test_page_by_page_flask_decides_who_is_logged_in(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `expire`, and with tokens of five minutes: both work, and a logout in either of them ends both."""
    monkeypatch.setenv("JWTSESSION_ABSOLUTE_MAX_AGE", "300")
    for log_out_of in ("after", "before"):
        old = log_in(load)
        with browser(load, "after", old) as new, browser(load, "before", old) as flask:
            monkeypatch.setattr(sys.modules["tests.migrations.flask_session.after"].redis, "expire", AsyncMock())
            assert new.get("/cart").json() == flask.get("/cart").json() == {"user_id": 1, "cart": ["tea"]}
            claims = jwt.decode(new.cookies["__Host-Http-session"], options={"verify_signature": False})
            assert claims["exp"] - claims["iat"] == 300
            assert {"after": new, "before": flask}[log_out_of].post("/logout").status_code == 204
            new.cookies.delete("__Host-Http-session")  # as the browser does after five minutes
            assert new.get("/cart").status_code == flask.get("/cart").status_code == 401


def test_another_site_ends_and_changes_nothing(load: Load, old: dict[str, str], valkey: servers.Server) -> None:
    """Its form is a 403, and the old session is as it was; a link to a page takes the session over."""
    (key,) = valkey.ask("KEYS", "session:*")
    with browser(load, "after", old) as client:
        for path in ("/cart?item=x", "/logout"):
            assert client.post(path, headers=FOREIGN).status_code == 403
        assert valkey.ask("TTL", key) > 86_400
        assert client.get("/cart", headers=FOREIGN).json() == {"user_id": 1, "cart": ["tea"]}


def test_a_forged_signature_is_a_401(load: Load, monkeypatch: pytest.MonkeyPatch, old: dict[str, str]) -> None:
    """With the signer an id alone is worth nothing."""
    monkeypatch.setenv("SESSION_USE_SIGNER", "1")
    for cookie in (old["session"], f"{old['session']}.{'A' * 27}", "."):
        with browser(load, "after") as client:
            assert client.get("/cart", headers={"Cookie": f"session={cookie}"}).status_code == 401


class Exploit:
    """What runs code when it is unpickled: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_in_redis_runs_code_in_flask_session_and_not_here(
    load: Load, valkey: servers.Server, tmp_path: Path
) -> None:
    """Flask-Session falls back to pickle, so whoever writes to Redis runs code in it; here it is a 401."""
    import redis

    with redis.Redis.from_url(valkey.url) as client:
        client.set("session:evil", pickle.dumps(Exploit(tmp_path / "ran")))
    cookies = {"session": "evil"}
    with browser(load, "after", cookies) as after:
        assert after.get("/cart").status_code == 401
    assert not (tmp_path / "ran").exists()
    with warnings.catch_warnings(), browser(load, "before", cookies) as before, contextlib.suppress(Exception):
        before.get("/cart")
    assert (tmp_path / "ran").exists()


def test_what_is_no_old_session_is_a_401(load: Load, valkey: servers.Server) -> None:
    """An id that does not exist, values of other kinds, and no id at all."""
    for name, value in (("text", "hello"), ("number", "\x05"), ("json", '{"user_id": 1}')):
        valkey.ask("SET", f"session:{name}", value)
    with browser(load, "after") as client:
        for cookie in ("unknown", "text", "number", "json", ""):
            assert client.get("/cart", headers={"Cookie": f"session={cookie}"}).status_code == 401
    assert valkey.sessions() == []
